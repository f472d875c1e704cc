"""From a text to a path; the whole text, or an error that says what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from agentguard.core.paths.steps import EVERY, VALUES, Literal, Named, Path, Step, Test, Where, referred

MAX_PATH = 500
# What else a path may read, inside its brackets.
REFERRED = frozenset({"inputs", "kept", "args"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INDEX = re.compile(r"-?(?:0|[1-9][0-9]{0,5})(?=\])")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?(?![\w.])")
_TEXT = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN_TEXT = re.compile(r"'([^'\\\x00-\x1f]*)'")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_EXPECTED = 'expected `.name`, `["odd name"]`, `[0]`, `[*]`, `.*` or `[?field == VALUE]`'


def parse(text: str, roots: Collection[str]) -> Path:
    """Read a path that begins with one of these roots; of two that fit, with the longer. Raises ValueError."""
    if len(text) > MAX_PATH:
        raise ValueError(f"a path is at most {MAX_PATH} characters long")
    fitting = [root for root in roots if text.startswith(root) and text[len(root) :][:1] in ("", ".", "[")]
    if not fitting:
        raise ValueError(f"`{text}` is not a path here; it begins with {' or '.join(f'`{r}`' for r in sorted(roots))}")
    root = max(fitting, key=len)
    return Path(root, _Reader(text, len(root)).steps(), text)


def parse_place(text: str) -> tuple[Step, ...]:
    """Read a path without a root: where something stands in a call's arguments, or in a result. Raises ValueError.

    It may read nothing but the value it leads through.
    """
    if not text or len(text) > MAX_PATH:
        raise ValueError(f"a path is from 1 to {MAX_PATH} characters long")
    steps = _Reader(text if text[0] == "[" else f".{text}", 0).steps()
    if next(referred(steps), None) is not None:
        raise ValueError(f"`{text}` reads another value; a place in Tools compares with written values only")
    return steps


class _Reader:
    """Reads steps from a text, from a position on."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at

    def steps(self) -> tuple[Step, ...]:
        found: list[Step] = []
        while self._at < len(self._text):
            found.append(self._step())
        return tuple(found)

    def _wrong(self, expected: str = _EXPECTED) -> ValueError:
        return ValueError(f"cannot read `{self._text[self._at :]}` in `{self._text.removeprefix('.')}`; {expected}")

    def _takes(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _found(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _spaces(self) -> None:
        while self._takes(" "):
            pass

    def _step(self) -> Step:
        if self._takes(".*"):
            return VALUES
        if self._takes("[*]"):
            return EVERY
        if self._takes("[?"):
            return self._where()
        simple = self._simple()
        if simple is not None:
            return simple
        start = self._at
        if self._takes("["):
            named = self._reference()
            if named is not None and self._takes("]"):
                return Named(named)
        self._at = start
        raise self._wrong()

    def _simple(self) -> str | int | None:
        """``.name``, ``["odd name"]``, ``[0]``, or None and nothing is read."""
        start = self._at
        if self._takes("."):
            name = self._found(_NAME)
            if name is not None:
                return name[0]
        elif self._takes("["):
            index = self._found(_INDEX)
            key = int(index[0]) if index is not None else self._quoted()
            if key is not None and self._takes("]"):
                return key
        self._at = start
        return None

    def _quoted(self) -> str | None:
        found = self._found(_TEXT)
        if found is not None:
            try:
                text = json.loads(found[0])
                text.encode()
            except ValueError:
                raise self._wrong("a text in a path is a JSON string") from None
            return str(text)
        plain = self._found(_PLAIN_TEXT)
        return None if plain is None else plain[1]

    def _reference(self) -> Path | None:
        start = self._at
        root = self._found(_NAME)
        if root is None or root[0] not in REFERRED:
            self._at = start
            return None
        steps: list[Step] = []
        while (step := self._simple()) is not None:
            steps.append(step)
        if not steps:
            raise self._wrong(f"`{root[0]}` is followed by a name, as in `{root[0]}.name`")
        return Path(root[0], tuple(steps), self._text[start : self._at])

    def _where(self) -> Where:
        tests = [self._test()]
        while self._takes("&&"):
            tests.append(self._test())
        if not self._takes("]"):
            raise self._wrong("expected `]`, or `&&` and another test")
        return Where(tuple(tests))

    def _test(self) -> Test:
        self._spaces()
        first = self._found(_NAME)
        where: list[str | int] = [] if first is None else [first[0]]
        while (step := self._simple()) is not None:
            where.append(step)
        self._spaces()
        if not where or not self._takes("=="):
            raise self._wrong('expected a test such as `id_ == args.id` or `kind == "invoice"`')
        self._spaces()
        value = self._value()
        self._spaces()
        return Test(tuple(where), value)

    def _value(self) -> Literal | Path:
        text = self._quoted()
        if text is not None:
            return Literal(text)
        number = self._found(_NUMBER)
        if number is not None:
            return Literal(float(number[0]) if "." in number[0] else int(number[0]))
        path = self._reference()
        if path is not None:
            return path
        word = self._found(_NAME)
        if word is not None and word[0] in _WORDS:
            return Literal(_WORDS[word[0]])
        if word is not None:
            self._at -= len(word[0])
        raise self._wrong("expected a text in quotes, a number, true, false, null, or `inputs.X`, `kept.X`, `args.X`")
