"""A record that is put together quickly has the bytes that the plain encoder writes, or is left to that."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentguard.core.canonical import MAX_DEPTH, NotCanonical, canonical_bytes
from agentguard.errors import LedgerError
from agentguard.ledger.entry import encode
from agentguard.ledger.ready import ReadyRecord

NOW = datetime(2026, 9, 1, 12, 0, 0, 123_456, tzinfo=UTC)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["é", "\u2028", '"', "\\", "\x07", "\x7f", "\U0001f600", "\ue000", "\ud800"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "call_id": TEXTS,
        "step": TEXTS,
        "reasons": st.lists(TEXTS, max_size=3),
        "findings": st.lists(st.fixed_dictionaries({"reason": TEXTS, "detail": TEXTS}), max_size=2),
        "order": st.dictionaries(TEXTS, st.lists(TEXTS, max_size=3), max_size=2),
        "workflow_version": st.integers(-(2**60), 2**60),
    },
)
NAMED = st.dictionaries(TEXTS, TEXTS, max_size=3)
AMOUNTS = st.none() | st.integers(0, 2**60)
CHANGES = st.lists(st.tuples(st.just("call"), TEXTS, AMOUNTS, NAMED, st.lists(TEXTS, max_size=2)), max_size=2)


def plainly(members: dict[str, Any], commitments: dict[str, str], changes: list[tuple[Any, ...]]) -> bytes | None:
    """What the plain encoder writes; None where it refuses."""
    whole = {**members, **({"commitments": commitments} if commitments else {})}
    try:
        return canonical_bytes({**whole, **({"changes": [list(each) for each in changes]} if changes else {})})
    except NotCanonical:
        return None


@settings(max_examples=400, deadline=None)
@given(MEMBERS, VALUES, st.dictionaries(TEXTS, TEXTS, max_size=2), CHANGES)
@example({}, {"b": 5.0, "a": 1e21}, {}, [])
@example({"order": {"": ["\ue000", "\U0001f600"]}}, {}, {}, [])
@example({"order": {"/\U0001f600": [], "/\ue000": []}}, {}, {}, [])
@example({}, {"\U0001f600": 1, "\ue000": 2}, {"\U0001f600": "", "\ue000": ""}, [])
@example({"call_id": "é"}, {}, {}, [("call", "d", None, {"\U0001f600": "1", "\ue000": "2"}, [])])
@example({"workflow_version": 2**53}, {}, {}, [])
@example({"step": "\ud800"}, {}, {}, [])
def test_the_bytes_are_those_of_the_plain_encoder(
    members: dict[str, Any], arguments: Any, commitments: dict[str, str], changes: list[tuple[Any, ...]]
) -> None:
    try:
        encoded = canonical_bytes(arguments)
    except NotCanonical:
        return
    whole = {**members, "arguments": arguments}
    quick = ReadyRecord(whole, NOW, {"arguments": encoded}).public_bytes(commitments, changes)
    slow = plainly(whole, commitments, changes)

    assert quick in (None, slow)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [deep(MAX_DEPTH - 3), deep(MAX_DEPTH - 1), deep(MAX_DEPTH), [1] * 49_000, [[1]] * 24_999]
)
def test_what_could_be_too_much_inside_a_record_is_looked_at(value: Any) -> None:
    """Arguments within the bounds by themselves may pass them one level further down."""
    ready = ReadyRecord({"kind": "decision", "arguments": value}, NOW, {"arguments": canonical_bytes(value)})
    quick, slow = ready.public_bytes({}, []), plainly(dict(ready), {}, [])

    assert quick in (None, slow)
    if slow is None:
        with pytest.raises(LedgerError, match="cannot be stored"):
            encode(ready)


def test_an_ordinary_record_takes_the_quick_way() -> None:
    """Also where people write in other letters than ASCII."""
    for text in ("orders", "Überweisung für Zoë"):
        ready = ReadyRecord(
            {"kind": "decision", "arguments": {"a": text}}, NOW, {"arguments": canonical_bytes({"a": text})}
        )
        assert ready.public_bytes({"/x": "sha256:1"}, [("use", "k", 5)]) is not None


def test_a_row_says_the_same_of_both() -> None:
    """What filters ask about, the time of it too."""
    members = {
        "kind": "decision", "time": "2026-09-01T12:00:00.123456Z", "run_id": "r-1", "subject": "s", "tool": "t",
        "effect": "deny", "decision_id": "d-1", "reasons": ["no_run"], "arguments": {"a": 5.0},
    }  # fmt: skip
    ready = ReadyRecord(members, NOW, {"arguments": canonical_bytes({"a": 5.0})})

    assert encode(ready, [("touch", "r-1")]).row == encode(dict(members), [("touch", "r-1")]).row
    assert json.loads(encode(ready).row.body)["arguments"] == {"a": 5}
