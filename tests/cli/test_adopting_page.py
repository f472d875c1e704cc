"""The page about the way into force: what it shows of drawing up, observing and comparing is what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from readme import blocks

from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard
from cli.bundle import write
from cli.conftest import ROOT, Call, real

PAGE = (ROOT / "docs" / "adopting.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def shown(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)


def even(text: str) -> list[str]:
    """Its lines without what is another each time: ids, days and times, and spaces that only align."""
    text = re.sub(r"\b([dr])-(?:[0-9a-f]{32}|…)", r"\1-…", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?", "TIME", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def test_each_step_of_the_way_has_a_section_in_its_order() -> None:
    """The first paragraph promises six."""
    titles = [title.lower() for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)]
    promised = re.search(r"\*\*(draw up .*?)\.\*\*", PAGE)
    assert promised is not None
    assert titles[:6] == promised[1].split(" → ")


def test_a_drawn_up_policy_is_observed_as_the_page_shows(tmp_path: Path) -> None:
    """With the README's shop, whose second call would be refused and whose third would wait."""
    for block in blocks("python"):
        (tmp_path / block.split()[1]).write_text(block)
    typed = shown("Draw up", "console") + shown("Observe", "console")
    drawn, observed, listed = (block.partition("\n") for block in typed)

    assert drawn[0] == "$ agentguard init shop:tools --yes --observe"
    assert even(real(*drawn[0].split()[2:], cwd=tmp_path).out) == even(drawn[2])
    assert shown("Observe", "yaml")[0].splitlines()[0] in (tmp_path / "policy" / "trust.yaml").read_text()

    kept = {key: value for key, value in os.environ.items() if key not in ("AGENTGUARD_HOME", "PYTHONSAFEPATH")}
    ran = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env={**kept, "PYTHONPATH": str(ROOT)}, text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )  # fmt: skip
    assert observed[0] == "$ python main.py"
    assert even(ran.stdout) == even(observed[2])

    assert even(real(*listed[0].split()[2:], cwd=tmp_path).out) == even(listed[2])
    (run,) = set(re.findall(r"\br-[0-9a-f]{32}", real("runs", "list", cwd=tmp_path).out))
    printed = even(real("runs", "show", run, cwd=tmp_path).out)
    assert set(even(shown("Observe", "text")[0])) <= set(printed)


def get_ticket(ticket_id: str) -> dict[str, Any]:
    """Look a ticket up."""
    return {"tables": ["orders"], "customer": "C-7"}


def export_orders(table: str, rows: int, target: str) -> str:
    """Export."""
    return "done"


def test_what_the_page_compares_is_compared_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """The changes and the runs are those that it tells of."""
    monkeypatch.chdir(tmp_path)
    write(Path("live"))
    file = write(Path("next")) / "customer-export.yaml"
    (changes,) = shown("Compare", "diff")
    for change in re.split(r"^@@ .* @@\n", changes, flags=re.MULTILINE)[1:]:
        lines = change.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in (" ", sign)) for sign in "-+")
        assert file.read_text().count(old) == 1, old
        file.write_text(file.read_text().replace(old, new))
    with Guard.load("live/", candidate="next/", home="home") as guard:
        look_up, export = guard.wrap([get_ticket, export_orders])
        for number in range(5):
            with guard.run("customer-export", inputs={"ticket": "EXP-7"}):
                if number == 2:
                    with pytest.raises(ToolCallDenied):
                        look_up("EXP-8")
                for _ in range(2 if number in (1, 3) else 1):
                    look_up("EXP-7")
                export("orders", 900, "https://files.corp.example/C-7")
    (block,) = shown("Compare", "console")
    command, _, printed = block.partition("\n")
    ended = call(*command.split()[2:], "--ledger", "home/ledger.sqlite3")

    assert ended.code == 1
    assert even(ended.out) == even(printed)
