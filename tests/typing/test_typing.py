"""What a type checker sees of the public API: a guarded function keeps its signature, a guarded tool its class."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = Path(__file__).with_name("api.py")


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_mypy_sees_the_types_that_were_wrapped() -> None:
    """Each wrong call in the file is marked, and a mark that is not needed is an error, too."""
    done = mypy(API)
    assert done.returncode == 0, done.stdout


def test_a_wrong_call_of_a_guarded_function_is_found(tmp_path: Path) -> None:
    """The file can fail: without its marks each of the wrong calls is reported."""
    text = "\n".join(line.partition("  # type: ignore")[0] for line in API.read_text("utf-8").splitlines())
    broken = tmp_path / "api.py"
    broken.write_text(text, "utf-8")

    wrong = API.read_text("utf-8").count("  # type: ignore")
    assert mypy(broken).stdout.count(": error: ") >= wrong > 3


@pytest.mark.skipif(shutil.which("pyright") is None, reason="needs pyright on the PATH")
def test_pyright_sees_them_too() -> None:
    """Where it is installed."""
    done = subprocess.run(
        ["pyright", "--pythonpath", sys.executable, str(API)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
