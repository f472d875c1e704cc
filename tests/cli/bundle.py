"""The bundle of the owners' tutorial, read out of the page itself, so that page and tool cannot drift apart."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workflow-owners.md").read_text("utf-8")
FILES = dict(re.findall(r"`([a-z.-]+\.yaml)`[^\n`]*(?:\n[^\n`]+)*:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL))


def write(directory: Path, **changed: str | None) -> Path:
    """The tutorial's files; ``changed`` replaces some (`_` for `-` and `.`); None leaves one out."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        key = name.removesuffix(".yaml").replace("-", "_").replace(".", "_")
        chosen = changed.get(key, text)
        if chosen is not None:
            (directory / name).write_text(chosen, "utf-8")
    return directory
