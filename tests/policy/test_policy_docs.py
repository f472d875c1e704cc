"""The reference runs: its files are one bundle that loads, and every key of the language stands in it."""

from __future__ import annotations

import pkgutil
import re
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from agentguard.policy import cases, load, load_cases, models

TEXT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
WRITTEN = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BLOCKS = [block for block in WRITTEN if block.startswith("apiVersion")]
# What stands inside a step.
PARTS = [block for block in WRITTEN if block.startswith("keep:")]
MODULES = [
    import_module(f"{package.__name__}.{found.name}")
    for package in (models, cases)
    for found in pkgutil.iter_modules(package.__path__)
]
MODELS = [
    model
    for module in MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
]


def test_the_files_of_the_reference_are_a_bundle_with_cases(tmp_path: Path) -> None:
    """Somebody will copy them."""
    for number, block in enumerate(BLOCKS):
        kind = re.search(r"^kind: (\w+)$", block, re.MULTILINE)
        assert kind is not None
        suffix = ".cases.yaml" if kind[1] == "Cases" else ".yaml"
        (tmp_path / f"{number}{suffix}").write_text(block)

    bundle = load(tmp_path)

    assert set(bundle.policy.workflows) == {"customer-export"}
    assert len(load_cases(tmp_path, bundle)) == 5


def test_the_parts_of_a_step_in_the_reference_load(tmp_path: Path) -> None:
    """They are copied, too."""
    step = "".join(textwrap.indent(part, "    ") for part in PARTS)
    for number, block in enumerate(BLOCKS):
        if "kind: Workflow" in block:
            block = block.replace("inputs:\n", "inputs:\n  sender: {type: string}\n")
            arguments = "{user: {type: string}, channel: {type: string}}"
            block = block.replace(
                "steps:\n", f"steps:\n  copied:\n    tool: tickets.get\n    arguments: {arguments}\n{step}"
            )
        if "kind: Cases" not in block:
            (tmp_path / f"{number}.yaml").write_text(block)

    assert PARTS
    assert "copied" in {step.name for step in load(tmp_path).policy.workflows["customer-export"].steps}


def test_every_kind_of_file_has_models() -> None:
    """Looked for in the wrong place, none would be found, and every test below would pass."""
    assert {models.Workflow, models.Trust, cases.Cases} <= set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_stands_in_the_reference(model: type[BaseModel]) -> None:
    """A key that nobody can find is not there."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        assert re.search(rf"\b{re.escape(key)}\b", TEXT), key
