"""``agentguard show``: a workflow in full, with the steps that it includes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption
from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.policy import Bundle

app = common.new_app("Show a workflow in full, with the steps that it includes.", group=False)


@app.command()
def show(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="The bundle; left out: the current directory.")],
    workflow: Annotated[
        str | None, typer.Argument(metavar="WORKFLOW", help="Its name; left out where there is only one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show a workflow as one file: its own steps, and those it includes with the place where each is written.

    Example: agentguard show workflows/customer_export customer-export
    """
    from agentguard.cli import bundles

    place = Path(directory)
    if workflow is None and not place.is_dir():
        place, workflow = Path(), directory
    bundle = bundles.load(place).bundle
    name = _chosen(bundle, workflow)
    full = bundle.full[name]
    if json:
        steps = [
            {"name": step, "from": full.brought.get(step), "file": full.sources[step].file,
             "line": full.sources[step].line, "content": content}
            for step, content in full.steps.items()
        ]  # fmt: skip
        common.print_json({**full.content, "steps": steps, "digest": bundle.policy.workflows[name].digest})
        return
    for line in _lines(bundle, name):
        typer.echo(line)


def _chosen(bundle: Bundle, workflow: str | None) -> str:
    if workflow is None and len(bundle.full) == 1:
        return next(iter(bundle.full))
    if workflow is not None and workflow in bundle.full:
        return workflow
    asked = "say which workflow" if workflow is None else f"there is no workflow `{workflow}`"
    raise ConfigurationError(f"{asked}; this bundle has {', '.join(sorted(bundle.full))}")


def _lines(bundle: Bundle, name: str) -> list[str]:
    from agentguard.policy.yaml.write import as_yaml

    full = bundle.full[name]
    lines = as_yaml(full.content).splitlines()
    lines.append("steps:")
    for step, content in full.steps.items():
        if step in full.brought:
            source = full.sources[step]
            lines.append(f"  # from `{full.brought[step]}`, {display.plain(str(source))}")
        lines += as_yaml({step: content}, "  ").splitlines()
    return lines
