"""`carries_nothing_of`, `links` and `addresses` are checked when the bundle is loaded."""

from __future__ import annotations

from typing import Any

import pytest
from small_bundle import TEXT, small_bundle

from agentguard.errors import PolicyError
from agentguard.policy import load


def step_with(tmp_path: Any, **rule: Any) -> Any:
    """The step that replies, of a bundle that was loaded from files."""
    files = small_bundle({
        "read_inbox": {"keep": {"site": "result.site"}},
        "reply": {"args": {"body": {"type": "string"} | rule}, "effect": "send"},
    })  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    workflow = load(tmp_path).policy.workflows["w"]
    return workflow, workflow.steps_by_tool["reply"][0]


@pytest.mark.parametrize(("rule", "message"), [
    ({"links": "nothing"}, "links: expected `none`, or where they may come from"),
    ({"links": []}, "links: expected `none`"),
    ({"links": {"from": []}}, "links: expected `none`"),
    ({"links": {"of": ["read_inbox"]}}, "links: expected `none`"),
    ({"links": {"from": ["catalog"]}}, "links: there is no source `catalog`"),
    ({"links": {"from": "read_inbox[*].url"}}, "is not held letter by letter; `keep` it"),
    ({"links": {"from": "kept.sites[*].url"}}, "did you mean `site`"),
    ({"links": {"from": "kept.site[?id == args.bdy].url"}}, "did you mean `body`"),
    ({"addresses": True}, "addresses: expected `none`"),
    ({"addresses": {"from": "read_inbx"}}, "did you mean `read_inbox`?"),
    ({"addresses": {"from": ["read_inbox", "read_inbox"]}}, "a source is listed twice"),
    ({"carries_nothing_of": "read_inbox"}, "expected a list of tools"),
    ({"carries_nothing_of": []}, "expected a list of tools"),
    ({"carries_nothing_of": ["inputs"]}, "there is no tool of a step `inputs`"),
    ({"carries_nothing_of": ["read-inbox"]}, "did you mean `read_inbox`?"),
    ({"carries_nothing_of": ["read_inbox", "read_inbox"]}, "a tool is listed twice"),
    ({"type": "integer", "links": "none"}, "only a text carries something"),
])  # fmt: skip
def test_a_rule_of_a_text_that_could_not_be_meant_is_refused(tmp_path: Any, rule: Any, message: str) -> None:
    """With what to write instead."""
    with pytest.raises(PolicyError) as caught:
        step_with(tmp_path, **rule)
    assert message in str(caught.value)


@pytest.mark.parametrize(("rule", "tells", "rests"), [
    ({"links": "none"}, False, False),
    ({"addresses": {"from": ["inputs"]}}, False, False),
    ({"links": {"from": ["kept.site"]}}, False, True),
    ({"links": {"from": ["kept.site[*].url"]}}, False, True),
    ({"links": {"from": ["inputs"]}}, False, False),
    ({"links": {"from": "read_inbox"}}, True, True),
    ({"carries_nothing_of": ["read_inbox"]}, True, True),
])  # fmt: skip
def test_what_tools_return_is_remembered_where_a_rule_asks_for_it(
    tmp_path: Any, rule: Any, tells: bool, rests: bool
) -> None:
    """And a step that asks rests on what the run knows, so it is refused while that is unknown."""
    workflow, step = step_with(tmp_path, **rule)
    assert (workflow.tells, step.rests_on_run) == (tells, rests)
    assert workflow.follows or not tells


def test_a_bundle_that_says_nothing_of_texts_remembers_nothing(tmp_path: Any) -> None:
    """What it does not use costs it nothing."""
    workflow, step = step_with(tmp_path)
    assert (workflow.tells, step.texts) == (False, ())
    assert TEXT == {"type": "string"}
