"""``agentguard destination``: which place a value leads to, or why that cannot be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.core.values import Json
from agentguard.destinations import Ambiguous, Catalog, Kind, find_kind, kind_names
from agentguard.destinations.derive import classified, safely

app = common.new_app("Say which place a value leads to.", group=False)


def describe(kind: Kind, value: Json, options: Mapping[str, Json], catalog: Catalog) -> dict[str, Json]:
    """The answer as one JSON object: ``ok`` with every destination, or ``refused`` with the reason."""
    derived = safely(kind, value, options)
    if isinstance(derived, Ambiguous):
        return {"verdict": "refused", "reason": derived.reason}
    destinations: list[Json] = []
    for place in derived:
        reached = classified(catalog, place)
        if isinstance(reached, Ambiguous):
            return {"verdict": "refused", "reason": reached.reason}
        for found in reached:
            word = "unclassified" if found.sensitivity is None else found.sensitivity.word
            destinations.append({"kind": found.kind, "id": found.id, "sensitivity": word, "zone": found.zone})
    return {"verdict": "ok", "destinations": destinations}


def answer(kind_name: str, value: str, options: Mapping[str, Json], catalog: Catalog) -> NoReturn:
    """Print the answer and leave: 0 for ok, 1 for refused, 2 for a wrong use of the command."""
    kind = find_kind(kind_name)
    if kind is None:
        _misused(f"`{kind_name}` is not a kind of destination; expected one of {', '.join(kind_names())}")
    problem = kind.option_problem(options)
    if problem is not None:
        if "dialect" not in kind.options or options.keys() - {"dialect"}:
            _misused(problem)
        # A statement in a language that is not known here is like any other that cannot be read.
        _say(problem)
    found = describe(kind, value, options, catalog)
    typer.echo(json.dumps(found))
    raise typer.Exit(0 if found["verdict"] == "ok" else 1)


def parse_options(dialect: str | None, given: list[str]) -> dict[str, Json]:
    """``--dialect`` and every ``--option NAME=VALUE``; the value is JSON where it reads as JSON, else
    text."""
    options: dict[str, Json] = {} if dialect is None else {"dialect": dialect}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            _misused(f"`{pair}` is not an option; expected NAME=VALUE, such as root=/srv/reports")
        if name in options:
            _misused(f"the option `{name}` is given twice")
        options[name] = _value(text)
    return options


@app.command()
def destination(
    value: Annotated[str, typer.Argument(help="The argument to read. Put `--` before one that begins with `-`.")],
    kind: Annotated[str, typer.Option(help="What kind of destination it is: url, host, path, dsn, sql ...")],
    dialect: Annotated[str | None, typer.Option(help="The SQL dialect, for the kind sql.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the kind, as NAME=VALUE.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A bundle whose catalog says what the place is worth.")] = None,
) -> None:
    """Show which place a value leads to, as one JSON object; exit 1 where that is ambiguous.

    Example: agentguard destination --kind url "https://files.example/out"
    """
    answer(kind, value, parse_options(dialect, option or []), catalog_of(policy))


def catalog_of(directory: Path | None) -> Catalog:
    """The catalog of a policy bundle, or an empty one. Raises PolicyError."""
    if directory is None:
        return Catalog()
    from agentguard.policy import load

    return Catalog(load(directory).catalog)


def _value(text: str) -> Json:
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed


def _say(message: str) -> None:
    typer.echo(f"agentguard: {display.plain(message)}", err=True)


def _misused(message: str) -> NoReturn:
    _say(message)
    raise typer.Exit(2)
