"""The pages for owners run: every pattern is a bundle that loads without a note, and its cases decide as they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentguard.core.values import Effect
from agentguard.guard.dry_run import evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.policy import load, load_cases

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs"
_SECTION = re.compile(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)")
_BLOCK = re.compile(r"(?ms)^```yaml\n(.*?)^```")
SECTIONS = {
    f"{page}: {title}": text
    for page in ("patterns", "assistants")
    for title, text in _SECTION.findall((DOCS / f"{page}.md").read_text("utf-8"))
    if "```yaml" in text
}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_pattern_decides_as_its_cases_say(title: str, tmp_path: Path) -> None:
    """Somebody will copy it. Each has a case that runs, and one that does not."""
    for number, block in enumerate(_BLOCK.findall(SECTIONS[title])):
        suffix = ".cases.yaml" if "\nkind: Cases\n" in block else ".yaml"
        (tmp_path / f"{number}{suffix}").write_text(block)
    bundle = load(tmp_path)
    usable, cases = UsableBundle.of(bundle), load_cases(tmp_path, bundle)

    results = [evaluate(usable, case, now=NOW) for case in cases]

    assert [(result.case.name, result.problems) for result in results if result.problems] == []
    effects = {result.decision.effect for result in results}
    assert Effect.DENY in effects or title.endswith("a person")
    assert effects & {Effect.PERMIT, Effect.ESCALATE}


def test_the_page_has_all_the_patterns() -> None:
    """Found in the wrong way, none would be tested."""
    assert len(SECTIONS) >= 7
