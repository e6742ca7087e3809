"""The tutorial at a terminal: its commands print what it says, and its pictures show what is shown."""

import re
import signal

import pytest

from tests import tour
from tests.captures import picture, text_in, text_of, with_text
from tests.demo import Demo
from tests.documents import without_fences
from tests.tour import Edit, Fill, Picture, Press, Run, Type

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs terminals")


def test_terminal_shows_what_the_tutorial_says(tmp_path):
    seen = []

    def compare(found, shown):
        assert text_of(found.path.read_text()) == text_of(picture(shown)), "run python -m tests.captures"
        seen.append(found.path.name)

    tour.walk_at_terminal(Demo(tmp_path), compare)
    assert seen == list(tour.ANSWERS)


def test_steps_of_the_tutorial():
    text = tour.TUTORIAL.read_text()
    steps = [step for chapter in tour.chapters() for step in chapter]
    number = {kind: sum(isinstance(step, kind) for step in steps) for kind in (Edit, Fill, Run, Picture, Press, Type)}
    assert number[Edit] == text.count("```diff") == 4
    assert number[Fill] == text.count(" shell -c ") == 2
    assert number[Run] == len(re.findall(r"^\$ ", text, re.MULTILINE)) > 10
    assert number[Picture] == len(list((tour.TUTORIAL.parent / "tutorial").iterdir())) == text.count("![")
    assert number[Press] * 2 == without_fences(text).count("**")
    assert number[Type] == 1


def test_edits_of_a_diff():
    diff = "@@ a.py @@\n before\n-    old\n+    new\n@@ b.py @@\n+added\n after\n"
    assert list(tour.edits_of(diff)) == [
        ("a.py", "before\n    old\n", "before\n    new\n"),
        ("b.py", "after\n", "added\nafter\n"),
    ]


def test_text_goes_along_with_a_picture_of_a_page():
    for step in (step for chapter in tour.chapters() for step in chapter):
        if isinstance(step, Picture) and not step.is_terminal:
            png = step.path.read_bytes()
            assert text_in(png), step.path
            assert len(png) < 100_000, step.path
    assert text_in(with_text(png.replace(b"Description", b"Other\0-----"), "✓ words")) == "✓ words"
