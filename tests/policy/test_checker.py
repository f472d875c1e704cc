"""Environments are shared, and no expression ever sees a type that its own workflow did not declare."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.errors import PolicyError
from agentguard.policy import load
from agentguard.policy.cel import checker
from agentguard.policy.cel.checker import checked, expect, mentioned
from agentguard.policy.cel.compiling import NotCompiled, compiled
from agentguard.policy.cel.conditions import _condition, compile_condition
from agentguard.policy.cel.runtime import RUNTIME
from agentguard.policy.cel.scope import Scope
from agentguard.policy.cel.tree import read_tree

TYPES: dict[str, dict[str, Any] | None] = {
    "whole": {"type": "integer"},
    "text": {"type": "string"},
    "list": {"type": "array", "items": {"type": "string"}},
    "absent": None,
}
TEXTS = ["args.v > 5", "args.v == 'x'", "'x' in args.v", "size(args.v) > 1", "args . v > 5", "inputs.v == args.v"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def scope(schema: dict[str, Any] | None, *, required: bool = True) -> Scope:
    properties = {"w": {"type": "string"}} if schema is None else {"v": schema, "w": {"type": "string"}}
    arguments = {
        "type": "object",
        "properties": properties,
        "required": [*properties] if required else ["w"],
        "additionalProperties": False,
    }
    inputs = {"type": "object", "properties": {"v": {"type": "string"}}, "required": ["v"]}
    return Scope.make(
        arguments=arguments, inputs=inputs, kept={}, origins=(), steps=("one",), subjects=("a",), has_destinations=False
    )


SCOPES = {
    (name, required): scope(schema, required=required) for name, schema in TYPES.items() for required in (True, False)
}


def said(text: str, where: Scope) -> str:
    try:
        _, types, _ = compiled(text, where, None, "a value")
        return repr(sorted(types.items()))
    except NotCompiled as error:
        return str(error)


def test_whatever_was_checked_before_an_expression_means_the_same() -> None:
    """Each expression in each scope alone; then one after the other: `args.v` of another type, optional, or absent."""
    alone = {}
    for (name, where), text in itertools.product(SCOPES.items(), TEXTS):
        forget()
        alone[name, text] = said(text, where)
    assert len(set(alone.values())) > 8

    for order in rotations([*SCOPES]):
        forget()
        expect([("args.v", "STRING"), ("inputs.v", "INT"), ("total", "INT")])
        for name, text in itertools.product(order, TEXTS):
            assert said(text, SCOPES[name]) == alone[name, text], (name, text)


def rotations(names: list[Any]) -> list[list[Any]]:
    turned = [names[at:] + names[:at] for at in range(len(names))]
    return turned + [order[::-1] for order in turned]


def forget() -> None:
    checker._ENVIRONMENTS = checker._Environments()
    checked.cache_clear()
    _condition.cache_clear()


def test_a_name_of_one_workflow_is_unknown_in_another() -> None:
    """What is expected, or known as `let` elsewhere, is declared in the environment, and must not be found."""
    forget()
    expect([("total", "INT"), ("args.v", "INT")])
    with pytest.raises(NotCompiled, match="total"):
        compile_condition("total > 5", SCOPES["whole", True])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("args.v > 5", {"args.v", "args"}),
        ("args . v > 5 // args.other", {"args.v", "args"}),
        (".args.v == inputs.w", {"args.v", "args", "inputs.w", "inputs"}),
        ("has(args.v)", {"args.v", "args"}),
        ("args.v.w.exists(x, x == args.y)", {"args.v", "args.y", "args", "x"}),
        ("[args.v, kept.z][0] == {'k': now}.k", {"args.v", "args", "kept", "now"}),
    ],
)
def test_every_name_that_could_be_declared_is_found_in_the_tree(text: str, names: set[str]) -> None:
    """Spaces, comments and a leading dot do not hide one."""
    found = set(mentioned(read_tree(RUNTIME.compile(text).serialize())))
    assert names <= found and {name for name in found if "." in name} == {name for name in names if "." in name}


def _workflow(number: int) -> str:
    return f"""apiVersion: agentguard/v1
kind: Workflow
metadata: {{name: w{number}, version: 1, owner: a, review_by: 2099-12-31}}
subjects: [spiffe://corp.example/agent/exporter]
identity: {{max_age: 60s}}
inputs:
  i{number}: {{type: string}}
steps:
  one:
    tool: t
    arguments: {{a{number}: {{type: integer, minimum: 0, maximum: {number + 1}}}, b: {{type: string}}}}
    require: [args.a{number} > {number}, "args.b == inputs.i{number}"]
"""


TRUST = """apiVersion: agentguard/v1
kind: Trust
issuers:
  - {name: local, profile: local, issuer: "urn:x", audience: x, max_age: 60s, max_lifetime: 60s,
     subjects: ["spiffe://corp.example/agent/exporter"]}
"""


def _bundle(folder: Path, workflows: int) -> Path:
    folder.mkdir()
    (folder / "trust.yaml").write_text(TRUST)
    (folder / "tools.yaml").write_text("apiVersion: agentguard/v1\nkind: Tools\ntools:\n  t: {effect: read}\n")
    for number in range(workflows):
        (folder / f"w{number}.yaml").write_text(_workflow(number))
    return folder


def test_workflows_that_share_no_name_share_an_environment(tmp_path: Path) -> None:
    """One costs two milliseconds; one for each workflow was most of the time that a large bundle took to load."""
    load(_bundle(tmp_path / "many", 60))

    assert 1 <= len(checker._ENVIRONMENTS._made) <= 2


def test_what_is_kept_of_environments_has_a_bound() -> None:
    """A process that loads bundles all day does not grow."""
    for number in range(checker._MOST_ENVIRONMENTS + 20):
        checked("args.v == args.v", (("args.v", "INT"), (f"args.n{number}", "INT" if number % 2 else "STRING")))
    expect((f"args.x{number}", "INT") for number in range(checker._MOST_EXPECTED + 100))

    assert len(checker._ENVIRONMENTS._made) == checker._MOST_ENVIRONMENTS
    assert len(checker._ENVIRONMENTS._expected) == checker._MOST_EXPECTED


def test_a_load_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    """It is off while a bundle is loaded, also where that fails, and stays off where the program wants it off."""
    good, wrong = _bundle(tmp_path / "good", 1), _bundle(tmp_path / "wrong", 1)
    (wrong / "w0.yaml").write_text("kind: Workflow\n")
    assert gc.isenabled()
    load(good)
    assert gc.isenabled()
    with pytest.raises(PolicyError):
        load(wrong)
    assert gc.isenabled()
    gc.disable()
    try:
        load(good)
        assert not gc.isenabled()
    finally:
        gc.enable()
