"""``agentguard schema``: what may stand in a policy file, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agentguard.cli import common

app = common.new_app("Print the JSON Schema of policy files, for editors.", group=False)


@app.command()
def schema(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Trust, Tools, Destinations, Steps, Workflow or Cases.")
    ] = None,
) -> None:
    """Print the JSON Schema of one kind of policy file; without KIND, of all, by name.

    Example: agentguard schema Workflow > workflow.schema.json

    Editors with a YAML language server use it through this first line of a policy file:
    # yaml-language-server: $schema=workflow.schema.json
    """
    from agentguard.policy import schemas

    known = schemas()
    if kind is None:
        typer.echo(json.dumps(known, indent=2))
    else:
        typer.echo(json.dumps(known[common.choice(kind, known, "KIND")], indent=2))
