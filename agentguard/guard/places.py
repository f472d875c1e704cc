"""Which run a call is in: the one that its thread or task entered, or that a generator on its stack entered.

A generator that is read from a pool of threads, or by several tasks, gets another context at each step, and loses what
it put into a context variable. Two that are read in turn share one context. So what was entered in a generator belongs
to its frame, and is found by whatever that frame calls, wherever it is resumed.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from contextvars import ContextVar, Token
from types import FrameType
from typing import Self

# One variable for all guards: a run belongs to the guard that started it, and calls look for their own guard's.
_CURRENT: ContextVar[Place | None] = ContextVar("agentguard_run", default=None)
_IN_GENERATORS: dict[FrameType, list[Place]] = {}
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Place:
    """Being inside a run, in ``with``: entered there, or carried there on purpose."""

    __slots__ = ("_frame", "_outer", "_token", "context")

    def __init__(self, context: object) -> None:
        self.context = context
        self._outer: Place | None = None
        self._frame: FrameType | None = None
        self._token: Token[Place | None] | None = None

    def __enter__(self) -> Self:
        return self.enter(sys._getframe(1))

    def enter(self, frame: FrameType | None) -> Self:
        """Be inside, in this frame."""
        self._outer, self._frame = innermost(), _generator(frame)
        if self._frame is not None:
            _IN_GENERATORS.setdefault(self._frame, []).append(self)
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._frame is not None:
            inside = _IN_GENERATORS[self._frame]
            inside.remove(self)
            if not inside:
                del _IN_GENERATORS[self._frame]
            self._frame = None
        if self._token is not None:
            # Left in another context than it was entered in: the run is left for all of them, which closes it there.
            with contextlib.suppress(ValueError):
                _CURRENT.reset(self._token)
            self._token = None

    def is_within(self, other: Place) -> bool:
        """Whether this was entered inside the other, and not by a generator that only stands somewhere half read."""
        place: Place | None = self
        while place is not None and place is not other:
            if place._frame is not None:
                return False
            place = place._outer
        return place is other


def innermost() -> Place | None:
    """Where this call is, if anywhere."""
    here = _CURRENT.get()
    frame = sys._getframe(1) if _IN_GENERATORS else None
    while frame is not None:
        found = _IN_GENERATORS.get(frame)
        if found:
            return here if here is not None and here.is_within(found[-1]) else found[-1]
        frame = frame.f_back
    return here


def _generator(frame: FrameType | None) -> FrameType | None:
    """The frame, if it is a generator's. One that ``contextlib`` made a context manager of enters for its caller."""
    while frame is not None and frame.f_code.co_flags & _GENERATOR:
        caller = frame.f_back
        if caller is None or caller.f_globals.get("__name__") != "contextlib":
            return frame
        frame = caller.f_back
    return None
