#!/usr/bin/env python3
"""Build the wheel and the sdist of the last commit, with a README whose links lead somewhere outside of the repository.

    python .ci/release.py DIRECTORY [--url https://HOST/OWNER/NAME]

The artefacts are in DIRECTORY/dist; neither that nor DIRECTORY/source may be there before. With --url, the address of
the repository, links and pictures of the README become absolute, and the metadata has the project's addresses; without
it the README keeps its relative links, and the last line lists them. The paths below the address are those that GitHub
has. Needs the packages of the extra `dev`.
"""

import argparse
import configparser
import email
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
#: What the wheel has to hold besides modules that tests import.
ADMIN = "templates/admin/automigrate_ext/pastrun/change_list.html"
DATA = ("py.typed", "plan.schema.json", "pending/page.css", "pending/page.html", ADMIN)
COMMANDS = ("management/commands/automigrate.py", "management/commands/autoupdate.py")
#: Licences are SPDX expressions from this version of the metadata on (PEP 639).
METADATA = (2, 4)
ABSOLUTE = ("https://", "http://")
PICTURES = (".svg", ".png")


class Links(HTMLParser):
    """The addresses of the links and pictures of a page, and the names of its headings."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.headings: set[str] = set()
        self.in_heading = False
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in ("href", "src") and value]
        self.in_heading = self.in_heading or tag in ("h1", "h2", "h3")

    def handle_endtag(self, tag: str) -> None:
        self.in_heading = self.in_heading and tag not in ("h1", "h2", "h3")

    def handle_data(self, data: str) -> None:
        if self.in_heading:
            self.headings.add("#" + data.strip().lower().replace(" ", "-"))

    def relative(self) -> list[str]:
        """Return the addresses that are neither absolute nor of a heading of the page."""
        return [link for link in self.found if not link.startswith(ABSOLUTE) and link not in self.headings]


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def export(source: Path) -> None:
    """Put the files of the last commit into a folder."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")


def make_absolute(source: Path, url: str, version: str) -> None:
    """Make the README's links absolute, and add the project's addresses to the metadata."""
    readme, config = source / "README.md", source / "setup.cfg"
    text = readme.read_text()
    for link in dict.fromkeys(Links(text).relative()):
        path = link.partition("#")[0]
        if not path or not (source / path).exists():
            fail(f"README.md links to {link}, which is not there")
        kind = "raw" if path.endswith(PICTURES) else "blob"
        text = text.replace(f"]({link})", f"]({url}/{kind}/v{version}/{link})")
    readme.write_text(text)
    addresses = {"Source": url, "Documentation": f"{url}/blob/v{version}/docs/index.md"}
    addresses["Changelog"] = f"{url}/blob/v{version}/CHANGELOG.md"
    lines = "".join(f"    {name} = {address}\n" for name, address in addresses.items())
    config.write_text(config.read_text().replace("[metadata]\n", f"[metadata]\nproject_urls =\n{lines}", 1))


def build(source: Path, directory: Path) -> tuple[Path, Path]:
    """Build both artefacts, the wheel from the sdist; return their paths, the wheel's first."""
    dist = directory / "dist"
    command = [sys.executable, "-m", "build", "--outdir", str(dist), str(source)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        fail(f"the build failed:\n{done.stdout}")
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], check=True)
    return wheel, sdist


def check_wheel(wheel: Path) -> Message:
    """Return the metadata of a wheel that holds what it has to, and nothing else."""
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(files.read(described))
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    if tops != {"automigrate_ext"}:
        fail(f"the wheel holds {sorted(tops)}")
    if lacking := [name for name in (*DATA, *COMMANDS) if f"automigrate_ext/{name}" not in names]:
        fail(f"the wheel lacks {', '.join(lacking)}")
    return metadata


def problems(metadata: Message, version: str, url: str) -> Iterator[str]:
    """Yield what is wrong with the metadata and the README in it."""
    if tuple(map(int, metadata["Metadata-Version"].split("."))) < METADATA or metadata["License-Expression"] != "MIT":
        yield "the licence is no SPDX expression in the metadata"
    if metadata["Version"] != version:
        yield f"the version is {metadata['Version']} in the metadata, and {version} in setup.cfg"
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text():
        yield f"CHANGELOG.md has no section [{version}]"
    if f'__version__ = "{version}"' not in (ROOT / "automigrate_ext" / "__init__.py").read_text():
        yield f"automigrate_ext.__version__ is not {version}"
    relative = Links(str(metadata.get_payload())).relative()
    if url and relative:
        yield f"the README has relative links: {', '.join(relative)}"


def main() -> None:
    """Build and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--url", default="", help="the address of the repository, https://HOST/OWNER/NAME")
    arguments = parser.parse_args()
    url, source = arguments.url.rstrip("/"), arguments.directory / "source"
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    version = config["metadata"]["version"]
    for folder in (source, arguments.directory / "dist"):
        if folder.exists():
            fail(f"{folder} is there, and may have files of an earlier build: remove it first")
    export(source)
    if url:
        make_absolute(source, url, version)
    wheel, sdist = build(source, arguments.directory)
    metadata = check_wheel(wheel)
    if found := list(problems(metadata, version, url)):
        fail("; ".join(found))
    print(f"Built {wheel} and {sdist}.")
    if relative := Links(str(metadata.get_payload())).relative():
        print(f"Without --url the README keeps its relative links: {', '.join(relative)}")


if __name__ == "__main__":
    main()
