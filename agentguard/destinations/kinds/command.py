"""The kind ``command``: one program with its arguments, and no shell.

A list is an argv. A text is accepted where every shell cuts it into the same words and expands nothing. Programs that
only start other programs (shells, interpreters, ``env``, ``sudo`` …) are refused: what would run is in their arguments.

Patterns are whole words: ``git status`` (exactly this), ``git log *`` (these words, then anything).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, make_place, unknown_options

MAX_LENGTH = 8192
MAX_WORDS = 256
# No quotes, expansions (zsh has one for `=` before a word), separators, redirections, comments, globs or tildes.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*(?: [A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*)*")
_PROGRAM = re.compile(r"(?:/[A-Za-z0-9_.+-]+)*/?[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_LAUNCHERS = re.compile(
    r"(?:[a-z]*sh|powershell|cmd|python[0-9.]*|pypy[0-9.]*|perl[0-9.]*|ruby[0-9.]*|node|nodejs|deno|bun|php[0-9.]*"
    r"|lua(?:jit)?[0-9.]*|tclsh[0-9.]*|rscript|julia|osascript|java|[gmn]?awk|env|xargs|parallel|sudo|su|doas|pkexec"
    r"|runuser|nohup|timeout|nice|ionice|setsid|setpriv|setarch|linux(?:32|64)|taskset|chrt|flock|stdbuf|watch|strace"
    r"|ltrace|gdb|chroot|unshare|nsenter|bwrap|systemd-run|start-stop-daemon|busybox|toybox|script|expect|screen|tmux"
    r"|find|eval|exec|command|builtin|source|time|trap|at|batch|make|npx|uvx|ld-linux[a-z0-9_.-]*|ld\.so)(?:\.exe)?",
    re.IGNORECASE,
)


class _Command:
    name = "command"
    options: frozenset[str] = frozenset()
    handed_on = False
    most = 16

    def derive(self, value: Json, options: Mapping[str, Json]) -> Derived:
        words = _words(value)
        if isinstance(words, Ambiguous):
            return words
        problem = _program_problem(words[0])
        if problem is not None:
            return Ambiguous(problem)
        line = shlex.join(words)
        return (make_place(self.name, line, program=words[0], line=line),)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        return unknown_options(options, self.options)

    def place_from_id(self, identity: str) -> Place | None:
        try:
            derived = self.derive([*shlex.split(identity)], {})
        except ValueError:
            return None
        return None if isinstance(derived, Ambiguous) else derived[0]

    def pattern_key(self, pattern: str) -> str:
        words = pattern.removesuffix(" *")
        if _PLAIN.fullmatch(words) is None or _program_problem(words.split(" ")[0]) is not None:
            raise ValueError(f"`{pattern}` is not a command pattern; expected such as `git status` or `git log *`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        words = shlex.split(place.parts["line"])
        yield place.parts["line"]
        for kept in range(min(len(words), 32), 0, -1):
            yield shlex.join(words[:kept]) + " *"


def _words(value: Json) -> list[str] | Ambiguous:
    if type(value) is str:
        if len(value) > MAX_LENGTH:
            return Ambiguous("too_long")
        return value.split(" ") if _PLAIN.fullmatch(value) else Ambiguous("shell_syntax")
    if type(value) is not list or not value:
        return Ambiguous("not_a_command")
    if len(value) > MAX_WORDS:
        return Ambiguous("too_long")
    words = [word for word in value if type(word) is str]
    if len(words) != len(value):
        return Ambiguous("not_a_string")
    if sum(map(len, words)) > MAX_LENGTH:
        return Ambiguous("too_long")
    if not all(word.isprintable() for word in words):
        return Ambiguous("control_character")
    return words


def _program_problem(program: str) -> str | None:
    if _PROGRAM.fullmatch(program) is None or ".." in program:
        return "not_a_program"
    if _LAUNCHERS.fullmatch(program.rpartition("/")[2]):
        return "starts_other_programs"
    return None


COMMAND = _Command()
