"""The syntax tree of a compiled CEL expression, read from its serialised form (``cel.expr.CheckedExpr``), and written.

The runtime has no call that gives the tree, and the tree is what tells which names an expression uses. Only the few
protobuf fields that are needed are read; anything else is refused with ``ValueError``. A tree that was changed is
written with numbers of its own and without what the checker found out: the runtime looks names up again.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

# What the serialised form says that it is.
_CHECKED = b"type.googleapis.com/cel.expr.CheckedExpr"


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. Bytes and unsigned integers are their Python values; ``raw`` is the literal as it was serialised."""

    value: Any
    raw: bytes = field(default=b"", compare=False, repr=False)


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

    ``number`` is the node's own in the tree that was read, by which the checker's types can be looked up.
    """

    function: str
    arguments: tuple[Node, ...]
    is_method: bool = False
    number: int = field(default=0, compare=False, repr=False)


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


def types_of(serialised: bytes) -> Mapping[int, str]:
    """The checker's types of the nodes of which it is sure, by their numbers. Raises ValueError."""
    found: dict[int, str] = {}
    try:
        for number, entry in _fields(dict(_fields(serialised))[2]):
            if number == 3:
                node, said = dict(_fields(entry)).get(1, 0), dict(_fields(entry))[2]
                kind, word = next(iter(_fields(said)), (0, 0))
                known = _KINDS.get((kind, word) if kind in (3, 5) else (kind, 0))
                if known is not None:
                    found[node] = known
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not a checked expression ({type(error).__name__})") from None
    return found


# cel.expr.Type: `primitive` is field 3, `well_known` 5, `list_type` 6, `map_type` 7.
_KINDS: Mapping[tuple[int, int], str] = {
    (3, 1): "bool",
    (3, 2): "int",
    (3, 3): "uint",
    (3, 4): "double",
    (3, 5): "string",
    (3, 6): "bytes",
    (5, 2): "timestamp",
    (5, 3): "duration",
    (6, 0): "list",
    (7, 0): "map",
}


def parts_of(node: Node) -> tuple[Node, ...]:
    """The nodes right below a node."""
    match node:
        case Select():
            return (node.operand,)
        case Call(arguments=parts) | Items(values=parts):
            return parts
        case Loop():
            return (node.source, *node.before, *node.body)
    return ()


def write_tree(node: Node) -> bytes:
    """The expression that this tree is, serialised."""
    numbers = itertools.count(1)

    def written(node: Node) -> bytes:
        begin = _varint_field(2, next(numbers))
        match node:
            case Const():
                return begin + _field(3, node.raw)
            case Ident():
                return begin + _field(4, _field(1, node.name.encode()))
            case Select():
                test = _varint_field(3, 1) if node.test_only else b""
                return begin + _field(5, _field(1, written(node.operand)) + _field(2, node.field.encode()) + test)
            case Call():
                target = _field(1, written(node.arguments[0])) if node.is_method else b""
                rest = node.arguments[1:] if node.is_method else node.arguments
                arguments = b"".join(_field(3, written(argument)) for argument in rest)
                return begin + _field(6, target + _field(2, node.function.encode()) + arguments)
            case Items(is_list=True):
                return begin + _field(7, b"".join(_field(1, written(value)) for value in node.values))
            case Items():
                pairs = zip(node.values[::2], node.values[1::2], strict=True)
                entries = (
                    _varint_field(1, next(numbers)) + _field(3, written(key)) + _field(4, written(value))
                    for key, value in pairs
                )
                return begin + _field(8, b"".join(_field(2, entry) for entry in entries))
            case Loop():
                condition, step, result = node.body
                parts = ((2, node.source), (4, node.before[0]), (5, condition), (6, step), (7, result))
                names = _field(1, node.variables[0].encode()) + _field(3, node.accumulator.encode())
                return begin + _field(9, names + b"".join(_field(at, written(part)) for at, part in parts))

    return _field(1, _CHECKED) + _field(2, _field(4, written(node)))


def constant(value: int | str | bool) -> Const:
    """A literal that stood in no expression."""
    if value is True or value is False:
        return Const(value, _varint_field(2, int(value)))
    if isinstance(value, str):
        return Const(value, _field(6, value.encode()))
    return Const(value, _varint_field(3, value))


def _varint_field(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _length(value)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _length(len(value)) + value


def _length(size: int) -> bytes:
    length = b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return length + bytes([size])


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
    own = 0
    for number, value in _fields(data):
        if number == 2:
            own = value
        elif number in _READERS:
            return _READERS[number](value)
        elif number == 6:
            return _call(value, own)
    raise ValueError("an expression of no known kind")


def _const(data: bytes) -> Node:
    for number, value in _fields(data):
        if number == 1:
            return Const(None, data)
        if number == 2:
            return Const(value != 0, data)
        if number == 3:
            return Const(value - (1 << 64) if value >= 1 << 63 else value, data)
        if number == 4:
            return Const(value, data)
        if number == 5:
            return Const(struct.unpack("<d", value)[0], data)
        if number == 6:
            return Const(value.decode(), data)
        if number == 7:
            return Const(bytes(value), data)
    raise ValueError("a literal of no known kind")


def _ident(data: bytes) -> Node:
    return Ident(dict(_fields(data))[1].decode())


def _select(data: bytes) -> Node:
    found = dict(_fields(data))
    return Select(_node(found[1]), found[2].decode(), bool(found.get(3, 0)))


def _call(data: bytes, own: int) -> Node:
    function, target = "", []
    arguments = []
    for number, value in _fields(data):
        if number == 1:
            target = [_node(value)]
        elif number == 2:
            function = value.decode()
        elif number == 3:
            arguments.append(_node(value))
    return Call(function, (*target, *arguments), bool(target), own)


def _list(data: bytes) -> Node:
    if any(number == 2 for number, _ in _fields(data)):
        raise ValueError("`[?x]` is not part of this language; write `x.orValue(...)`")
    return Items(tuple(_node(value) for number, value in _fields(data) if number == 1), True)


def _struct(data: bytes) -> Node:
    values: list[Node] = []
    for number, value in _fields(data):
        if number == 1 and value:
            raise ValueError("message types are not part of this language")
        if number == 2:
            if any(part == 5 for part, _ in _fields(value)):
                raise ValueError("`{?x: y}` is not part of this language; write `y.orValue(...)`")
            values += [_node(inner) for part, inner in _fields(value) if part in (3, 4)]
    return Items(tuple(values), False)


def _loop(data: bytes) -> Node:
    found = dict(_fields(data))
    variables = (found[1].decode(),)
    before = (_node(found[4]),)
    body = tuple(_node(found[number]) for number in (5, 6, 7))
    return Loop(variables, _node(found[2]), found[3].decode(), before, body)


_READERS = {3: _const, 4: _ident, 5: _select, 7: _list, 8: _struct, 9: _loop}
