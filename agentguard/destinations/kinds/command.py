"""The kind ``command``: one program with its arguments, and no shell.

A list is an argv. A text is accepted where every shell (``sh``, ``bash``, ``dash``, ``zsh``, ``fish``) cuts it into the
same words and expands nothing: plain words, and plain quotes. A program that runs what its arguments name is refused
(shells, ``env``, ``sudo``, ``xargs``, ``python -c``). One that runs a file (``python job.py``, ``npx tsc``) is refused
unless the catalog lists the command.

Patterns are whole words: ``git status`` (exactly this), ``git log *`` (these words, then anything). The second form
stands only where the entry promises ``starts_nothing_else``: an argument starts another program in more programs than
anybody can list.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, make_place, unknown_options
from agentguard.destinations.kinds.launchers import runs_a_file, starts_by_argument, starts_others

MAX_LENGTH = 8192
MAX_WORDS = 256
PROMISE = "starts_nothing_else"
# Outside quotes: no expansion of any shell (zsh has one for `=` before a word, all have one for `~` there), no
# separator, redirection, comment or glob. `HEAD~1`, `HEAD^` and `stash@{0}` stay as they are.
_UNQUOTED = r"[A-Za-z0-9_@%+:,./-]|(?<=[A-Za-z0-9_@%+:,./-])=|(?<=[A-Za-z0-9_@^~}])[~^]|(?<=[@^])\{[a-z0-9_-]*\}"
_WORD = rf"""(?:{_UNQUOTED}|'[^'\\]*'|"[^"\\$`!]*")+"""
# A quoted name would not be looked up among a shell's aliases, and a plain one would.
_TEXT = re.compile(rf"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*(?: {_WORD})*")
_PLAIN_WORD = re.compile(rf"(?:{_UNQUOTED})+")
_PROGRAM = re.compile(r"(?:/[A-Za-z0-9_.+-]+)*/?[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class _Command:
    name = "command"
    options: frozenset[str] = frozenset()
    rewrites_argument = False
    max_per_call = 16
    promises = frozenset({PROMISE})

    def derive(self, value: Json, options: Mapping[str, Json]) -> Derived:
        words = _words(value)
        if isinstance(words, Ambiguous):
            return words
        problem = _program_problem(words)
        if problem is not None:
            return Ambiguous(problem)
        line = _line(words)
        if not runs_a_file(words):
            return (make_place(self.name, line, program=words[0], line=line),)
        doubt = "starts_other_programs"
        return Ambiguous(doubt, make_place(self.name, line, program=words[0], line=line, doubt=doubt))

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        return unknown_options(options, self.options)

    def place_from_id(self, identity: str) -> Place | None:
        try:
            derived = self.derive([*shlex.split(identity)], {})
        except ValueError:
            return None
        return derived.unless_promised if isinstance(derived, Ambiguous) else derived[0]

    def pattern_key(self, pattern: str) -> str:
        words = _text_words(pattern.removesuffix(" *"))
        if isinstance(words, Ambiguous) or _PROGRAM.fullmatch(words[0]) is None or ".." in words[0]:
            raise ValueError(f"`{pattern}` is not a command pattern; expected such as `git status` or `git log *`")
        if _program_problem(words) is not None and not pattern.endswith(" *"):
            raise ValueError(f"`{pattern}` starts whatever its arguments name; list the program that it starts")
        return _line(words) + (" *" if pattern.endswith(" *") else "")

    def place_keys(self, place: Place) -> Iterable[str]:
        words = shlex.split(place.parts["line"])
        yield place.parts["line"]
        for kept in range(min(len(words), 32), 0, -1):
            yield _line(words[:kept]) + " *"

    def promise_problem(self, pattern: str, promises: frozenset[str]) -> str | None:
        if not pattern.endswith(" *"):
            return f"`{pattern}` lets no other arguments in, so that there is nothing to promise" if promises else None
        words = shlex.split(pattern.removesuffix(" *"))
        if starts_others(words):
            return f"`{pattern}`: `{words[0]}` starts other programs by its arguments; list whole commands instead"
        if PROMISE not in promises:
            return (
                f"`{pattern}` lets in every argument, and some programs start others by one (`git -c`, `tar "
                f"--to-command`, `find -exec`); list whole commands, or add `promises: [{PROMISE}]` where no argument "
                f"can make `{words[0]}` start another program"
            )
        return None

    def doubt(self, place: Place, promises: Iterable[frozenset[str]]) -> str | None:
        # Listed is enough: exactly, or by an entry that promises.
        return None if any(True for _ in promises) else place.parts.get("doubt")


def _words(value: Json) -> list[str] | Ambiguous:
    if type(value) is str:
        return Ambiguous("too_long") if len(value) > MAX_LENGTH else _text_words(value)
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


def _text_words(text: str) -> list[str] | Ambiguous:
    """The words of a text that every shell cuts alike."""
    if not text.isprintable() or _TEXT.fullmatch(text) is None:
        return Ambiguous("shell_syntax")
    words = shlex.split(text)
    return words if len(words) <= MAX_WORDS else Ambiguous("too_long")


def _line(words: Iterable[str]) -> str:
    """One spelling of the words: quotes only where they are needed."""
    return " ".join(word if _PLAIN_WORD.fullmatch(word) else shlex.quote(word) for word in words)


def _program_problem(words: list[str]) -> str | None:
    if _PROGRAM.fullmatch(words[0]) is None or ".." in words[0]:
        return "not_a_program"
    return "starts_other_programs" if starts_by_argument(words) else None


COMMAND = _Command()
