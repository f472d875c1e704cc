"""`from: list_files[*].id_`: a value that a named place held passes, whatever stands in free text, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from small_bundle import TEXT, WHOLE, guard_of, small_bundle

from agentguard.core import provenance
from agentguard.errors import PolicyError, ToolCallDenied
from agentguard.guard import Guard
from agentguard.testing import in_memory_guard

EVIL, GOOD = "DE89370400440532013000", "DE02120300000000202051"
INBOX = {"effect": "read", "tool": {"untrusted_results": ["[*].body"]}}
ROWS = {"effect": "read", "tool": {"untrusted_results": ["[*].note"]}}


def pay(source: Any, schema: Any = TEXT, **step: Any) -> dict[str, Any]:
    return {"effect": "send", "args": {"to": {**schema, "from": source}}, **step}


class Desk:
    """The tools of a guard, and what they return next."""

    def __init__(self, guard: Guard, rows: Any, mails: Any = None) -> None:
        self.answers: dict[str, Any] = {"rows": rows, "inbox": mails or []}

        def rows_() -> Any:
            return self.answers["rows"]

        def inbox() -> Any:
            return self.answers["inbox"]

        def pay(to: Any) -> str:
            return "paid"

        rows_.__name__ = "rows"
        self.rows, self.inbox, self.pay = guard.wrap([rows_, inbox, pay])

    def pays(self, to: Any) -> bool:
        try:
            return bool(self.pay(to) == "paid")
        except ToolCallDenied:
            return False


def reasons(guard: Guard) -> list[str]:
    return list(guard.records(kind="decision"))[-1]["reasons"]


def test_what_stands_in_free_text_does_not_spoil_a_named_place() -> None:
    """The bill names the account before the look-up returns it: today's plain word refuses that, a named place not."""
    rows = [{"iban": GOOD, "note": EVIL}, {"iban": "other", "note": ""}]
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay("rows[*].iban")}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, rows, [{"body": f"pay {GOOD}"}])
        assert not desk.pays(GOOD), "nothing was looked up yet"
        desk.inbox()
        assert not desk.pays(GOOD)
        desk.rows()
        assert desk.pays(GOOD) and desk.pays("other")
        assert not desk.pays(EVIL)
        assert reasons(guard) == ["provenance_unmet"]
        assert not desk.pays(GOOD.lower()) and not desk.pays(GOOD[:-1])


def test_the_plain_word_of_a_tool_keeps_its_rule() -> None:
    """A bundle of today decides as today."""
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay("rows")}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [{"iban": GOOD}], [{"body": f"pay {GOOD}"}])
        desk.inbox()
        desk.rows()
        assert not desk.pays(GOOD)


def test_a_place_of_another_shape_is_outsiders() -> None:
    """Where the result is not what was declared, nothing in it is clean, at that place neither."""
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay("rows.first.iban")}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, {"first": {"iban": EVIL}})
        desk.rows()
        assert not desk.pays(EVIL)


def test_numbers_are_equal_by_value_and_not_by_type() -> None:
    """1200 is 1200.0, and neither is "1200" or true."""
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay("rows[*].n", {"type": ["number", "string"]})}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [{"n": 1200.0}, {"n": 7}, {"n": "8"}])
        desk.rows()
        assert desk.pays(1200) and desk.pays(7.0) and desk.pays("8")
        assert not desk.pays("1200") and not desk.pays(8) and not desk.pays(9)


def test_each_value_of_a_list_must_have_stood_there() -> None:
    """Ids in lists, on both sides."""
    schema = {"type": "array", "items": TEXT}
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay(["rows[*].ids", "rows[*].id"], schema)}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [{"ids": ["a", "b"], "id": "c"}, {"id": "d", "other": "e"}])
        desk.rows()
        assert desk.pays(["b", "a"]) and desk.pays(["c", "a", "d"])
        assert not desk.pays(["a", "e"]) and desk.pays([])


def test_a_place_in_what_is_kept_counts_while_it_is_kept() -> None:
    """What a list that grows held of every call; what is replaced is gone."""
    for keep, still in (({"all": {"add": "result", "key": "id"}}, True), ({"all": "result"}, False)):
        tools = {"rows": {**ROWS, "keep": keep}, "inbox": INBOX, "pay": pay("kept.all[*].mail")}
        with guard_of(tools) as guard, guard.run("w"):
            desk = Desk(guard, [{"id": 1, "mail": "a", "note": "x"}], [{"body": "a b x"}])
            desk.inbox()
            desk.rows()
            assert desk.pays("a") and not desk.pays("x")
            desk.answers["rows"] = [{"id": 2, "mail": "b", "note": "x"}]
            desk.rows()
            assert desk.pays("b")
            assert desk.pays("a") is still


def test_the_participants_of_one_event() -> None:
    """One element, chosen by another argument: no other element's values pass."""
    keep = {"events": {"add": "result", "key": "id"}}
    invite = {
        "effect": "send",
        "args": {"event": WHOLE, "to": {"type": "array", "items": TEXT,
                                        "from": "kept.events[?id == args.event].people[*]"}},
    }  # fmt: skip
    tools = {"rows": {**ROWS, "keep": keep}, "invite": invite}
    with guard_of(tools) as guard, guard.run("w"):

        def rows() -> Any:
            return [{"id": 1, "people": ["a", "b"], "note": "z"}, {"id": 2, "people": ["c"], "note": "z"}]

        def invite_(event: int, to: list[str]) -> str:
            return "sent"

        invite_.__name__ = "invite"
        look, send = guard.wrap([rows, invite_])
        look()
        assert send(1, ["b", "a"]) == send(2, ["c"]) == "sent"
        for event, people in ((1, ["c"]), (2, ["a"]), (3, ["a"]), (1, ["z"])):
            with pytest.raises(ToolCallDenied):
                send(event, people)


def test_a_map_by_key_brings_what_stands_under_its_keys() -> None:
    keep = {"by_name": {"by": "result[0].id", "value": "result[0]"}}
    tools = {"rows": {**ROWS, "keep": keep}, "inbox": INBOX, "pay": pay("kept.by_name.*.mail")}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [{"id": "x", "mail": "a", "note": "n"}])
        desk.rows()
        assert desk.pays("a") and not desk.pays("x") and not desk.pays("n")


def test_a_key_that_outsiders_wrote_in_a_result_of_another_shape_makes_its_value_theirs() -> None:
    """Whoever writes the key says of whom the value is; of a result in another form all of it is outsiders'."""
    keep = {"by_name": {"by": "result.nick", "value": "args.mail"}}
    look = {"args": {"mail": {**TEXT, "from": "inbox[*].mail"}}, "keep": keep, "tool": {"untrusted_results": ["[*].x"]}}
    tools = {"rows": ROWS, "inbox": INBOX, "look": look, "pay": pay("kept.by_name.*")}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [], [{"mail": "a", "body": "n"}])
        answer: list[Any] = [{"nick": "boss"}]

        def look_(mail: str) -> Any:
            return answer[0]

        look_.__name__ = "look"
        (asked,) = guard.wrap([look_])
        desk.inbox()
        asked(mail="a")
        assert not desk.pays("a")


def test_in_an_empty_list_nothing_is_from_elsewhere() -> None:
    """Nobody in copy is what nobody said; whoever is must come from there."""
    people = {"type": "array", "items": TEXT}
    inner = {"type": "object", "properties": {"to": people}, "required": ["to"]}
    for source in ("rows[*].iban", "rows"):
        tools = {"rows": ROWS, "inbox": INBOX, "pay": pay(source, people)}
        with guard_of(tools) as guard, guard.run("w"):
            desk = Desk(guard, [{"iban": GOOD, "note": ""}])
            assert desk.pays([]) and not desk.pays([GOOD])
            desk.rows()
            assert desk.pays([]) and desk.pays([GOOD]) and not desk.pays([GOOD, EVIL])
    with guard_of({"rows": ROWS, "inbox": INBOX, "pay": pay("rows", inner)}) as guard, guard.run("w"):
        desk = Desk(guard, {1: GOOD})
        desk.rows()  # nothing is known any more
        assert desk.pays({"to": []}) and not desk.pays({"to": [GOOD]})


def test_past_the_bounds_of_text_values_are_not_all_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named places hold; a plain word holds for what outsiders did not write, and never for what they did."""
    monkeypatch.setattr(provenance, "MAX_TEXT", 100)
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay(["rows", "rows[*].named"])}
    with guard_of(tools) as guard, guard.run("w"):
        words = "the quick brown fox jumps over the lazy dog " * 20
        desk = Desk(guard, [{"iban": GOOD, "evil": EVIL, "named": "quick brown"}], [{"body": f"{words} {EVIL}"}])
        desk.inbox()
        desk.rows()
        assert desk.pays(GOOD) and desk.pays("quick brown")
        assert not desk.pays(EVIL)


def test_after_a_result_that_cannot_be_followed_places_hold_and_plain_words_do_not() -> None:
    """A result that has no JSON form: what outsiders wrote is not known any more, and what stood at a place is."""
    tools = {"rows": ROWS, "inbox": INBOX, "pay": pay(["rows", "rows[*].named"])}
    with guard_of(tools) as guard, guard.run("w"):
        desk = Desk(guard, [{"iban": GOOD, "named": "acme"}])
        desk.rows()
        assert desk.pays(GOOD) and desk.pays("acme")
        desk.answers["inbox"] = [{1: "a"}]
        desk.inbox()
        assert desk.pays("acme")
        assert not desk.pays(GOOD)


@pytest.mark.parametrize(
    ("source", "keep", "said"),
    [
        ("rows[*].note", {}, "outsiders write there: `untrusted_results` of `rows` says `[*].note`"),
        ("rows[*]", {}, "outsiders write there"),
        ("rows[?id == 1].iban", {}, "`keep` it"),
        ("rowz[*].iban", {}, "there is no source `rowz[*].iban`"),
        ("kept.all[*].iban", {}, "there is no kept value `all`"),
        ("kept.all[*].note", {"all": "result"}, "outsiders write there: step `rows` keeps `result`"),
        ("kept.all[*].note", {"all": {"add": "result", "key": "id"}}, "outsiders write there"),
        ("kept.notes[*]", {"notes": "result[*].note"}, "outsiders write there"),
        ("kept.all.*.note", {"all": {"by": "result[0].id", "value": "result[0]"}}, "outsiders write there"),
        ("kept.one.iban", {"one": "result[?note == 'rent']"}, "outsiders choose what is kept as `kept.one`"),
        ("kept.all[?note == args.to].iban", {"all": "result"}, "outsiders write there"),
        ("kept.all[?id == args.nobody].iban", {"all": "result"}, "there is no argument `nobody`"),
        ("inputs.team[*].mail", {}, "there is no input `team`"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused_when_the_bundle_loads(source: str, keep: Any, said: str) -> None:
    """Whoever can write there would decide."""
    tools = {"rows": {**ROWS, "keep": keep}, "inbox": INBOX, "pay": pay(source)}
    with pytest.raises(PolicyError) as refused, guard_of(tools):
        pass
    assert said in str(refused.value)


@pytest.mark.parametrize("source", ["kept.who", "kept.who.x"])
def test_what_the_model_wrote_comes_from_nowhere(source: str) -> None:
    """Kept from an argument, it is the model's word, unless that argument had to come from somewhere itself."""
    look = {"effect": "read", "args": {"name": TEXT}, "keep": {"who": "args.name"}}
    with pytest.raises(PolicyError) as refused, guard_of({"look": look, "pay": pay(source)}):
        pass
    assert "is what the model wrote" in str(refused.value)
    bound = {**look, "args": {"name": {**TEXT, "enum": ["ann"]}}}
    with guard_of({"look": bound, "pay": pay(source)}):
        pass


LAUNDERED = {
    "fill": {**TEXT, "fill": "kept.who"}, "from": {**TEXT, "from": "kept.whom[*]"},
}  # fmt: skip


@pytest.mark.parametrize("word", LAUNDERED)
@pytest.mark.parametrize(
    ("enum", "loads"), [("kept.theirs", False), ("kept.said", False), ("kept.ours", True), ("inputs.team", True)]
)
def test_a_list_that_outsiders_or_the_model_write_binds_nobody(word: str, enum: str, loads: bool) -> None:
    """Else what outsiders list is picked by the model, kept, and the owner's word from then on."""
    read = {
        "args": {"x": TEXT},
        "keep": {"theirs": "result.theirs[*].id", "ours": "result.ours[*].id", "said": "args.x"},
        "tool": {"untrusted_results": ["theirs[*].id", "ours[*].text"]},
    }
    pick = {"args": {"x": {**TEXT, "enum": enum}}, "keep": {"who": "args.x", "whom": {"add": "args.x"}}}
    files = small_bundle({"read": read, "pick": pick, "pay": {"effect": "send", "args": {"to": LAUNDERED[word]}}})
    workflow = json.loads(files["w.yaml"].replace("2029-12-31", '"@"'))
    workflow["inputs"] = {"team": {"type": "array", "items": TEXT}}
    files["w.yaml"] = json.dumps(workflow).replace('"@"', "2029-12-31")
    if loads:
        with in_memory_guard(files):
            return
    with pytest.raises(PolicyError, match=r"the model"), in_memory_guard(files):
        pass


def test_a_condition_sees_named_places_among_the_origins() -> None:
    """`origins` has the words of `from`, and a place that stands in a condition is followed."""
    condition = '"rows[*].iban" in origins.to'
    step = {"effect": "send", "args": {"to": TEXT}, "require": [condition]}
    with guard_of({"rows": ROWS, "inbox": INBOX, "pay": step}) as guard, guard.run("w"):
        desk = Desk(guard, [{"iban": GOOD, "id": EVIL}])
        desk.rows()
        assert desk.pays(GOOD)
        assert not desk.pays(EVIL)


MAIL: dict[str, Any] = {"args": {}, "keep": {"word": "result.text"}, "tool": {"untrusted_results": ["text"]}}
PEOPLE = {"args": {"q": TEXT}, "tool": {"untrusted_results": ["[*].nick", "nick"]}}


@pytest.mark.parametrize(
    ("keep", "place", "loads"),
    [
        ({"by": "result.nick", "value": "result.account"}, "kept.who[args.name]", False),
        ({"by": "result.id", "value": "result.account"}, "kept.who[args.name]", True),
        ({"by": "args.q", "value": "result.account"}, "kept.who[args.name]", True),
        ("result[?id == kept.word].account", "kept.who", False),
        ("result[?id == kept.mine].account", "kept.who", True),
        ("result[?id == args.q].account", "kept.who", True),
        ("result[?nick == args.q].account", "kept.who", False),
        ({"by": "result.id", "value": "result.account"}, "kept.who[kept.word]", False),
        ({"by": "result.id", "value": "result.account"}, "kept.who[kept.mine]", True),
    ],
)
@pytest.mark.parametrize("word", ["fill", "from"])
def test_whoever_chooses_what_is_kept_decides_it(word: str, keep: Any, place: str, loads: bool) -> None:
    """Whose account stands under a name is decided by who says what the name is."""
    if word == "from" and place == "kept.who":
        keep, place = {"add": keep}, "kept.who[*]"
    people = {**PEOPLE, "keep": {"who": keep, "mine": "args.q"}}
    pay = {"effect": "send", "args": {"to": {**TEXT, word: place}, "name": TEXT}}
    bundle = small_bundle({"mail": MAIL, "people": people, "pay": pay})
    if word == "fill" and "kept.mine" in place:
        loads = False  # what fills is never the model's word
    if loads:
        with in_memory_guard(bundle):
            return
    with pytest.raises(PolicyError), in_memory_guard(bundle):
        pass


@pytest.mark.parametrize("word", ["links", "addresses"])
def test_a_link_does_not_come_from_what_the_model_wrote(word: str) -> None:
    """Kept from an argument, it would allow itself."""
    send = {"effect": "send", "args": {"body": {**TEXT, word: {"from": ["kept.site"]}}}}
    note = {"args": {"site": TEXT}, "keep": {"site": "args.site"}}
    with pytest.raises(PolicyError, match="is what the model wrote"), guard_of({"note": note, "send": send}):
        pass
