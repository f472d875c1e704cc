"""``agentguard destinations``: what the catalog leaves open, and what other catalogs bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.cli.common import JsonOption, LedgerOption
from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.core.values import Json
    from agentguard.destinations.coverage import Coverage

app = common.new_app("Compare the catalog with the records, and bring in other catalogs.")

_SOURCES = ("fips199", "tlp", "openmetadata", "datahub", "ocsf")


@app.command()
def coverage(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory of the policy files.")],
    ledger: LedgerOption = None,
    since: Annotated[str | None, typer.Option("--since", help="Only decisions from this time on, or 10m ago.")] = None,
    json: JsonOption = False,
) -> None:
    """List what was reached and is not in the catalog, the most used first, with what to write; then what is listed
    and was never reached. Exit 1 where something is unclassified.

    Example: agentguard destinations coverage workflows/customer_export --since 30d
    """
    from agentguard.cli import bundles
    from agentguard.destinations.coverage import collect, compare
    from agentguard.ledger import RecordFilter

    begin = None if since is None else common.moment(since, "--since", common.now_utc())
    catalog = bundles.load(bundle).catalog
    with common.operations(ledger) as operations:
        found = compare(catalog, collect(operations.records(RecordFilter(kind="decision", since=begin))))
    if json:
        common.print_json(to_json(found))
    else:
        _show(found)
    raise typer.Exit(1 if found.unclassified else 0)


def to_json(found: Coverage) -> dict[str, Json]:
    """The whole comparison, for a program."""
    return {
        "places": found.places,
        "unclassified": [
            {
                "kind": one.seen.kind,
                "id": one.seen.id,
                "decisions": one.seen.decisions,
                "last": one.seen.last,
                "tools": [*sorted(one.seen.tools)],
                "write": one.write,
            }
            for one in found.unclassified
        ],
        "never_seen": [
            {"kind": entry.kind, "pattern": entry.pattern, "file": entry.source.file, "line": entry.source.line}
            for entry in found.unused
        ],
    }


def _show(found: Coverage) -> None:
    common.line(f"{found.places} places in the records, {len(found.unclassified)} of them unclassified")
    if found.unclassified:
        common.table(
            ("DECISIONS", "LAST", "KIND", "PLACE", "TOOLS"),
            (
                (str(one.seen.decisions), one.seen.last, one.seen.kind, one.seen.id, ", ".join(sorted(one.seen.tools)))
                for one in found.unclassified
            ),
        )
        common.line("to write under `destinations:`, with the sensitivity that each deserves:")
        for one in found.unclassified:
            if one.write is not None:
                typer.echo("  " + display.shown(one.write))
    if found.unused:
        common.line(f"{len(found.unused)} entries that nothing in the records answers to:")
        for entry in found.unused:
            common.line(f"  {entry.source}: {entry.kind} {entry.pattern}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The export: CSV for fips199 and tlp, else JSON.")],
    source: Annotated[str, typer.Option("--from", help=f"Whose it is: {', '.join(_SOURCES)}.")],
    mapped: Annotated[list[str] | None, typer.Option("--map", help="WORD=LEVEL, for a word of your own.")] = None,
    ignored: Annotated[list[str] | None, typer.Option("--ignore", help="A word that says nothing here.")] = None,
) -> None:
    """Print a Destinations file made of another catalog, to be reviewed. A word that is not known is an error.

    Example: agentguard destinations import --from tlp catalog.csv > destinations.yaml
    """
    from agentguard.destinations.imports import MAX_BYTES, as_yaml, read_catalog
    from agentguard.destinations.levels import known_levels

    levels = known_levels()[common.choice(source, _SOURCES, "--from")]
    more: dict[str, str] = {}
    for pair in mapped or ():
        word, equals, level = pair.rpartition("=")
        if not equals or not word or word in more:
            raise ConfigurationError(f"--map: `{pair}` is not WORD=LEVEL, once for each word")
        more[word] = level
    levels = levels.with_more(more, frozenset(ignored or ()))
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigurationError(f"`{file}` is larger than {MAX_BYTES} bytes; export it in parts")
        # Spreadsheets write a byte order mark before their CSV.
        text = file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigurationError(f"`{file}` cannot be read ({why})") from None
    typer.echo(as_yaml(read_catalog(source, text, levels, file.name), source), nl=False)
