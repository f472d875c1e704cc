"""The page of words and limits is what the code says: every number, every function, every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentguard.core import canonical, growing, paths, provenance, tallies
from agentguard.core.text import links, readings, told
from agentguard.guard import answers, proceed, records
from agentguard.guard import provenance as brought
from agentguard.guard.call import meaning
from agentguard.guard.candidate import beside
from agentguard.ledger.operations import made
from agentguard.policy import keeps, loader, models, observing
from agentguard.policy.cases.written import CaseEntry
from agentguard.policy.cel import compiling, cost, inspect, lets, runtime
from agentguard.policy.cel.functions import table, texts
from agentguard.policy.yaml import files
from agentguard.policy.yaml import parse as yaml

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
NUMBERS = {
    name.strip(): int(number.replace(",", ""))
    for name, number in re.findall(r"^\| (.+?) \| ([0-9][0-9,]*)[^|]*\|", PAGE, re.MULTILINE)
}
WORDS = {
    where.strip(): set(re.findall(r"`([^`]+)`", words))
    for where, words in re.findall(r"^\| ([a-z`][^|]*) \| (`?[^|0-9]+) \|$", PAGE, re.MULTILINE)
}
IN_CODE = {
    "one policy file": files.MAX_BYTES,
    "values in one policy file": yaml.MAX_NODES,
    "levels in one policy file": yaml.MAX_DEPTH,
    "files in one bundle": files.MAX_FILES,
    "arguments of one call as JSON": canonical.MAX_BYTES,
    "values in the arguments of one call": canonical.MAX_NODES,
    "levels in the arguments of one call": canonical.MAX_DEPTH,
    "a path": paths.parse.__globals__["MAX_PATH"],
    "a condition": compiling.MAX_LENGTH,
    "a condition with everything that it names": lets.MAX_NODES,
    "loops inside each other": inspect.MAX_LOOPS,
    "steps of all loops of one condition": cost.MAX_STEPS,
    "values that a function gives back to an expression": runtime.MAX_HANDED,
    "characters that a function of text makes": texts.MAX_TEXT,
    "a text that `match` searches": keeps.MAX_TEXT,
    "elements of a kept value that grows": growing.MAX_ELEMENTS,
    "a kept value that grows, as JSON": growing.MAX_BYTES,
    "exact values that one run follows": provenance.MAX_VALUES,
    "texts and numbers of one argument that are traced": provenance.MAX_PARTS,
    "members and elements of one result that are followed": brought.MAX_NODES,
    "a text that `links`, `addresses` or `carries_nothing_of` look at": readings.MAX_TEXT,
    "links and addresses in one text": links.MAX_FOUND,
    "calls of one run that `carries_nothing_of` tells apart": told.MAX_CALLS,
    "different values that `per` counts in one run": tallies.MOST_VALUES,
    "labels of `approval.show`": 10,
    "a value of `approval.show`": meaning.MAX_SHOWN_BYTES,
    "a hint": 300,
    "days ahead that `observe` may say": observing.LONGEST.days,
    "the key of a run": records.MAX_NAME,
    "calls that wait for the verdict of a candidate": beside.MOST_WAITING,
    "an answer that is kept for the same call, made again": answers.MOST_BYTES,
    "the arguments of a call that waits, stored for `guard.proceed`": proceed.MOST_BYTES,
    "answers that are kept in one run": made.MOST_KIB,
    "problems of one bundle that are listed": loader.MAX_PROBLEMS,
}


@pytest.mark.parametrize("limit", sorted(NUMBERS.keys() | IN_CODE.keys()))
def test_every_number_of_the_page_is_the_number_of_the_code(limit: str) -> None:
    """A limit that somebody plans by, and that is another."""
    assert NUMBERS.get(limit) == IN_CODE.get(limit)


def test_every_function_of_ours_stands_on_the_page() -> None:
    """And none that is not there."""
    assert set(table._FUNCTIONS) <= WORDS["our functions"]


@pytest.mark.parametrize(
    ("where", "model", "left_out"),
    [
        ("a workflow", models.Workflow, {"apiVersion", "kind"}),
        ("a step", models.StepEntry, set()),
        ("an approval", models.Approval, set()),
        ("a case", CaseEntry, {"name", "workflow"}),
    ],
)
def test_every_key_stands_on_the_page(where: str, model: type, left_out: set[str]) -> None:
    """A word that is not on it is not found."""
    fields = model.model_fields  # type: ignore[attr-defined]
    keys = {field.alias or name for name, field in fields.items()} - left_out

    assert keys <= WORDS[where], keys - WORDS[where]
