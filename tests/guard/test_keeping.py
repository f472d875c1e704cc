"""`keep` in a run: values that grow over calls, also calls at the same time, and what the record says."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from small_bundle import TEXT, guard_of

from agentguard.core import growing
from agentguard.errors import ToolCallDenied
from agentguard.guard import Guard

USER = {"users": {"by": "args.name", "value": "result.mail"}}
FILES = {"files": {"add": "result", "key": "id_"}}


def tools_of(keep: dict[str, Any], that: str) -> dict[str, Any]:
    return {
        "look": {"effect": "read", "args": {"name": TEXT}, "keep": keep},
        "send": {"effect": "send", "args": {"to": TEXT}, "require": [that]},
    }


def outcomes(guard: Guard) -> list[tuple[list[str], str | None]]:
    return [(record["kept"], record["error"]) for record in guard.records(kind="outcome")]


def wrapped(guard: Guard, answers: dict[str, Any]) -> tuple[Any, Any]:
    def look(name: str) -> Any:
        return answers[name]

    def send(to: str) -> str:
        return "sent"

    look_, send_ = guard.wrap([look, send])
    return look_, send_


def test_a_map_by_key_holds_what_each_call_said() -> None:
    """Two look-ups, and each person's own address; a third that cannot be read takes that person's away alone."""
    answers: dict[str, Any] = {"ann": {"mail": "a@x.example"}, "bob": {"mail": "b@x.example"}}
    with guard_of(tools_of(USER, "args.to == kept.users['ann'] || args.to == kept.users['bob']")) as guard:
        look, send = wrapped(guard, answers)
        with guard.run("w"):
            look("ann")
            look("bob")
            assert send("a@x.example") == send("b@x.example") == "sent"
            answers["ann"] = {"mail": None}
            look("ann")
            assert send("b@x.example") == "sent"
            with pytest.raises(ToolCallDenied):
                send("a@x.example")
        said = outcomes(guard)

    assert said[0] == (["users"], None)
    assert (["users"], None) not in said[4:]
    assert ([], "could not keep users: the value is null") in said


def test_a_list_grows_over_calls_without_duplicates() -> None:
    """The second call's word of one file takes the first one's place, and a call that finds nothing takes nothing."""
    answers: dict[str, Any] = {
        "1": [{"id_": "a", "n": 1}, {"id_": "b", "n": 1}],
        "2": [{"id_": "b", "n": 2}, {"id_": "c", "n": 2}],
        "none": "no files were found",
    }
    condition = "kept.files.exists(f, f.id_ == args.to && f.n == 2) && size(kept.files) == 3"
    with guard_of(tools_of(FILES, condition)) as guard:
        look, send = wrapped(guard, answers)
        with guard.run("w"):
            for name in ("1", "2", "none"):
                look(name)
            assert send("b") == send("c") == "sent"
            with pytest.raises(ToolCallDenied):
                send("a")
        assert ([], "could not keep files: `result`: element 0 has no text or number `id_`") in outcomes(guard)


def test_an_argument_is_kept_as_it_was_judged() -> None:
    """Whoever was looked up last is who may be written to."""
    with guard_of(tools_of({"who": "args.name"}, "args.to == kept.who")) as guard:
        look, send = wrapped(guard, {"ann": 1, "bob": 2})
        with guard.run("w"):
            look("ann")
            assert send("ann") == "sent"
            look("bob")
            with pytest.raises(ToolCallDenied):
                send("ann")


def test_what_parallel_calls_add_is_all_there() -> None:
    """Sixty threads; each finds a file of its own, and one that all find."""
    answers = {str(n): [{"id_": f"f{n}"}, {"id_": "common"}] for n in range(60)}
    with guard_of(tools_of(FILES, "size(kept.files) == 61 && kept.files.exists(f, f.id_ == args.to)")) as guard:
        look, send = wrapped(guard, answers)
        with guard.run("w"), ThreadPoolExecutor(16) as pool:
            contexts = [contextvars.copy_context() for _ in answers]
            list(pool.map(lambda pair: pair[0].run(look, pair[1]), zip(contexts, answers, strict=True)))
            assert all(send(f"f{n}") == "sent" for n in range(60))
            assert send("common") == "sent"


def test_past_its_bounds_a_value_is_not_kept_and_the_record_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not what a later call finds: the largest of a part is not the largest."""
    monkeypatch.setattr(growing, "MAX_ELEMENTS", 3)
    answers = {str(n): [{"id_": f"{n}"}] for n in range(5)}
    with guard_of(tools_of(FILES, "kept.files.exists(f, f.id_ == args.to)")) as guard:
        look, send = wrapped(guard, answers)
        with guard.run("w"):
            for name in ("0", "1", "2"):
                look(name)
            assert send("0") == "sent"
            look("3")
            look("4")
            for to in ("0", "3", "4"):
                with pytest.raises(ToolCallDenied):
                    send(to)
        said = [outcome for outcome in outcomes(guard) if outcome[1]]

    assert said == [
        ([], "could not keep files: it would hold more than 3 elements"),
        ([], "could not keep files: it has outgrown its bounds in this run"),
    ]


def test_a_path_reads_what_the_run_was_given_and_kept() -> None:
    """The one row that is about what an earlier step found."""
    tools = {
        "first": {"effect": "read", "keep": {"id": "result.id"}},
        "rows": {"effect": "read", "keep": {"mail": "result[?id == kept.id].mail"}},
        "send": {"effect": "send", "args": {"to": TEXT}, "require": ["args.to == kept.mail"]},
    }
    with guard_of(tools) as guard:

        def first() -> Any:
            return {"id": 2}

        def rows() -> Any:
            return [{"id": 1, "mail": "one"}, {"id": 2, "mail": "two"}]

        def send(to: str) -> str:
            return "sent"

        first_, rows_, send_ = guard.wrap([first, rows, send])
        with guard.run("w"):
            rows_()
            first_()
            with pytest.raises(ToolCallDenied):
                send_("two")
            rows_()
            assert send_("two") == "sent"
            with pytest.raises(ToolCallDenied):
                send_("one")
        assert ([], "could not keep mail: `kept.id`: there is no `id`") in outcomes(guard)
