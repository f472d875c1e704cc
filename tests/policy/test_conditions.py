"""Conditions and amounts: only the boolean ``true`` is true, and nothing a caller sends makes it so by accident."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processor_time import processor_time

from agentguard.core.policy import MICROS, Fault, View
from agentguard.policy.cel.amounts import MAX_MICROS, compile_amount, to_micros
from agentguard.policy.cel.compiling import NotCompiled
from agentguard.policy.cel.conditions import compile_condition
from agentguard.policy.cel.scope import NAMES, TALLIES, Scope
from agentguard.policy.json_schema.shapes import compile_shape

ARGUMENTS: Mapping[str, Any] = {
    "rows": {"type": "integer"},
    "price": {"type": "number"},
    "table": {"type": "string"},
    "mode": {"enum": ["fast", "slow"]},
    "note": {"type": "string", "optional": True},
    "flag": {"type": "boolean"},
    "any": {"type": ["string", "integer", "boolean", "null", "number"]},
    "to": {"type": "array", "items": {"type": "string"}},
    "deep": {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]},
    "odd-name": {"type": "string"},
}
GOOD: Mapping[str, Any] = {
    "rows": 5,
    "price": 1.5,
    "table": "orders",
    "mode": "fast",
    "flag": True,
    "any": "x",
    "to": ["a", "b"],
    "deep": {"k": 1},
    "odd-name": "o",
}


def scope(**changes: Any) -> Scope:
    arguments, troubles = compile_shape(ARGUMENTS)
    inputs, _ = compile_shape({"ticket": {"type": "string"}})
    assert arguments is not None and inputs is not None, troubles
    given: dict[str, Any] = {
        "arguments": arguments.schema,
        "inputs": inputs.schema,
        "kept": ["tables", "big", "id"],
        "origins": ["inputs", "vendors.lookup", "untrusted"],
        "steps": ("look-up", "export"),
        "subjects": ["a", "spiffe://corp.example/agent/exporter"],
        "has_destinations": True,
    }
    return Scope.make(**{**given, **changes})


SCOPE = scope()


def view(changed: Mapping[str, Any] | None = None, /, **names: Any) -> View:
    place = {
        "kind": "url",
        "id": "https://a.example/",
        "sensitivity": "internal",
        "zone": "",
        "owner": "",
        "category": "",
    }
    known: dict[str, Any] = {
        "args": {**GOOD, **(changed or {})},
        "inputs": {"ticket": "EXP-7"},
        "kept": {"tables": ["orders", "items"], "id": 7},
        "counts": {"look-up": 2},
        "origins": {"table": ["vendors.lookup"], "rows": ["untrusted"]},
        "subject": "spiffe://corp.example/agent/exporter",
        "claims": {"team": "data"},
        "destination": place,
        "destinations": [place],
        "risk": "low",
        "assurance": "bearer",
        "now": datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
        **names,
    }
    return View({name: value for name, value in known.items() if value is not ...})


def holds(text: str, seen: View | None = None) -> bool | Fault:
    return compile_condition(text, SCOPE).holds(view() if seen is None else seen)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("args.rows > 4", True),
        ("args.rows > 5", False),
        ("args.price > 1", True),
        ("args.price >= 1.5", True),
        ("args.table in kept.tables", True),
        ("args.table == inputs.ticket", False),
        ("args.flag", True),
        ("!args.flag", False),
        ("args.flag ? args.rows == 5 : false", True),
        ("has(args.note)", False),
        ("!has(args.note) || args.note == 'x'", True),
        ("args['odd-name'] == 'o'", True),
        ("args.deep.k == 1", True),
        ("args.to.all(t, t in ['a', 'b'])", True),
        ("args.to.exists(t, t == 'c')", False),
        ("size(args.to) == 2", True),
        ("['a', 'b'].map(t, t + '!') == ['a!', 'b!']", True),
        ("counts['look-up'] == 2 && counts.export == 0", True),
        ("subject == 'spiffe://corp.example/agent/exporter'", True),
        ("claims.team == 'data'", True),
        ("destination.sensitivity in ['public', 'internal']", True),
        ("destinations.all(d, d.zone == '')", True),
        ("risk != 'high' && assurance in ['bearer', 'call-bound']", True),
        ("now < timestamp('2026-11-24T12:00:01Z')", True),
        ("now.getHours() == 12", True),
        ("args.table.matches('^ord(ers)?$')", True),
        ("args.table.startsWith('ord')", True),
        ("kept.id == 7", True),
        ("kept.id == 7.0", True),
        ("args.mode == 'slow'", False),
        ("type(args.any) == string", True),
        ("type(args.rows) == string", False),
    ],
)
def test_the_language_means_what_it_says(text: str, answer: bool) -> None:
    """Each name and operator that the reference shows, once."""
    assert holds(text) is answer


@pytest.mark.parametrize("value", ["5000", [5000], True, None, {"a": 1}, "", math.nan, math.inf, ...])
def test_a_rule_that_meets_another_type_faults(value: Any) -> None:
    """`any > 100` must not quietly be false (or true) for text, lists, booleans, NaN or nothing."""
    arguments = {**GOOD, "any": value}
    if value is ...:
        del arguments["any"]

    assert isinstance(holds("args.any > 100", view(args=arguments)), Fault)
    assert isinstance(holds("!(args.any > 100)", view(args=arguments)), Fault)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("args.any == 'x'", {"args": {}}),
        ("args.rows / (args.rows - 5) == 1", {}),
        ("args.rows % (args.rows - 5) == 1", {}),
        ("args.to[7] == 'a'", {}),
        ("int(args.table) == 1", {}),
        ("args.rows + 9223372036854775807 > 0", {}),
        ("kept.big == 1", {}),
        ("claims.nobody == 'x'", {}),
        ("risk == 'low'", {"risk": ...}),
        ("destination.zone == ''", {"destination": ...}),
        ("now < timestamp('2030-01-01T00:00:00Z')", {"now": ...}),
        ("now < timestamp('2030-01-01T00:00:00Z')", {"now": datetime(2026, 1, 1)}),
        ("now < timestamp('2030-01-01T00:00:00Z')", {"now": "2026-01-01T00:00:00Z"}),
        ("counts.export == 0", {"counts": None}),
        ("subject == 'a'", {"subject": 7}),
        ("args.deep.k == 1", {"args": {**GOOD, "deep": MappingProxyType({"k": 1})}}),
        ("args.to == ['a']", {"args": {**GOOD, "to": ("a",)}}),
        ("args.rows == 5", {"args": {**GOOD, "rows": Decimal(5)}}),
        ("args.rows == 5", {"args": {**GOOD, "rows": 2**63}}),
        ("args.rows == 5", {"args": {**GOOD, 7: 1}}),
    ],
)
def test_what_cannot_be_evaluated_is_a_fault(text: str, names: Mapping[str, Any]) -> None:
    """CEL gives an error as a value that is truthy; here it is neither yes nor no."""
    answer = holds(text, view(**names))

    assert isinstance(answer, Fault)
    assert answer.detail


@pytest.mark.parametrize("text", ["args.table == 'orders'", "'orders' == args.table", "args.table in ['orders']"])
@pytest.mark.parametrize("value", ["orders\0", "orders\0; drop", "\ud800orders"])
def test_text_that_the_runtime_would_cut_never_reaches_it(text: str, value: str) -> None:
    """The runtime reads text up to a NUL, so "orders\\0; drop" would equal "orders"."""
    assert isinstance(holds(text, view({"table": value})), Fault)
    assert isinstance(holds("kept.id == 7", view(kept={"id": 7, "x": [{"y": value}]})), Fault)
    assert isinstance(holds("kept.id == 7", view(kept={"id": 7, value: 1})), Fault)


@pytest.mark.parametrize("value", ["true", "yes", "", 1, 0, 1.0, [True], {"a": True}, None])
def test_only_the_booleans_themselves_are_answers(value: Any) -> None:
    """Types are checked at load, and the shape checks the call; a condition still trusts neither."""
    assert isinstance(holds("args.flag", view({"flag": value})), Fault)


def test_a_name_that_is_not_used_cannot_spoil_a_condition() -> None:
    """Otherwise a tool's odd result would stop every later step."""
    assert holds("args.rows == 5", view(kept={"x": "a\0b"})) is True


def test_a_fault_never_quotes_a_value() -> None:
    """Records keep the detail, and arguments may be secret."""
    hidden = "hunter2-hunter2"

    details = [
        holds("args.any > 100", view({"any": hidden})),
        holds("int(args.table) == 1", view({"table": hidden})),
        holds("claims[args.table] == 'x'", view({"table": hidden})),
        holds("args.table == 'a'", view({"table": hidden + "\0"})),
    ]

    assert all(isinstance(answer, Fault) and "hunter2" not in answer.detail for answer in details)


def test_a_missing_member_is_named() -> None:
    """A reviewer should see which name was not there; it is the owner's own word."""
    answer = holds("claims.nobody == 'x'")

    assert isinstance(answer, Fault)
    assert "`nobody` is missing" in answer.detail


@pytest.mark.parametrize(
    "text",
    [
        "args.to.all(a, args.to.all(b, a == b))",
        "args.to.all(a, kept.big != [a])",
        "args.to.all(a, kept.big.all(b, a != b))",
        "kept.big.all(b, args.to.all(a, a != b))",
        "args.to.all(a, size(args.table) > size(a))",
        "args.to.all(a, args.to.exists(c, c == a + 'x'))",
    ],
)
def test_a_loop_over_too_much_faults_before_it_starts(text: str) -> None:
    """The runtime looks at what a loop reads on every pass; 20,000 passes over 20,000 values take seconds."""
    many = [str(number) for number in range(20_000)]
    condition = compile_condition(text, SCOPE)
    seen = view({"to": many, "table": "x" * 100_000}, kept={"big": many})

    with processor_time(at_most=1.0):
        answer = condition.holds(seen)

    assert isinstance(answer, Fault)
    assert "loop" in answer.detail
    assert isinstance(condition.holds(view({"to": ["a"]}, kept={"big": ["a"]})), bool)


def test_a_long_element_counts_in_the_inner_loop() -> None:
    """One element of a megabyte, read again by ten thousand inner passes, is ten gigabytes."""
    seen = view({"to": ["x" * 1_000_000]}, kept={"big": list(range(9_000))})

    assert isinstance(holds("args.to.all(a, kept.big.all(b, a != string(b)))", seen), Fault)


def test_an_unanchored_comparison_of_scale_words_is_refused() -> None:
    """Alphabetical order of sensitivities is right often enough to be believed."""
    with pytest.raises(NotCompiled, match="compares its letters"):
        compile_condition("'internal' >= destination.sensitivity", SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "args.to.exists(args, args == 'a')",
        "args.to.all(a, args.to.all(b, args.to.all(c, a == b)))",
        "args.to.all(t, t.x == 1 && args.rwos == 1)",
        "destinations.all(d, d.zome == '')",
        "google.protobuf.Struct{} == google.protobuf.Struct{}",
        "args.note == 5",
        "args.mode in ['fast', 'quick']",
        "5 in args.to",
        "args.deep.kk == 1",
        "has(args.rows)",
        "has(args.nothing)",
        "args.rows.contains('x')",
        "dyn(args.flag)",
        "args.note",
        "kept.tables",
        "1",
        "'true'",
        "null",
        "",
        "true || ",
        "args.table == 'a\0b'",
        "(" * 40 + "true" + ")" * 40,
        "true" + " && true" * 600,
        "x.y()",
        "args.`table\\` == 'a'",
    ],
)
def test_what_cannot_have_been_meant_is_refused_at_load(text: str) -> None:
    """A mistake that shows only when a call comes shows too late."""
    with pytest.raises(NotCompiled):
        compile_condition(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("args.rows > 5 AND args.rows < 7", "`&&`"),
        ("args.rows > 5 or args.rows < 7", "`||`"),
        ("not args.flag", "`!`"),
        ("args.table not in ['a']", '`!(x in ["A", "B"])`'),
        ("!args.table in ['a']", "`!(x in [...])`"),
        ("args.table in ('a', 'b')", '`x in ["A", "B"]`'),
        ("args.table in ('a')", '`x in ["A", "B"]`'),
        ("args.table in 'abc'", '`x.contains("...")`'),
        ("args.table contains 'a'", '`x.contains("...")`'),
        ("args.table like 'a%'", '`x.startsWith("...")`'),
        ("args.table =~ 'a'", '`x.matches("^...$")`'),
        ("args.table.match('a')", '`x.matches("^...$")`'),
        ("args.table.startswith('a')", "`startsWith`"),
        ("startsWith(args.table, 'a')", "`x.startsWith(...)`"),
        ("args.rows between 1 and 5", "`x >= 1 && x <= 5`"),
        ("1 < args.rows < 5", "`1 <= x && x <= 5`"),
        ("args.table is null", "`has(args.x)`"),
        ("args.rows = 5", "`==`"),
        ("args.rows === 5", "one sign less"),
        ("args.rows => 5", "`>=`"),
        ("args.rows =< 5", "`<=`"),
        ("args.rows <> 5", "`!=`"),
        ("args.rows > 5 & args.flag", "`&&`"),
        ("args.rows > 5 | args.flag", "`||`"),
        ("args.table == 'a' || 'b'", '`x == "A" || x == "B"`'),
        ("args.rows > 1_000", "without separators"),
        ("args.rows > 10 EUR", "without a unit"),
        ("args.table == \u201ca\u201d", "plain quotes"),
        ("args.table == 'a", "not closed"),
        ("args.table == a", '`"a"`'),
        ("rows > 5", "`args.rows`"),
        ("{{ args.rows }} > 5", "as they are"),
        ("args.rows > 5;", "at the end"),
        ("(args.rows > 5", "`(` is not closed"),
        ("args.rows > 5 # why", "a comment"),
        ("if args.flag then true", "`condition ? value : other`"),
        ("len(args.table) > 5", "`size(x)`"),
        ("args.table.length > 5", "`size(x)`"),
        ("any(args.to)", "`list.exists(x, ...)`"),
        ("now > '2027-01-01'", '`timestamp("2027-01-01T00:00:00Z")`'),
        ("now.hour > 5", "`now.getHours"),
        ("destination == 'a'", "a mapping and text; compare one of its members"),
        ("args.flag == True", "`true`"),
    ],
)
def test_a_sign_of_another_language_is_answered_with_the_right_one(text: str, right: str) -> None:
    """Owners know SQL, Python or a spreadsheet; "syntax error" tells them nothing."""
    with pytest.raises(NotCompiled) as caught:
        compile_condition(text, SCOPE)

    assert right in caught.value.messages[0]


def test_a_loop_variable_does_not_hide_the_names_around_it() -> None:
    """`t` is an element; `args` inside the loop is still the arguments."""
    assert holds("args.to.exists(t, t == args.to[1])") is True


@pytest.mark.parametrize(
    "pattern", ["^(a|b)$", "^a[|]b$", "^a\\|b$", "^(?:a|b)c$", "^\\Qa|b\\E$", "^$", "^[^]|]$", "^[]|]$"]
)
def test_anchored_patterns_pass(pattern: str) -> None:
    """What the check calls unanchored must really be so."""
    compile_condition(f"args.table.matches(r'{pattern}')", SCOPE)


@pytest.mark.parametrize(
    "pattern", ["a", "^a", "a$", "^a|b$", "^a$|^b$", "^(a)|(b)$", "^a\\$", "(?m)^a$", "^(?m:a)$", "^[a]|b$", "^a)(b$"]
)
def test_unanchored_patterns_do_not(pattern: str) -> None:
    """`matches` searches; a pattern without both anchors lets anything around it through."""
    with pytest.raises(NotCompiled):
        compile_condition(f"args.table.matches(r'{pattern}')", SCOPE)


@given(st.text(max_size=20))
def test_equality_is_pythons_equality(text: str) -> None:
    """Whatever text a caller sends, `==` in a condition agrees with Python or faults."""
    condition = compile_condition("args.table == kept.id", SCOPE)

    answers = [condition.holds(view({"table": text}, kept={"id": other})) for other in (text, text + "x", text[:-1])]

    for answer, other in zip(answers, (text, text + "x", text[:-1]), strict=True):
        assert isinstance(answer, Fault) or answer is (text == other)
        assert isinstance(answer, bool) or "\0" in text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_survives_the_way_into_the_runtime(value: Any) -> None:
    """A value compares equal to itself and unlike to itself in a list, whatever JSON it is."""
    seen = view({"any": value}, kept={"id": value})

    answer = compile_condition("args.any == kept.id && args.any != [kept.id]", SCOPE).holds(seen)

    assert answer is True or (isinstance(answer, Fault) and "NUL" in answer.detail)


def test_threads_share_a_condition_and_a_view() -> None:
    """One bundle serves every thread of a process."""
    condition = compile_condition("args.rows > 4 && args.table in kept.tables", SCOPE)
    shared = view()

    def ask(number: int) -> tuple[bool | Fault, bool | Fault]:
        return condition.holds(view({"rows": number})), condition.holds(shared)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(2_000)))

    assert answers == [(number > 4, True) for number in range(2_000)]


def test_a_view_of_another_workflow_is_prepared_again() -> None:
    """The counts a view is given for one workflow's steps are not those of another."""
    one = compile_condition("counts.export == 0", SCOPE)
    other = compile_condition("counts.send == 0", scope(steps=("send",)))
    seen = view(counts={})

    assert (one.holds(seen), other.holds(seen), one.holds(seen)) == (True, True, True)


def test_a_foreign_preparation_is_not_used() -> None:
    """Whoever wrote `prepared` before us did not prepare it for us."""
    seen = view()
    seen.prepared = object()

    assert holds("args.rows == 5", seen) is True


def test_every_name_of_the_language_can_be_used() -> None:
    """The table of names and the runtime's variables are two lists; here they meet."""
    for name in NAMES:
        if name != TALLIES:
            assert holds(f"{name} == {name}") is True


def test_what_counts_calls_by_value_is_read_by_its_function_alone() -> None:
    """An owner asks `done_for`; the run's salt and keys are no words of the language."""
    with pytest.raises(NotCompiled, match="`tallies` is not known"):
        holds(f"{TALLIES} == {TALLIES}")


# Amounts.


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        (0, 0),
        (1, MICROS),
        (2**53 - 1, (2**53 - 1) * MICROS),
        (0.1, 100_000),
        (1.1, 1_100_000),
        (0.000001, 1),
        (-0.0, 0),
    ],
)
def test_an_amount_is_exact(value: float, micros: int) -> None:
    """A tenth is a tenth: what the shortest text says, not what the double holds."""
    expected = micros if micros <= MAX_MICROS else Fault("the amount is too large")

    assert to_micros(value) == expected


@pytest.mark.parametrize(
    "value", [-1, -0.1, True, False, None, "5", [5], 1e-7, 0.1234567, math.nan, math.inf, 1e300, 2**62, Decimal(5)]
)
def test_what_is_not_an_amount_is_a_fault(value: Any) -> None:
    """A negative amount would give a budget back; a rounded one would leak."""
    assert isinstance(to_micros(value), Fault)


@given(st.decimals(min_value=0, max_value=4_000_000, places=6))
def test_six_decimals_survive(amount: Decimal) -> None:
    """Cents and fractions of cents add up without drift."""
    assert to_micros(float(amount)) == int(amount * MICROS)


def test_an_amount_of_the_wrong_type_faults() -> None:
    """A caller cannot make a call cheaper by sending text."""
    amount = compile_amount("args.rows", SCOPE)

    assert amount.of(view({"rows": 7})) == 7 * MICROS
    for wrong in ("7", True, None, [7], -7, 1.5e-7):
        assert isinstance(amount.of(view({"rows": wrong})), Fault)


def test_an_amount_may_be_computed() -> None:
    """Two numbers multiplied, and a fault where that overflows."""
    amount = compile_amount("args.rows * 2", SCOPE)

    assert amount.of(view({"rows": 3})) == 6 * MICROS
    assert isinstance(amount.of(view({"rows": 2**62})), Fault)


def test_a_name_that_cannot_be_used_spoils_only_what_reads_it() -> None:
    """One view serves all conditions of a decision, whichever of them read which names first."""
    seen = view(kept={"tables": object()})
    first, later = (compile_condition(text, SCOPE) for text in ("args.rows > 4", "inputs.ticket != ''"))
    broken = compile_condition("inputs.ticket != '' && size(kept.tables) > 0", SCOPE)

    assert first.holds(seen) is True
    assert type(broken.holds(seen)) is Fault
    assert (later.holds(seen), first.holds(seen)) == (True, True)
    assert type(broken.holds(seen)) is Fault
