"""Where values come from: what outsiders wrote is known again however it is spelt, and what is unknown never passes."""

from __future__ import annotations

import json
import unicodedata

import pytest
from core_cases import EXPORT, good
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core import provenance
from agentguard.core.coarse import BITS, pieces_of
from agentguard.core.paths import EVERY
from agentguard.core.policy import View
from agentguard.core.provenance import (
    NOTHING_SEEN,
    Brought,
    Mark,
    Origins,
    Seen,
    Trail,
    digest,
    digests,
    outsiders_text,
    spellings,
)
from agentguard.core.reasons import Reason
from agentguard.core.values import Destination, Json, Sensitivity, ToolEffect

IBAN = "DE89370400440532013000"


def mail(text: Json, order: int = 1) -> Mark:
    return Mark("mail.read", order, text=outsiders_text([text]) or "")


def vendor(*values: Json, order: int = 2) -> Mark:
    return Mark("vendors.lookup", order, frozenset(key for key in map(digest, values) if key is not None))


def origins(
    value: Json, *marks: Mark, inputs: dict[str, Json] | None = None, kept: dict[str, Json] | None = None
) -> Origins:
    found = Trail(inputs or {}, kept or {}, Seen(marks)).origins(value)
    assert found is not None
    return found


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def arabic_digits(text: str) -> str:
    return "".join(chr(0x0660 + int(c)) if c.isdecimal() else c for c in text)


SPELLINGS = {
    "as it is": lambda v: v,
    "lower": str.lower,
    "in groups": lambda v: " ".join(v[at : at + 4] for at in range(0, len(v), 4)),
    "hyphens": lambda v: "-".join(v[at : at + 3] for at in range(0, len(v), 3)),
    "dots between all": ".".join,
    "zero-width spaces": "\u200b".join,
    "soft hyphens and joiners": "\u00ad\u2060".join,
    "Hangul fillers": "\u3164".join,
    "combining marks": lambda v: "".join(c + "\u0301" for c in v),
    "full-width": full_width,
    "bold letters": lambda v: "".join(chr(0x1D400 + ord(c) - 65) if "A" <= c <= "Z" else c for c in v),
    "circled letters": lambda v: "".join(chr(0x24B6 + ord(c) - 65) if "A" <= c <= "Z" else c for c in v),
    "digits of another script": arabic_digits,
    "over two lines": lambda v: f"{v[:7]}\r\n{v[7:]}",
    "in JSON": lambda v: json.dumps({"pay": {"to": [v]}}),
    "in JSON in JSON": lambda v: json.dumps(json.dumps({"to": v})),
    "in JSON, with a line break": lambda v: json.dumps(f"{v[:7]}\n{v[7:]}"),
    "JSON escapes": lambda v: "".join(f"\\u{unit:04x}" for unit in memoryview(v.encode("utf-16-le")).cast("H")),
    "percent-encoded": lambda v: "".join(f"%{byte:02X}" for byte in v.encode()),
    "HTML entities": lambda v: "".join(f"&#{ord(c)};" for c in v),
    "HTML hex entities": lambda v: "".join(f"&#x{ord(c):x};" for c in v),
    "in a sentence": lambda v: f"Hello,\nplease pay to {v}. Thanks!",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_no_spelling_of_an_outsiders_value_passes_as_clean(how: str) -> None:
    """The lookup returned it, too; but the message had it first, whatever it looked like there."""
    part = origins(IBAN, mail(SPELLINGS[how](IBAN)), vendor(IBAN)).parts[0]

    assert part.outsider_first
    assert part.outsiders == {"mail.read"}


@given(value=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), how=st.sampled_from(sorted(SPELLINGS)))
def test_any_text_is_found_in_any_spelling_of_it(value: str, how: str) -> None:
    """Of text of every script. A spelling that changes only ASCII leaves the rest as it is."""
    assert Seen((mail(SPELLINGS[how](value)), mail("x", 2))).holds(value) or outsiders_text([value]) == ""


@given(value=st.text(max_size=20), form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_forms_are_one_spelling(value: str, form: str) -> None:
    """An agent or its framework may normalise text on the way from the mail to the call."""
    assert spellings(value) == spellings(unicodedata.normalize(form, value))  # type: ignore[arg-type]


@given(value=st.text(max_size=20))
def test_taking_the_spelling_away_twice_changes_nothing(value: str) -> None:
    for spelling in spellings(value):
        assert spelling in spellings(spelling)


@given(number=st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_found_in_text_however_it_is_written(number: float) -> None:
    """As JSON writes it, as Python does, and without an exponent."""
    for written in (json.dumps(number), repr(number), f"{number:.3f}" if abs(number) < 1e15 else str(number)):
        if float(written) == number:
            assert Seen((mail(f"amount: {written} EUR"),)).holds() is False
            assert origins(number, mail(f"amount: {written} EUR")).parts[0].outsider_first, written


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (4900, "4.900"),
        (4900, "4,900.00"),
        (49.5, "49.50"),
        (0.5, ".5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
    ],
)
def test_a_number_is_found_as_people_write_it(number: float, written: str) -> None:
    assert origins(number, mail(written)).parts[0].outsiders == {"mail.read"}


@pytest.mark.parametrize(("value", "returned"), [("4900", 4900), (0.00001, "0.00001"), (1e21, 10**21), ("12", 12.0)])
def test_numbers_and_text_are_told_apart_where_clean_and_not_where_outsiders_wrote(value: Json, returned: Json) -> None:
    """A clean value is exactly what was returned; an outsider's counts in any form."""
    assert origins(value, vendor(returned)).words == ["unknown"] or digest(value) == digest(returned)
    assert origins(value, mail(returned)).parts[0].outsider_first


def test_a_value_split_over_fields_of_one_result_is_found() -> None:
    text = outsiders_text(["from: DE89", 3704, "0044 0532 0130 00"])

    assert origins(IBAN, Mark("mail.read", 1, text=text or "")).parts[0].outsider_first


def test_the_order_of_calls_decides_who_had_a_value_first() -> None:
    """In a tie, outsiders."""
    assert not origins(IBAN, vendor(IBAN, order=1), mail(IBAN, order=2)).parts[0].outsider_first
    assert origins(IBAN, vendor(IBAN, order=2), mail(IBAN, order=2)).parts[0].outsider_first
    assert origins(IBAN, mail(IBAN, order=1), vendor(IBAN, order=2)).parts[0].outsider_first
    assert not origins(IBAN, mail(IBAN, order=1), inputs={"to": IBAN}).parts[0].outsider_first


def test_words_say_where_a_value_came_from() -> None:
    """A clean word holds for every part of a list; one that warns, for any."""
    marks = (vendor("a1", "b2", order=1), mail("b2 c3"))
    assert origins("a1", *marks).words == ["vendors.lookup"]
    assert origins(["a1", "b2"], *marks).words == [
        "untrusted",
        "untrusted-first",
        "untrusted:mail.read",
        "vendors.lookup",
    ]
    assert origins(["a1", "zz"], *marks).words == ["unknown"]
    assert origins("k", kept={"name": {"deep": ["k"]}}).words == ["kept.name"]
    assert origins("k", inputs={"name": ["k"]}).words == ["inputs", "inputs.name"]


@pytest.mark.parametrize(
    "nothing", [True, False, None, [], {}, [[]], {"a": {}}, [None], ["a", True], {"k": "a", "l": []}]
)
def test_what_says_nothing_comes_from_nowhere(nothing: Json) -> None:
    """Any result holds a true or a null, and a list of nothing has nothing that could have been returned."""
    parts = origins(nothing, vendor("a"), inputs={"x": nothing, "y": "a"}, kept={"z": nothing}).parts

    assert any(not part.clean for part in parts)


def test_after_a_loss_nothing_is_known_but_inputs() -> None:
    """They were there before anything that was lost."""
    trail = Trail({"x": "a"}, {"k": "b"}, Seen((vendor("b"),), True))
    (given,), (kept,) = (found.parts for value in "ab" if (found := trail.origins(value)) is not None)

    assert (given.clean, given.outsider_first, given.lost) == ({"inputs", "inputs.x"}, False, False)
    assert kept.lost
    assert Seen((), True).holds("anything")


def test_an_argument_of_too_many_parts_is_unknown() -> None:
    """Each part is compared with all that was seen, so their number is bounded."""
    parts: list[Json] = ["a"] * provenance.MAX_PARTS
    assert Trail({"x": "a"}, {}, NOTHING_SEEN).origins(parts) is not None
    assert Trail({"x": "a"}, {}, NOTHING_SEEN).origins([*parts, "a"]) is None


def brought(*values: Json, text: str = "", tool: str = "t", call: int = 1) -> Brought:
    return Brought(tool, call, {tool: digests(list(values))}, text)


def test_past_the_bound_of_values_new_ones_are_unknown_and_the_others_are_not() -> None:
    """A value that is not remembered passes nowhere; what was remembered stays so."""
    full = NOTHING_SEEN.after(brought(*range(provenance.MAX_VALUES)), 1)
    after = full.after(brought(-1), 2)

    assert not after.overflowed and after == full
    assert origins(5, *after.marks).words == ["t"]
    assert origins(-1, *after.marks).words == ["unknown"]


def test_past_the_bound_of_text_what_outsiders_wrote_is_known_in_pieces() -> None:
    """Never less than they wrote, and in bounded memory."""
    text = NOTHING_SEEN.after(brought(text="x" * provenance.MAX_TEXT), 1)
    after = text.after(brought(text="helloworldinpieces", tool="mail", call=2), 3)
    more = after.after(Brought("web", 4, {}, pieces=pieces_of("web", "anothertext")), 5)

    assert text.room == after.room == 0 and not more.overflowed
    assert after.holds("world in") and not after.holds("another text") and more.holds("another text")
    assert not more.holds("hello word") and more.holds("o w"), "of a short value nobody knows"
    assert set(more.holders({"worldin"})) == {("mail", 2)}
    assert more.coarse is not None and len(more.coarse.bits) == BITS // 8


def test_many_marks_are_joined() -> None:
    """A run may call ten thousand times."""
    many = Seen(tuple(Mark("t", n, frozenset({digest(n) or b""})) for n in range(provenance.MAX_MARKS)))
    after = many.after(brought("new", text="n"), 9_999)

    assert len(after.marks) == provenance.MAX_MARKS and not after.overflowed
    assert origins("new", *after.marks).words == ["t"]
    assert after.holds("n")
    assert many.after(Brought("t", 9, {}, lost=True), 9).overflowed
    assert Seen((), True).after(brought(1), 2).overflowed


letters = st.text(st.sampled_from("abcdef 012\u00e9"), max_size=40)


@given(
    texts=st.lists(st.tuples(st.sampled_from(["a", "b"]), letters), max_size=8),
    value=st.one_of(letters, st.tuples(st.integers(0, 7), st.integers(0, 30), st.integers(1, 12))),
    room=st.integers(0, 60),
)
def test_text_in_pieces_never_makes_a_value_clean_that_was_not(
    texts: list[tuple[str, str]], value: str | tuple[int, int, int], room: int
) -> None:
    """Against the exact answer, letter by letter, for every value that is a part of a text, and others."""
    if isinstance(value, tuple):
        which, start, length = value
        value = texts[which % len(texts)][1][start : start + length] if texts else ""
    seen = NOTHING_SEEN
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(provenance, "MAX_TEXT", room)
        for call, (tool, text) in enumerate(texts, 1):
            seen = seen.after(Brought(tool, call, {}, outsiders_text([text]) or ""), call)
    exact: dict[str, int] = {}
    for call, (tool, text) in enumerate(texts, 1):
        if any(spelling in _plain_of(text) for spelling in spellings(value) if _plain_of(text)):
            exact[tool] = min(call, exact.get(tool, call))
    found: dict[str, int] = {}
    for tool, order in seen.holders(spellings(value)):
        found[tool] = min(order, found.get(tool, order))

    for tool, call in exact.items():
        assert found.get(tool, call + 1) <= call


def _plain_of(text: str) -> str:
    return outsiders_text([text]) or ""


def test_what_is_returned_again_takes_no_room_and_stays_as_old_as_it_is() -> None:
    """A poll must not fill the run up, nor make a value older or younger."""
    seen = NOTHING_SEEN.after(brought("a", "b", text="hello"), 1)

    assert seen.after(brought("b", "a", text="hello", call=2), 2) == seen
    assert [mark.order for mark in seen.after(brought("a", "c", call=2), 2).marks] == [1, 1, 2]


def test_the_same_text_of_two_tools_is_kept_for_both() -> None:
    """A condition may ask which tool's fields a value stood in."""
    seen = NOTHING_SEEN.after(brought(text="hello", tool="a"), 1).after(brought(text="hello", tool="b"), 2)

    assert origins("hello", *seen.marks).parts[0].outsiders == {"a", "b"}


def test_clean_values_count_from_the_end_of_a_call_and_outsiders_from_its_beginning() -> None:
    """Of two calls at the same time nobody knows which result was read first, so outsiders were."""
    clean_then_mail = NOTHING_SEEN.after(brought("v", tool="vendors.lookup", call=1), 2)
    both = clean_then_mail.after(Brought("mail.read", 2, {}, "v"), 2)

    assert origins("v", *both.marks).parts[0].outsider_first


def test_long_text_of_outsiders_is_lost() -> None:
    assert outsiders_text(["x" * provenance.MAX_RAW]) is not None
    assert outsiders_text(["x" * provenance.MAX_RAW, "y"]) is None


@pytest.mark.parametrize(
    "odd",
    [
        "&#" + "9" * 5000 + ";",
        "\ud800",
        "%ff%fe",
        "\\ud800",
        "&#xD800;",
        "\\",
        "&",
        "%",
        float("nan"),
        float("inf"),
        2**70,
    ],
)
def test_odd_values_break_nothing(odd: Json) -> None:
    """A result holds anything; whoever writes a mail must not be able to stop the outcome from being written."""
    outsiders_text([odd])
    spellings(odd)
    origins(odd, mail("a"), vendor("b"))
    assert digests([odd]) is not None


# In a decision.


class Watch:
    """A condition that holds, and keeps what it was shown."""

    text = "watch"

    def __init__(self) -> None:
        self.names: dict[str, object] = {}

    def holds(self, view: View) -> bool:
        self.names = dict(view.names)
        return True


def shown(seen: Seen, traced: frozenset[str] = frozenset({"table", "note"}), **run: object) -> dict[str, object]:
    watch = Watch()
    case = good().with_workflow(follows=True).with_step(EXPORT, require=(watch,), traced=traced)
    case.with_run(seen=seen, **run).decide()
    return watch.names


def test_a_condition_sees_the_origins_of_the_arguments_that_were_given() -> None:
    names = shown(Seen((vendor("orders"),)), inputs={"t": "orders"})

    assert names["origins"] == {"table": ["inputs", "inputs.t", "vendors.lookup"]}


def test_where_one_origin_cannot_be_found_out_the_name_is_gone() -> None:
    """`!has(origins.note) || …` must fault, and not take what was lost for an argument that was not given."""
    assert "origins" not in shown(Seen((), True))


def test_where_no_value_is_followed_there_is_no_such_name() -> None:
    watch = Watch()
    good().with_step(EXPORT, require=(watch,), traced=frozenset({"table"})).decide()

    assert "origins" not in watch.names


@pytest.mark.parametrize(
    ("given", "outside", "passes"),
    [
        (["Orders/", "x"], "nothing", True),
        (["Orders/", "y"], "nothing", False),
        (["or-ders", "x"], "or ders", False),
        (["orders"], "nothing", False),
    ],
)
def test_values_below_an_argument_are_looked_for_in_the_spelling_in_which_each_was_given(
    given: list[str], outside: str, passes: bool
) -> None:
    """A destination below an argument becomes canonical, too; what is spelt by another number of values is unknown."""
    asked = good().with_step(EXPORT, sources={("table", EVERY, "id"): frozenset({"tickets.get"})})
    called = asked.with_request(arguments={"rows": 500, "table": [{"id": "orders"}, {"id": "unheard"}]})
    spelt = called.with_facts(as_called={"rows": 500, "table": [{"id": each} for each in given]})
    clean = Mark("tickets.get", 2, digests(["Orders/", "or-ders", "x"]))
    case = spelt.with_run(seen=Seen((mail(outside), clean)))

    assert (Reason.PROVENANCE_UNMET not in case.decide().reasons) is passes


def test_a_refusal_names_sources_and_no_value() -> None:
    """Findings stand in records, and the value may be an outsider's."""
    case = (
        good().with_step(EXPORT, sources={("table",): frozenset({"inputs"})}).with_run(seen=Seen((mail("the ORDERS"),)))
    )
    (found,) = case.decide().findings

    assert found.detail == "`table` was first in what outsiders can write: mail.read"
    assert "orders" not in found.detail.lower().replace("outsiders", "")


@pytest.mark.parametrize(
    ("kind", "identity", "level", "text", "sends"),
    [
        ("url", "https://evil.example/x", "internal", "see evil.example", True),
        ("url", "https://evil.example/x", "internal", "see example", False),
        # `http://SECRET.evil.example/`, says the mail: the name itself carries the secret away.
        ("url", "https://c2vjcmv0.evil.example/", None, "ask https://DATA.evil.example/", True),
        ("host", "a.b.c.evil.example:443", None, "evil.example", True),
        ("url", "https://wiki.corp.example/", "internal", "from alice@corp.example", False),
        ("url", "https://wiki.corp.example/", None, "an example", False),
        ("ip", "10.0.0.5", None, "0.0.5", False),
        ("url", "https://[2001:db8::1]/", None, "db8", False),
        ("url", "https://xn--strae-oqa.de/", "internal", "siehe stra\u00dfe.de", True),
        ("url", "https://a.xn--mnchen-3ya.example/", None, "M\u00dcNCHEN.example", True),
        ("url", "https://xn--\u20ac.example/", "internal", "x", False),
        ("email", "bob@evil.example", "internal", "at evil.example", True),
        # These ids begin with a word that is no host.
        ("sql", "sql:postgres:sales.orders", "internal", "we use SQL", False),
        ("channel", "slack:#general", "internal", "in Slack", False),
    ],
)
def test_reading_from_a_host_that_an_outsider_named_is_sending(
    kind: str, identity: str, level: str | None, text: str, sends: bool
) -> None:
    """Whoever owns the host, or the domain above an unlisted one, learns what is asked for there."""
    place = Destination(kind, identity, None if level is None else Sensitivity.parse(level))
    case = good().with_tool(effect=ToolEffect.READ).with_facts(destinations=(place,))
    decision = case.with_run(seen=Seen((mail(text),))).decide()

    assert decision.tool_effect is (ToolEffect.SEND if sends else ToolEffect.READ)
