"""An example's policy bundle, with the loopback addresses of this very run put in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"


def bundle(name: str, folder: Path, addresses: Mapping[str, str]) -> Path:
    """Copy ``workflows/NAME`` to ``folder``. Each key of ``addresses`` must occur in it, and becomes its value.

    The files name fixed ports, so that an owner can read, check and test them; an example's server takes any free one.
    """
    shutil.copytree(WORKFLOWS / name, folder)
    files = {path: path.read_text() for path in sorted(folder.glob("*.yaml"))}
    for written, real in addresses.items():
        if not any(written in text for text in files.values()):
            raise ValueError(f"`{written}` is not written in workflows/{name}")
        files = {path: text.replace(written, real) for path, text in files.items()}
    for path, text in files.items():
        path.write_text(text)
    return folder
