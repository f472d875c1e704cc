"""Hosts, addresses, paths and DSNs: the answer for each spelling, and properties all kinds share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from processor_time import processor_time

from agentguard.destinations import Ambiguous, find_kind, kind_names
from agentguard.destinations.derive import safely
from agentguard.destinations.kinds import Derived

CASES = [
    case
    for name in ("kind_cases.yaml", "ordinary_cases.yaml")
    for case in yaml.safe_load((Path(__file__).parent / name).read_text())
]
OPTIONS: dict[str, dict[str, object]] = {
    "path": {"root": "/srv/data"},
    "sql": {"dialect": "postgres"},
    "channel": {"service": "slack"},
    "pattern": {"pattern": "[a-z]+", "name": "word"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def derive(kind_name: str, value: object, options: dict[str, object]) -> Derived:
    kind = find_kind(kind_name)
    assert kind is not None
    return kind.derive(value, options)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']} {case['value']!a}")
def test_each_spelling_has_the_answer_written_down(case: dict[str, object]) -> None:
    """The table is the promise; a case that changes its answer changes a decision."""
    derived = derive(str(case["kind"]), case["value"], case.get("options", {}))  # type: ignore[arg-type]
    if "refused" in case:
        assert derived == Ambiguous(str(case["refused"]))
        wanting = derived.unless_promised if isinstance(derived, Ambiguous) else None
        assert (None if wanting is None else wanting.id) == case.get("promised")
    else:
        assert not isinstance(derived, Ambiguous)
        ids = case["id"] if isinstance(case["id"], list) else [case["id"]]
        assert [place.id for place in derived] == ids


@pytest.mark.parametrize("kind_name", kind_names())
@given(value=JSON, options=st.dictionaries(st.sampled_from(["root", "dialect", "schemes", "x"]), JSON, max_size=3))
def test_no_value_and_no_option_makes_a_kind_raise(kind_name: str, value: object, options: dict[str, object]) -> None:
    """A kind answers everything; an exception on the decision path would be somebody's way out of it."""
    derived = derive(kind_name, value, options)
    assert isinstance(derived, (Ambiguous, tuple))


@pytest.mark.parametrize("kind_name", kind_names())
@pytest.mark.parametrize(
    "piece", ["a", "(", "[", "/", "%", "@", ".", "'", "-", "select ", "\u0301", "a.", "/a", "a b "]
)
def test_a_huge_value_is_answered_at_once(kind_name: str, piece: str) -> None:
    """Sizes are checked first, so no repetition makes a reader slow (a second is a hundred times the usual)."""
    derive(kind_name, piece, OPTIONS.get(kind_name, {}))  # what is loaded at first use is loaded now
    for size in (1_000, 10_000, 1_000_000):
        with processor_time(at_most=1.0):
            derive(kind_name, piece * size, OPTIONS.get(kind_name, {}))


@pytest.mark.parametrize("case", [case for case in CASES if "id" in case], ids=lambda case: ascii(case["value"]))
def test_the_canonical_form_is_its_own_canonical_form(case: dict[str, object]) -> None:
    """What is handed to the tool must be judged like what was judged."""
    kind = find_kind(str(case["kind"]))
    assert kind is not None
    derived = derive(kind.name, case["value"], case.get("options", {}))  # type: ignore[arg-type]
    assert not isinstance(derived, Ambiguous)
    if kind.rewrites_argument:
        assert derive(kind.name, derived[0].id, case.get("options", {})) == derived  # type: ignore[arg-type]


def test_a_kind_that_raises_or_answers_nonsense_is_a_refusal() -> None:
    """Third parties write kinds; a bug of theirs must close, not open."""

    class Broken:
        name, options, rewrites_argument, max_per_call = "broken", frozenset[str](), True, 1

        def __init__(self, answer: object) -> None:
            self.answer = answer

        def derive(self, value: object, options: object) -> object:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    for answer in (RuntimeError("x"), RecursionError(), (), None, True, ("text",)):
        assert isinstance(safely(Broken(answer), "x", {}), Ambiguous)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kind"] == "dsn" and "id" in case], ids=lambda case: case["value"]
)
def test_libpq_opens_the_databases_that_the_ids_name(case: dict[str, object]) -> None:
    """A second opinion from PostgreSQL's own client library."""
    conninfo = pytest.importorskip("psycopg.conninfo")
    value = str(case["value"])
    scheme, slashes, rest = value.partition("://")
    if slashes and scheme.partition("+")[0] in ("postgres", "postgresql"):
        value = f"postgresql://{rest.partition('?')[0]}"
    elif slashes or ";" in value or ":" in scheme:
        return
    read = conninfo.conninfo_to_dict(value)
    hosts, ports = read["host"].split(","), str(read.get("port", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    shown = [f"[{host}]" if ":" in host else host for host in hosts]
    ids = [
        f"postgresql://{host}:{port or 5432}/{read['dbname']}".lower() for host, port in zip(shown, ports, strict=True)
    ]
    assert list(dict.fromkeys(ids)) == (case["id"] if isinstance(case["id"], list) else [case["id"]])
