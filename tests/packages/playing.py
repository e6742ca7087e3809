"""Cases with packages of other people are played in processes of their own, which set Django up by themselves."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def play(directory: Path, models: str, module: str, half: str, *arguments: str) -> str:
    """Play one half of a case by a module of this directory, and return what it prints."""
    (directory / "shop" / "models.py").write_text(models)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"tests.packages.{module}", half, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, f"{half}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
