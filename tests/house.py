"""Draw the package's structure from its code: `python -m tests.house` writes docs/house.dot and docs/house.svg.

The floors are those of the contract in setup.cfg. An arrow stands for imports; one that follows from two others is left
out, so that what is drawn can be read. Graphviz has to be installed to write the picture.
"""

import ast
import configparser
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "automigrate_ext"
DOT, SVG = ROOT / "docs" / "house.dot", ROOT / "docs" / "house.svg"
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
#: How many characters of a docstring stand in one line of a box.
WIDTH = 34


def floors() -> list[list[str]]:
    """Return the names on each floor, from the top."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["importlinter:contract:floors"]["layers"].split("\n")
    return [line.replace("|", " ").replace(":", " ").split() for line in lines if line.strip()]


def files(name: str) -> list[Path]:
    """Return the files of a wing, or the one of a module at the root."""
    wing = PACKAGE / name
    return sorted(wing.rglob("*.py")) if wing.is_dir() else [PACKAGE / f"{name}.py"]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the parts of the package that a module imports, but for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{PACKAGE.name}."):
            yield node.module.split(".")[1]
        yield from imports(node)


def arrows() -> dict[str, set[str]]:
    """Return which part imports which."""
    names = [name for floor in floors() for name in floor]
    found = {name: {part for path in files(name) for part in imports(ast.parse(path.read_text()))} for name in names}
    return {name: (parts & set(names)) - {name} for name, parts in found.items()}


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return all that a part imports, by way of others too."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph without arrows that follow from two others; it has no cycles, as import-linter holds."""
    return {
        name: {to for to in tos if not any(to in reachable(graph, by) for by in tos)} for name, tos in graph.items()
    }


def words(name: str) -> str:
    """Return what a box has in it: the name, and the first sentence of its docstring."""
    path = PACKAGE / name / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.exists() else PACKAGE / f"{name}.py").read_text())) or ""
    sentence = " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    lines = [""]
    for word in sentence.split():
        if len(lines[-1]) + len(word) >= WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    shown = "<br/>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)
    title = f"{name}/" if path.exists() else name
    return f'<<b>{title}</b><br/><font point-size="9">{shown}</font>>'


def dot() -> str:
    """Return the picture as Graphviz's text."""
    lines = ["digraph house {", '  node [shape=box, fontname="sans-serif", fontsize=12, margin="0.1,0.06"];']
    lines += ["  rankdir=TB; ranksep=0.35; nodesep=0.2; newrank=true;"]
    for number, floor in enumerate(floors()):
        lines.append(f'  {{ rank=same; floor{number} [style=invis, label="", width=0]; {"; ".join(floor)} }}')
        lines += [f"  {name} [label={words(name)}];" for name in floor]
    lines.append(f"  {' -> '.join(f'floor{number}' for number, _ in enumerate(floors()))} [style=invis];")
    lines += [f"  {name} -> {to};" for name, tos in reduced(arrows()).items() for to in sorted(tos)]
    return "\n".join([*lines, "}", ""])


def mark(text: str) -> str:
    """Return the comment in the picture by which it is known that it was drawn from this text."""
    return f"<!-- drawn from house.dot, sha256 {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def main() -> None:
    text = dot()
    DOT.write_text(text)
    svg = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True).stdout
    # Without the addresses of a DTD and of a namespace that nothing in it is of.
    SVG.write_text(svg[svg.index("<svg") :].replace(f" {XLINK}", "") + mark(text))


if __name__ == "__main__":
    main()
