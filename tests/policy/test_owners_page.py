"""The owners' page about where values come from: its bundle loads, and its cases come out as it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from agentguard.guard.dry_run import evaluate
from agentguard.guard.in_force import UsableBundle
from agentguard.policy import load, load_cases

PAGE = (Path(__file__).parents[2] / "docs" / "workflow-owners.md").read_text("utf-8")
SECTION = PAGE.partition("## 5. Say where a value must come from")[2].partition("\n## ")[0]
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def test_the_page_says_in_two_lines_where_a_payee_must_come_from(tmp_path: Path) -> None:
    """Somebody will copy them."""
    bundle_text, cases_text = re.findall(r"^```yaml\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    (tmp_path / "pay-invoice.yaml").write_text(bundle_text)
    (tmp_path / "pay-invoice.cases.yaml").write_text(cases_text)
    bundle = load(tmp_path)
    results = [evaluate(UsableBundle.of(bundle), case, now=NOW) for case in load_cases(tmp_path, bundle)]

    assert [result.problems for result in results] == [()] * 3
    assert [result.origins["payee"] for result in results] == [
        ["vendors.lookup"],
        ["untrusted", "untrusted-first", "untrusted:mail.read", "vendors.lookup"],
        ["unknown"],
    ]
    assert results[0].origins["invoice"] == ["inputs", "inputs.invoice", "untrusted", "untrusted:mail.read"]
    assert bundle_text.count("from: vendors.lookup") == bundle_text.count("untrusted_results: [subject, body]") == 1
