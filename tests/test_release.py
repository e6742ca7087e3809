"""The script that builds a release."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "release.py"


@pytest.mark.parametrize("left", ["source/automigrate_ext/gone.py", "dist/automigrate_ext-0.0.1.tar.gz"])
def test_files_of_an_earlier_build_get_into_none(tmp_path, left):
    file = tmp_path / left
    file.parent.mkdir(parents=True)
    file.touch()
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    folder = tmp_path / left.partition("/")[0]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {folder} is there, and may have files of an earlier build: remove it first\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
