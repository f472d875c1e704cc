"""Search in records: what matches, in pages, quickly where there are many; and the record of one thing in full."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from agentguard.guard.records import record
from agentguard.ledger import open_ledger

from .conftest import ANN, Place, Visitor


def seqs(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="what" href="/records/(\d+)"', page)]


def test_records_are_found_by_each_field_newest_first(place: Place, ann: Visitor) -> None:
    one, two = place.decide("d-1"), place.decide("d-2", "permit", tool="mail.send", reasons=["step_used_up"])
    place.ask("a-9")

    assert seqs(ann.get("/records?kind=decision").text) == [two, one]
    assert seqs(ann.get("/records?tool=mail.send").text) == [two]
    assert seqs(ann.get("/records?effect=deny").text) == [one]
    assert seqs(ann.get("/records?reason=step_used_up&kind=decision").text) == [two]
    assert seqs(ann.get("/records?run_id=r-1&kind=decision&since=1h&until=0s").text) == [two, one]
    assert seqs(ann.get("/records?run_id=none").text) == []
    assert seqs(ann.get("/records?since=2027-01-01T00:00:00Z").text) == []
    assert ann.get("/records?id=d-2").headers["location"] == f"/records/{two}"
    assert ann.get(f"/records?id={one}").headers["location"] == f"/records/{one}"


@pytest.mark.parametrize(
    "query", ["effect=maybe", "reason=nope", "kind=x", "since=yesterday", "until=2026-13-01T00:00:00Z"]
)
def test_a_word_that_no_record_holds_is_said_and_finds_nothing(ann: Visitor, query: str) -> None:
    page = ann.get(f"/records?{query}")
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert seqs(page.text) == []


def test_pages_go_back_to_the_first_record(place: Place, ann: Visitor) -> None:
    for number in range(120):
        place.decide(f"d-{number}", tool="a b&c=d")
    seen: list[int] = []
    address: Any = "/records?tool=a+b%26c%3Dd"
    while address:
        page = ann.get(address).text
        seen += seqs(page)
        older = re.search(r'href="(/records\?[^"]*before=\d+)"', page)
        address = older and older[1].replace("&amp;", "&")
    assert len(seen) == 120
    assert seen == sorted(seen, reverse=True)


def test_one_record_is_shown_whole_with_what_its_reasons_mean(place: Place, ann: Visitor) -> None:
    seq = place.decide("d-1", arguments={"rows": 5}, error="x" * 30_000)
    page = ann.get(f"/records/{seq}").text
    assert "A condition of the step is false for this call." in page
    assert "the workflow owner" not in page or "turn" in page
    assert "args.rows &lt; 5" in page
    assert "characters left out" in page, "a cut is said"
    for name in ("decision_id", "arguments", "subject"):
        assert name in page


def test_decisions_are_shown_newest_first_by_what_was_decided(place: Place, ann: Visitor) -> None:
    one, two = place.decide("d-1"), place.decide("d-2", "permit")
    assert seqs(ann.get("/decisions").text) == [two, one]
    assert seqs(ann.get("/decisions?effect=permit").text) == [two]
    assert seqs(ann.get("/decisions?effect=nonsense").text) == [two, one]


@pytest.mark.nightly
def test_pages_are_quick_with_100_000_records_and_1_000_requests(tmp_path: Any) -> None:
    """A page that looked at every record, or at every request for each request, would take many seconds."""
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    try:
        place = Place(ledger)
        place.run()
        known = {"run_id": "r-1", "subject": "spiffe://corp.example/agent/exporter", "workflow": "customer-export"}
        waiting = [
            ledger.append(
                record("decision", place.clock.now(), decision_id=f"d-{n}", effect="deny", tool=f"t{n % 7}", **known)
            )
            for n in range(100_000)
        ]
        for each in waiting:
            each.result()
        for number in range(1_000):
            place.ask(f"q-{number:04d}")
        ann = place.visitor(ANN, "link")
        for address in (
            "/requests", "/requests?from=900", "/requests/q-0500", "/history", "/decisions", "/decisions?effect=permit",
            "/runs", "/runs/r-1", "/records", "/records?tool=t3", "/records?tool=none", "/records?subject=none",
            "/records?kind=operation", "/records?since=1h&tool=t3", "/records/50000",
        ):  # fmt: skip
            ann.get(address)  # templates are compiled when they are first used
            began = time.process_time()
            assert ann.get(address).status_code == 200
            assert time.process_time() - began < 1, address
    finally:
        ledger.shut()
