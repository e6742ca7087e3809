"""What a reader of the README does in the demo project."""

from tests.demo import ROOT, Demo, shell
from tests.documents import fences

README = ROOT / "README.md"
ACTIVATE = ". .venv/bin/activate\n"


def follow(demo: Demo) -> None:
    """Make the demo's tables, put in the README's rows, and change the models by its diff."""
    demo.run("autoupdate", "--noinput")
    for step in (script for script in fences(README, "sh") if ACTIVATE in script or "git apply" in script):
        shell(demo, step.replace(ACTIVATE, ""))
