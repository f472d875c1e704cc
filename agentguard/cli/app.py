"""The table of commands. A command's module is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

_FIRST_STEPS = (
    ("agentguard check workflows/customer_export", "is the bundle right?"),
    ("agentguard test workflows/customer_export", "does it decide as expected?"),
    ("agentguard audit follow", "what is being decided now?"),
    ("agentguard runs stop RUN", "no more calls for this run"),
)
# A bundle in an example of help. It is a path of the repository; elsewhere another is named, or none.
_BUNDLE = re.compile(r"(agentguard (?:[a-z]+ )+)(workflows(?:/[a-z_]+)?)(?![\w/])")


def _here(text: str) -> str:
    """Help whose examples name what is there, where it is read."""
    return _BUNDLE.sub(lambda found: found[1] + _bundle(found[2]), text)


def _bundle(named: str) -> str:
    """The bundle that an example names, or the one that is here, or the word for one."""
    try:
        if Path(named).is_dir() and (named != "workflows" or any(Path(named).rglob("*.yaml"))):
            return named
        return next((name for name in ("workflows", "policy") if any(Path(name).glob("*.yaml"))), "DIR")
    except OSError:
        return "DIR"


def _epilog() -> str:
    steps = [(_here(command), what) for command, what in _FIRST_STEPS]
    width = max(len(command) for command, _ in steps)
    lines = "".join(f"  {command:<{width}}    {what}\n\n" for command, what in steps)
    return f"First steps:\n\n{lines}Every command explains itself: agentguard COMMAND --help.\n"


class Entry(NamedTuple):
    """Where a command lives and its line in the list."""

    module: str
    summary: str


COMMANDS = {
    "init": Entry("agentguard.cli.init", "Draw up a policy from the tools of an agent."),
    "doctor": Entry("agentguard.cli.doctor", "Say what stands in the way, and what weakens a deployment."),
    "check": Entry("agentguard.cli.check", "Load a bundle and list everything wrong with it."),
    "test": Entry("agentguard.cli.cases", "Run the decision cases that stand beside the workflows."),
    "explain": Entry("agentguard.cli.explain", "Say why a call is, or was, decided so: finding by finding."),
    "show": Entry("agentguard.cli.show", "Show a workflow in full, with the steps that it includes."),
    "schema": Entry("agentguard.cli.schema", "Print the JSON Schema of policy files, for editors."),
    "learn": Entry("agentguard.cli.learn", "Draft a workflow out of what an agent did."),
    "replay": Entry("agentguard.cli.replay", "Decide recorded calls anew: what would a bundle change?"),
    "compare": Entry("agentguard.cli.compare", "Say which calls a candidate policy would change."),
    "approvals": Entry("agentguard.cli.approvals", "List, read and answer the calls that wait for a person."),
    "console": Entry("agentguard.cli.console", "Serve a web site to answer, watch and stop on."),
    "audit": Entry("agentguard.cli.audit", "Read the records: list, show, follow."),
    "runs": Entry("agentguard.cli.runs", "List runs, stop one, set its risk."),
    "subjects": Entry("agentguard.cli.subjects", "Suspend a workload or restore it; stop its runs."),
    "credentials": Entry("agentguard.cli.credentials", "Revoke or activate a credential that tools use."),
    "signals": Entry("agentguard.cli.signals", "Receive security events by push or poll; see who is silent."),
    "ledger": Entry("agentguard.cli.ledger", "Erase personal data; add up or carry over a ledger."),
    "assertion": Entry("agentguard.cli.assertion", "Judge one identity assertion."),
    "destination": Entry("agentguard.cli.destination", "Say which place a value leads to."),
    "destinations": Entry("agentguard.cli.destinations", "Compare the catalog with the records; import others."),
}


class Commands(TyperGroup):
    """The commands of the table, each loaded on first use."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The table's order: first what a beginner needs."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None. While help is printed, only its name and summary."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if self.listing:
            return TyperCommand(cmd_name, help=entry.summary, rich_markup_mode=None)
        loaded = typer.main.get_command(import_module(entry.module).app)
        loaded.name = cmd_name
        for each in (loaded, *getattr(loaded, "commands", {}).values()):
            each.help = _here(each.help or "")
        return loaded

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print help without loading what is listed."""
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False


def command() -> Any:
    """The whole command line, fresh."""
    app = typer.Typer(
        cls=Commands, add_completion=False, no_args_is_help=False, rich_markup_mode=None, epilog=_epilog(),
        pretty_exceptions_enable=False,
    )  # fmt: skip
    app.callback(invoke_without_command=True)(_root)
    return typer.main.get_command(app)


def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Decide, record and stop what AI agents do with their tools."""
    if version:
        from agentguard import __version__

        typer.echo(f"agentguard {__version__}")
        raise typer.Exit(0)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)
