"""The identity page of the docs is run, not trusted."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from identity_maker import trust

from agentguard.core.values import Assurance
from agentguard.identity import KeySet, Verifier, key_source

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
ISSUERS = [
    pytest.param(issuer, id=issuer["name"])
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for issuer in yaml.safe_load(block).get("issuers", [])
]
# Code that loads a policy is run with that policy, in `test_identity_docs_followed.py`.
CODE = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Guard.load(" not in code]


def _span(text: str) -> timedelta:
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


@pytest.mark.parametrize("issuer", ISSUERS)
def test_each_issuer_on_the_page_can_be_trusted_as_written(issuer: dict[str, Any], tmp_path: Path) -> None:
    """An example that does not load teaches people to loosen things until it does."""
    values = {name: _span(v) if name in {"max_age", "max_lifetime", "skew"} else v for name, v in issuer.items()}
    if "minimum_assurance" in values:
        values["minimum_assurance"] = Assurance.parse(values["minimum_assurance"])
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    declared = trust(**{"skew": timedelta(seconds=5), "trust_domain": None, **values})

    assert Verifier(declared, KeySet({})).trust is declared
    if "keys_url" in issuer:
        assert key_source(declared, tmp_path).may_block


@pytest.mark.parametrize("code", CODE)
def test_each_piece_of_code_on_the_page_runs(code: str) -> None:
    """Names, arguments and keys, as a reader will copy them."""
    names: dict[str, Any] = {}
    exec(compile(code, "identity.md", "exec"), names)

    assert any(hasattr(value, "assertion") and not isinstance(value, type) for value in names.values())


def test_the_page_has_its_examples() -> None:
    """So that the two tests above cannot pass by finding nothing."""
    assert len(ISSUERS) >= 8
    assert len(CODE) >= 3
