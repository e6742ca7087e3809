"""The pages of the documentation, for the tests that hold them to their word."""

import re
import shlex
import textwrap

#: A block of code with its language; in a list it is indented.
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def without_fences(text):
    return FENCE.sub("", text)


def blocks(text):
    """The blocks of code of a text, each after its language."""
    return [(language, textwrap.dedent(body)) for _, language, body in FENCE.findall(text)]


def fences(page, language):
    return [body for found, body in blocks(page.read_text()) if found == language]


def headings(page):
    """The anchors of a page, as GitHub makes them."""
    anchors = set()
    for title in re.findall(r"^#+ (.+)$", without_fences(page.read_text()), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", title.strip().lower())
        anchors.add(words.replace(" ", "-"))
    return anchors


def sections(page):
    """The text under each heading of a page, without that under the headings below it."""
    pieces = re.split(r"^#+ (.+)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


class Pages:
    """The pages of a folder, read as if they were one."""

    def __init__(self, folder):
        self.paths = sorted(folder.glob("*.md"))

    def read_text(self):
        return "\n".join(path.read_text() for path in self.paths)


# Commands and what they print


def transcripts(text):
    """The commands of a text's blocks, each with the lines that it is said to print."""
    for language, body in blocks(text):
        if language == "text":
            yield from transcript(body)


def transcript(body):
    """The commands of one block."""
    for piece in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, output = piece.partition("\n")
        yield shlex.split(command), output


def arguments_of(command):
    """What a command line gives to `manage.py`."""
    return command[command.index(next(word for word in command if word.endswith("manage.py"))) + 1 :]


def pattern_of(output):
    """A pattern for what a command is said to print: "..." stands for anything, a time or a digest for another."""
    pattern = re.escape(output)
    pattern = re.sub(r"^ *(?:\\ )*\\\.\\\.\\\.\n", "(?:.*\n)*", pattern.replace("\\\n", "\n"), flags=re.MULTILINE)
    pattern = pattern.replace(re.escape("..."), ".*")
    return re.sub(r"in\\ \d+\\\.\d\d\\ s", r"in\\ \\d+\\.\\d\\d\\ s", pattern)


def assert_prints(demo, command, said):
    """Run a command in a copy of the demo project, and compare; what is said after the prompt is the answer."""
    arguments = arguments_of(command)
    answer = re.search(r"anything else to cancel: (\w+)\n", said)
    printed = demo.run(*arguments, answer=f"{answer[1]}\n" if answer else "")
    expected = said.replace(answer[0], answer[0].removesuffix(f"{answer[1]}\n")) if answer else said
    assert re.fullmatch(pattern_of(expected), printed), f"{shlex.join(arguments)} printed\n{printed}\nnot\n{expected}"
