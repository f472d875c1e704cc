"""``agentguard init``: from tools to a policy that can be tested, read and put right."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentguard import display
from agentguard.cli import common
from agentguard.errors import ConfigurationError

if TYPE_CHECKING:
    from agentguard.evidence.draft.described import Found
    from agentguard.evidence.draft.folder import Drafted
    from agentguard.evidence.draft.plan import Choices

app = common.new_app("Draw up a policy from the tools of an agent.", group=False)

_OBSERVED = timedelta(days=14)
# A draft that nobody has read by then permits nothing.
_REVIEW = timedelta(days=90)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_USER = re.compile(r"user:[!-~]{1,200}")
_SUBJECT = re.compile(r"spiffe://[a-z0-9.-]{1,200}/[!-~]{1,500}")
_MOST_LISTED = 20


@app.command()
def init(
    tools: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:NAME]", help="Where the tools stand in code. The module is imported."),
    ] = None,
    mcp: Annotated[str | None, typer.Option("--mcp", help="The command that starts an MCP server.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", help="A variable that the MCP server gets, too.")] = None,
    tools_list: Annotated[
        Path | None, typer.Option("--mcp-tools", help="A saved answer to tools/list, as JSON.")
    ] = None,
    openapi: Annotated[Path | None, typer.Option("--openapi", help="An OpenAPI file, JSON or YAML.")] = None,
    to: Annotated[Path, typer.Option("--to", help="The folder of the policy. It must not be there yet.")] = Path(
        "policy"
    ),
    workflow: Annotated[str | None, typer.Option("--workflow", help="What the workflow is called.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Which team it belongs to.")] = None,
    approver: Annotated[str | None, typer.Option("--approver", help="Who is asked: user:NAME.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="The agent's identity: spiffe://DOMAIN/PATH.")
    ] = None,
    place: Annotated[
        list[str] | None,
        typer.Option("--place", metavar="KIND=PATTERN", help="A place that may be reached; repeat it."),
    ] = None,
    dialect: Annotated[str | None, typer.Option("--dialect", help="The SQL dialect of arguments that are SQL.")] = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Decide and record for 14 days, and let calls run all the same.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take what is not said as it is guessed.")
    ] = False,
) -> None:
    """Draw up a policy for tools that have none: effects, places, a workflow and its cases. Nothing is overwritten.

    Every guess is marked as one. How much, whose, and to whom: the guard fills it, or a person is asked, until you say
    otherwise. On a terminal it asks a few questions; elsewhere, and with --yes, none.

    MODULE:NAME imports that module, which runs its code. An MCP server is started and asked for its tools; no tool is
    called. Files are read, and nothing in them is imported or fetched.

    Example: agentguard init shop:tools
    """
    from agentguard.evidence.draft.folder import check_free, write
    from agentguard.evidence.draft.plan import planned

    check_free(to)
    now = common.now_utc()
    given = {"workflow": workflow, "owner": owner, "approver": approver, "subject": subject}
    _check(given)
    places = _places(place or [])
    found, source = _found(tools, mcp, env or [], tools_list, openapi)
    choices = _choices(
        given, places, dialect, source, _default_name(tools, tools_list, openapi, to), ask=not yes, now=now
    )
    if observe:
        choices = replace(choices, observe_until=(now + _OBSERVED).date())
    with common.progress("trying the draft") as on_case:
        drafted = write(planned(found, choices), choices, to, now, on_case)
    _tell(drafted, choices, to, tools, defined=found.defined)


def _found(
    tools: str | None, mcp: str | None, env: list[str], tools_list: Path | None, openapi: Path | None
) -> tuple[Found, str]:
    """The tools of the one source that was named, and what the draft calls it."""
    if sum(source is not None for source in (tools, mcp, tools_list, openapi)) != 1:
        raise ConfigurationError(
            "name one source of tools: MODULE:NAME, --mcp COMMAND, --mcp-tools FILE or --openapi FILE; "
            "such as `agentguard init shop:tools`"
        )
    if env and mcp is None:
        raise ConfigurationError("--env is for the server that --mcp starts")
    if tools is not None:
        from agentguard.evidence.draft.code import from_code

        common.line(f"importing `{tools.partition(':')[0]}`, which runs its code; no tool is called")
        return from_code(tools), tools
    if mcp is not None:
        from agentguard.evidence.draft.mcp import from_server

        common.line("starting the MCP server to ask for its tools; no tool is called")
        return from_server(mcp, env), "an MCP server"
    if tools_list is not None:
        from agentguard.evidence.draft.mcp import from_tools_list

        return from_tools_list(tools_list), tools_list.name
    from agentguard.evidence.draft.openapi import from_openapi

    assert openapi is not None  # noqa: S101 - one of the four was named
    return from_openapi(openapi), openapi.name


def _check(given: Mapping[str, str | None]) -> None:
    """Raises ConfigurationError for what a policy could not write."""
    rules = (
        ("workflow", _NAME, "letters, digits, `-`, `_` and `.`, such as `refunds`"),
        ("approver", _USER, "a person such as `user:dana`"),
        ("subject", _SUBJECT, "an identity such as `spiffe://corp.example/agent/shop`"),
        ("owner", re.compile(r"[ -~]{1,200}"), "the name of a team in plain letters"),
    )
    for name, rule, wanted in rules:
        value = given[name]
        if value is not None and rule.fullmatch(value) is None:
            raise ConfigurationError(f"--{name}: `{value}` cannot be used; expected {wanted}")


def _places(given: list[str]) -> dict[str, list[str]]:
    from agentguard.evidence.draft.places import known_kind

    found: dict[str, list[str]] = {}
    for text in given:
        kind, equals, pattern = text.partition("=")
        if not equals or not pattern or not known_kind(kind):
            raise ConfigurationError(
                f"--place: `{text}` names no places; expected KIND=PATTERN, such as url=https://files.corp.example/*"
            )
        found.setdefault(kind, []).append(pattern)
    return found


def _choices(
    given: Mapping[str, str | None], places: dict[str, list[str]], dialect: str | None, source: str, name: str, *,
    ask: bool, now: Any,
) -> Choices:  # fmt: skip
    """What the flags say; then, on a terminal, what the owner answers; else what is usual."""
    from agentguard.evidence.draft.plan import Choices

    answer = _asked if ask and sys.stdin.isatty() and sys.stdout.isatty() else _usual
    workflow = given["workflow"] or answer("workflow", "What is the workflow called?", name)
    owner = given["owner"] or answer("owner", "Which team does it belong to?", "replace-me")
    approver = given["approver"] or answer("approver", "Who is asked before money moves or something is sent?", _user())
    subject = given["subject"] or f"spiffe://replace-me.example/agent/{workflow}"
    return Choices(workflow, owner, subject, approver, (now + _REVIEW).date(), source, places, dialect)


def _usual(name: str, question: str, default: str) -> str:
    return default


def _asked(name: str, question: str, default: str) -> str:
    """A person's answer, asked again until it can be used. Ctrl-C leaves everything as it was."""
    while True:
        answer = str(typer.prompt(question, default=default)).strip()
        try:
            _check({"workflow": None, "owner": None, "approver": None, "subject": None, name: answer})
        except ConfigurationError as error:
            common.line(str(error).removeprefix(f"--{name}: "))
        else:
            return answer


def _user() -> str:
    try:
        named = f"user:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):
        named = ""
    return named if _USER.fullmatch(named) else "user:replace-me"


def _default_name(tools: str | None, tools_list: Path | None, openapi: Path | None, to: Path) -> str:
    """A name after where the tools come from."""
    file = tools_list or openapi
    given = tools.partition(":")[0].rpartition(".")[2] if tools is not None else file.stem if file is not None else ""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", given).strip("-").lower()[:60]
    return plain or "workflow"


def _tell(drafted: Drafted, choices: Choices, to: Path, tools: str | None, *, defined: bool) -> None:
    """What was drawn up, what to look at first, and the two lines of code."""
    plan = drafted.plan
    common.line(f"wrote {to}/: {', '.join(drafted.files[:8])}{' ...' if len(drafted.files) > 8 else ''}")
    common.table(
        ("TOOL", "EFFECT (GUESS)", "A CALL"),
        ((tool.name, f"{tool.effect}: {tool.why}", _what(tool)) for tool in plan.tools[:_MOST_LISTED]),
    )
    if len(plan.tools) > _MOST_LISTED:
        common.line(f"... and {len(plan.tools) - _MOST_LISTED} more tools")
    for name, why in plan.left_out[:_MOST_LISTED]:
        common.line(f"left out: {name[:100]}: {why}")
    if len(plan.left_out) > _MOST_LISTED:
        common.line(f"... and {len(plan.left_out) - _MOST_LISTED} more left out")
    if choices.observe_until is not None:
        until = choices.observe_until
        common.line(
            f"observed until {until}: calls are decided and recorded, and run all the same; see {to}/trust.yaml"
        )
    common.line(f"checked; {drafted.cases} of {drafted.cases} cases as expected. Read every `guess`, and put it right.")
    common.line("The two lines that guard your tools:")
    variable = "tools" if tools is None else tools.rpartition(":")[2].rpartition(".")[2]
    common.line(f'    guard = Guard.load("{to}")  # from agentguard import Guard')
    if defined:  # a definition runs nothing: each needs its function
        common.line(
            "    tools = OpenAITools(guard, [(definition, function), ...])  # from agentguard.integrations.openai"
        )
    else:
        common.line(f"    {variable} = guard.wrap({variable})")
    common.line("and around each request:")
    inputs = ", ".join(f"{display.machine(name)}: {display.machine(value)}" for name, (_, value) in plan.inputs.items())
    given = f", inputs={{{inputs}}}" if inputs else ""
    common.line(f'    with guard.run("{choices.workflow}"{given}, requester="user:..."):')


def _what(tool: Any) -> str:
    if tool.asks:
        return "asks a person"
    filled = ", ".join(tool.filled)
    return f"runs; the guard fills {filled}" if filled else "runs"
