"""The tool calls of one model message, read strictly, and the form each answer takes.

A provider that executes a tool itself never passes the guard, so a message that holds such a call is an error of the
request that asked for it: remove the tool from the request.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from agentguard.errors import ConfigurationError
from agentguard.guard import CallRef

# A message with more calls than this is answered and nothing of it runs. Models send a handful; a flood is an attack.
MAX_CALLS = 64
# Items of a response that ask for nothing and have run nothing.
_QUIET = frozenset({
    "message", "reasoning", "compaction", "function_call_output", "custom_tool_call_output", "mcp_list_tools",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the model wrote it. ``arguments`` is raw JSON text; ``problem`` says why it must not run; ``turn`` is
    the id of the completion or response that it stands in, where it has an id of its own, too."""

    form: str
    id: str
    name: str
    arguments: str
    problem: str | None = None
    turn: str | None = None

    @property
    def known_as(self) -> str:
        """Its id, which knows the message."""
        return self.id if self.turn is None else CallRef(self.id, self.turn)

    def answer(self, said: Said) -> Answer:
        """The item that answers this call."""
        made = self._item(well_formed(said.text))
        made.artifact = said.artifact
        return made

    def _item(self, text: str) -> Answer:
        if self.form == "mcp_approval_request":
            return Answer(type="mcp_approval_response", approval_request_id=self.id, approve=False)
        if self.form == "chat":
            return Answer(role="tool", tool_call_id=self.id, content=text)
        return Answer(type=f"{self.form}_output", call_id=self.id, output=text)


@dataclass(frozen=True, slots=True)
class Said:
    """What is said to a call: text for the model and, of a refusal, what a program may read of it."""

    text: str
    artifact: Mapping[str, str | None] | None = None


class Answer(dict[str, Any]):
    """One answer, as the API takes it. ``artifact`` stays here: of a refusal its status and ids, else None."""

    artifact: Mapping[str, str | None] | None = None


def well_formed(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair, which no client could send, is replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


CUSTOM = "custom tools are not guarded; nothing ran"
CUT_SHORT = "the message was cut short; nothing ran"
NOT_TEXT = "the name or the arguments of the call are not text; nothing ran"
DUPLICATE = "a call id was used twice in one message; nothing ran"
TOO_MANY = f"more than {MAX_CALLS} calls in one message; nothing ran"


def read_calls(message: object) -> list[Call]:
    """The calls of a chat completion, a chat message, a response, or a response's output items.

    Raises ConfigurationError for what is none of these, and for tools that the provider executes.
    """
    turn = _get(message, "id")
    known = isinstance(turn, str) and bool(turn) and not isinstance(message, list | tuple)
    calls = [replace(call, turn=turn) if known and type(call.id) is str else call for call in _read(message)]
    problem = TOO_MANY if len(calls) > MAX_CALLS else None
    if len({call.id for call in calls}) != len(calls):
        problem = DUPLICATE
    if problem is None:
        return calls
    unique = {call.id: call for call in calls}
    return [Call(call.form, call.id, call.name, "", problem) for call in unique.values()]


def _read(message: object) -> list[Call]:
    choices = _get(message, "choices")
    if choices is not None:
        if len(choices) != 1:
            raise ConfigurationError(f"a chat completion with {len(choices)} choices; ask for one (`n=1`)")
        cut = _get(choices[0], "finish_reason") not in ("stop", "tool_calls", "function_call")
        return _chat(_get(choices[0], "message"), CUT_SHORT if cut else None)
    output = _get(message, "output")
    if output is not None:
        return _items(output, None if _get(message, "status") in (None, "completed") else CUT_SHORT)
    if isinstance(message, list | tuple):
        return _items(message, None)
    if _get(message, "role") == "assistant":
        return _chat(message, None)
    raise ConfigurationError(
        f"`{type(message).__name__}` holds no tool calls; pass a chat completion, its message, or a response "
        "(a stream is assembled first, with assemble_chat or assemble_responses)"
    )


def _chat(message: object, problem: str | None) -> list[Call]:
    if _get(message, "function_call") is not None:
        raise ConfigurationError("the message uses the retired `function_call`; send `tools`, not `functions`")
    found: list[Call] = []
    for call in _get(message, "tool_calls") or ():
        kind, function = _get(call, "type"), _get(call, "function")
        if kind == "custom":
            found.append(Call("chat", _id(call, "id"), "", "", problem or CUSTOM))
            continue
        # Compatible servers leave the type away.
        if kind != "function" and (kind or function is None):
            raise _not_ours(kind)
        found.append(_function_call("chat", _id(call, "id"), function, problem))
    return found


def _items(items: Iterable[object], problem: str | None) -> list[Call]:
    found: list[Call] = []
    for item in items:
        kind = _get(item, "type")
        if kind == "function_call":
            cut = CUT_SHORT if _get(item, "status") not in (None, "completed") else None
            found.append(_function_call(kind, _id(item, "call_id"), item, problem or cut))
        elif kind == "custom_tool_call":
            found.append(Call(kind, _id(item, "call_id"), "", "", problem or CUSTOM))
        elif kind == "mcp_approval_request":
            found.append(Call(kind, _own_id(item), "", "", problem or CUSTOM))
        elif kind not in _QUIET:
            raise _not_ours(kind)
    return found


def _function_call(form: str, call_id: str, holder: object, problem: str | None) -> Call:
    """A call of a function. Name and arguments are text, or it must not run: arguments that were parsed by somebody
    else have lost what was written twice, and must not be taken for none."""
    name, arguments, space = (_get(holder, member) for member in ("name", "arguments", "namespace"))
    if arguments is None or (isinstance(arguments, str) and arguments.strip(" \t\r\n") in ("", "null")):
        arguments = ""  # so compatible servers write a call without arguments
    if not (isinstance(name, str) and isinstance(arguments, str) and isinstance(space, str | None)):
        return Call(form, call_id, "", "", problem or NOT_TEXT)
    # A function of one namespace is another one than its namesake without.
    return Call(form, call_id, f"{space}.{name}" if space else name, arguments, problem)


def _not_ours(kind: object) -> ConfigurationError:
    return ConfigurationError(
        f"the message holds a `{kind}`, which is executed outside the guard; remove that tool from the request, "
        "and offer a guarded function instead"
    )


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


class _MadeUp(str):
    """An id that no server gave."""

    __slots__ = ()


def _id(call: object, name: str) -> str:
    """The call's id. Compatible servers leave it empty: then it gets one, also in the message, so that both agree."""
    value = _get(call, name)
    if isinstance(value, str) and value:
        return value
    made = f"call_{uuid.uuid4().hex}"
    try:
        if isinstance(call, MutableMapping):
            call[name] = made
        else:
            setattr(call, name, made)
    except Exception:
        raise ConfigurationError(f"a tool call without `{name}` cannot be answered; nothing ran") from None
    return _MadeUp(made)


def _own_id(item: object) -> str:
    value = _get(item, "id")
    if not isinstance(value, str) or not value:
        raise ConfigurationError("an approval request without `id` cannot be answered; nothing ran")
    return value
