"""The syntax tree of a compiled CEL expression, read from its serialised form (``cel.expr.CheckedExpr``).

The runtime has no call that gives the tree, and the tree is what tells which names an expression uses. Only the few
protobuf fields that are needed are read; anything else is refused with ``ValueError``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. Bytes and unsigned integers are their Python values."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    """A name."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, or ``has(operand.field)``."""

    operand: Node
    field: str
    test_only: bool


@dataclass(frozen=True, slots=True)
class Call:
    """An operator (``_==_``, ``_[_]``, ``@in`` …), a function or a method. A method's target is the first argument.

    ``raw`` is the node as it was serialised; see ``only``.
    """

    function: str
    arguments: tuple[Node, ...]
    raw: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal, or the keys and values of a map literal one after the other."""

    values: tuple[Node, ...]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Loop:
    """What ``all``, ``exists``, ``exists_one``, ``filter`` and ``map`` become."""

    variables: tuple[str, ...]
    source: Node
    accumulator: str
    before: tuple[Node, ...]
    body: tuple[Node, ...]


Node: TypeAlias = "Const | Ident | Select | Call | Items | Loop"


def read_tree(serialised: bytes) -> Node:
    """The tree of a compiled expression. Raises ValueError."""
    try:
        checked = dict(_fields(dict(_fields(serialised))[2]))
        return _node(checked[4])
    except (KeyError, IndexError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"not a checked expression ({type(error).__name__})") from None


def only(serialised: bytes, raw: bytes) -> bytes:
    """The expression that consists of this node of it alone, serialised."""
    whole = dict(_fields(serialised))
    checked = [(number, value) for number, value in _fields(whole[2]) if number != 4]
    inside = b"".join(_field(number, value) for number, value in (*checked, (4, raw)))
    return _field(1, whole[1]) + _field(2, inside)


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > end:
                raise ValueError("cut short")
            yield tag >> 3, data[at : at + length]
            at += length
        elif wire == 1:
            yield tag >> 3, data[at : at + 8]
            at += 8
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _node(data: bytes) -> Node:
    for number, value in _fields(data):
        reader = _READERS.get(number)
        if reader is not None:
            return replace(found, raw=data) if isinstance(found := reader(value), Call) else found
    raise ValueError("an expression of no known kind")


def _const(data: bytes) -> Node:
    for number, value in _fields(data):
        if number == 1:
            return Const(None)
        if number == 2:
            return Const(value != 0)
        if number == 3:
            return Const(value - (1 << 64) if value >= 1 << 63 else value)
        if number == 4:
            return Const(value)
        if number == 5:
            return Const(struct.unpack("<d", value)[0])
        if number == 6:
            return Const(value.decode())
        if number == 7:
            return Const(bytes(value))
    raise ValueError("a literal of no known kind")


def _ident(data: bytes) -> Node:
    return Ident(dict(_fields(data))[1].decode())


def _select(data: bytes) -> Node:
    found = dict(_fields(data))
    return Select(_node(found[1]), found[2].decode(), bool(found.get(3, 0)))


def _call(data: bytes) -> Node:
    function, target = "", []
    arguments = []
    for number, value in _fields(data):
        if number == 1:
            target = [_node(value)]
        elif number == 2:
            function = value.decode()
        elif number == 3:
            arguments.append(_node(value))
    return Call(function, (*target, *arguments))


def _list(data: bytes) -> Node:
    return Items(tuple(_node(value) for number, value in _fields(data) if number == 1), True)


def _struct(data: bytes) -> Node:
    values: list[Node] = []
    for number, value in _fields(data):
        if number == 1 and value:
            raise ValueError("message types are not part of this language")
        if number == 2:
            values += [_node(inner) for part, inner in _fields(value) if part in (3, 4)]
    return Items(tuple(values), False)


def _loop(data: bytes) -> Node:
    found = dict(_fields(data))
    variables = tuple(found[number].decode() for number in (1, 8) if found.get(number))
    before = (_node(found[4]),)
    body = tuple(_node(found[number]) for number in (5, 6, 7))
    return Loop(variables, _node(found[2]), found[3].decode(), before, body)


_READERS = {3: _const, 4: _ident, 5: _select, 6: _call, 7: _list, 8: _struct, 9: _loop}
