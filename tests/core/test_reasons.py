"""Every reason is explained to the person whose turn it is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml

from agentguard.audit import reasons, reasons_page
from agentguard.audit.explain import TURNS
from agentguard.core.reasons import Reason

FILE = yaml.safe_load(resources.files("agentguard.audit").joinpath("reasons.yaml").read_text("utf-8"))
PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"


def test_every_reason_is_explained_and_no_other() -> None:
    """A code in a record that nobody explains is noise; an explanation without a code is a promise not kept."""
    assert set(FILE["reasons"]) == {reason.value for reason in Reason}
    assert reasons().keys() == set(Reason)


def test_reasons_stand_in_the_order_of_the_code() -> None:
    """So that a reader finds the two lists side by side."""
    assert list(reasons()) == list(Reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_says_what_it_means_whose_turn_it_is_and_what_it_serves(reason: Reason) -> None:
    """Each of these is a column that some reader sorts by."""
    info = reasons()[reason]

    assert info.means.endswith(".")
    assert info.turn in TURNS
    assert {"owasp_agentic", "nist_csf", "nist_800_207"} <= info.controls.keys()


def test_every_control_has_a_title_and_every_title_a_reason() -> None:
    """A mapping to a control that does not exist would not survive an audit."""
    for name, framework in FILE["frameworks"].items():
        named = {control for info in reasons().values() for control in info.controls.get(name, ())}
        assert named == set(framework["controls"])


def test_the_mapping_cannot_be_changed() -> None:
    """It is one value for the whole process."""
    with pytest.raises(TypeError):
        reasons()[Reason.CONFLICT] = reasons()[Reason.NO_RUN]  # type: ignore[index]


def test_the_page_is_up_to_date() -> None:
    """Made anew by: python -c "from agentguard.audit import reasons_page; print(reasons_page(), end='')"."""
    assert PAGE.read_text("utf-8") == reasons_page()
