"""The catalog beside the records: what was reached and is not listed, and what is listed in vain."""

from __future__ import annotations

import pytest

from agentguard.core.declarations import CatalogEntry, Source
from agentguard.core.values import Json, Sensitivity
from agentguard.destinations import Ambiguous, Catalog, find_kind, kind_names
from agentguard.destinations.coverage import collect, compare, recall


def entry(kind: str, pattern: str, line: int = 1) -> CatalogEntry:
    return CatalogEntry(kind, pattern, Sensitivity.PUBLIC, None, None, None, None, Source("d.yaml", line))


def record(*places: tuple[str, str], tool: str = "t", time: str = "2026-01-01T00:00:00Z") -> dict[str, object]:
    listed = [{"kind": kind, "id": identity, "sensitivity": "public"} for kind, identity in places]
    return {"time": time, "tool": tool, "destinations": listed}


CATALOG = Catalog(
    [
        entry("url", "https://a.example.com/*", 1),
        entry("url", "https://never.example.com/*", 2),
        entry("sql", "postgres:sales.*", 3),
        entry("sql", "postgres:sales.cust(email)", 4),
        entry("sql", "postgres:sales.cust(iban)", 5),
        entry("ip", "10.0.0.0/8", 6),
    ]
)


def test_what_is_unclassified_is_listed_most_used_first() -> None:
    """The owner starts where it matters; the sensitivity that a record wrote down does not count."""
    found = compare(
        CATALOG,
        collect(
            [
                record(("url", "https://b.example.com/x?y=1"), ("url", "https://a.example.com/")),
                record(("email", "eve+1@example.com"), tool="u", time="2026-01-02T00:00:00Z"),
                record(("email", "eve+1@example.com"), tool="v", time="2026-01-03T00:00:00Z"),
                record(("sql", "sql:postgres:sales.cust"), ("sql", "sql:postgres:sales.cust(email)")),
            ]
        ),
    )
    assert found.places == 5
    assert [(one.seen.id, one.seen.decisions, sorted(one.seen.tools), one.seen.last) for one in found.unclassified] == [
        ("eve+1@example.com", 2, ["u", "v"], "2026-01-03T00:00:00Z"),
        ("https://b.example.com/x?y=1", 1, ["t"], "2026-01-01T00:00:00Z"),
    ]
    assert [one.write for one in found.unclassified] == [
        '- {kind: email, pattern: "eve@example.com", sensitivity: }',
        '- {kind: url, pattern: "https://b.example.com/x", sensitivity: }',
    ]


def test_entries_that_nothing_answered_to_are_listed() -> None:
    """A column counts as seen by its own id, not by its table's."""
    seen = [record(("sql", "sql:postgres:sales.cust"), ("sql", "sql:postgres:sales.cust(email)"), ("ip", "10.1.2.3"))]
    assert [one.source.line for one in compare(CATALOG, collect(seen)).unused] == [1, 2, 5]


@pytest.mark.parametrize(
    "data",
    [{}, {"destinations": None}, {"destinations": "x"}, {"destinations": [5]}, {"destinations": [{}]},
     {"destinations": [{"kind": 5, "id": "x"}]}, {"destinations": [{"kind": "url"}]}],
)  # fmt: skip
def test_a_record_of_another_shape_is_passed_over(data: dict[str, object]) -> None:
    """Older records and other kinds of records are in the ledger, too."""
    assert collect([data]) == []


@pytest.mark.parametrize(
    ("kind", "identity"),
    [("gone", "x"), ("url", "javascript:x"), ("sql", "sql:postgres:a.b.c.d"), ("sql", "x"), ("command", "'"),
     ("pattern", "x"), ("channel", ":x"), ("git", "x"), ("sql", "sql:nonsense:a"), ("sql", "sql:postgres:a(b")],
)  # fmt: skip
def test_an_id_that_nobody_can_read_back_is_unclassified(kind: str, identity: str) -> None:
    """A kind that is no longer installed, or an id of an older version: shown, without a suggestion."""
    (missing,) = compare(CATALOG, collect([record((kind, identity))])).unclassified
    assert (missing.seen.id, missing.write) == (identity, None)


VALUES: dict[str, list[tuple[Json, dict[str, Json]]]] = {
    "channel": [("general", {"service": "slack"}), ("C0123ABCD", {"service": "slack"})],
    "command": [("git log -1", {}), (["git", "commit", "-m", "two words"], {})],
    "dsn": [("postgresql://u:p@db.example.com/sales", {}), ("sqlite:////srv/data.db", {})],
    "email": [("Alice+x@example.com", {})],
    "git": [("git@github.com:o/r.git", {}), ("ssh://git@h.example.com:2222/o/r", {})],
    "host": [("db.example.com:5432", {}), ("[2001:db8::1]:443", {})],
    "iban": [("DE89 3704 0044 0532 0130 00", {})],
    "ip": [("10.0.0.5", {}), ("2001:db8::1", {})],
    "object": [("https://bucket.s3.amazonaws.com/k/l", {}), ("az://account/container/k", {})],
    "path": [("x/y", {"root": "/srv"})],
    "pattern": [("billing", {"name": "queue", "pattern": "[a-z]+"})],
    "sql": [("table a.b", {"dialect": "postgres"}), ('table "My Table"', {"dialect": "postgres"}),
            ("select 1 from x", {"dialect": "snowflake", "schema": "s", "database": "d"})],
    "url": [("https://a.example.com/x?y=1", {}), ("wss://a.example.com/", {"schemes": ["wss"]})],
}  # fmt: skip


@pytest.mark.parametrize("name", kind_names())
def test_every_kind_reads_its_own_ids_back(name: str) -> None:
    """What the records hold is enough to judge a place again by the catalog of today."""
    kind = find_kind(name)
    assert kind is not None
    for value, options in VALUES[name]:
        derived = kind.derive(value, options)
        assert not isinstance(derived, Ambiguous)
        (place,) = derived
        again = recall(kind, place.id)
        assert again is not None
        assert again.id == place.id
        assert list(kind.place_keys(again)) == list(kind.place_keys(place))
