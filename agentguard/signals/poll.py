"""Asks a transmitter for its security events (RFC 8936), and acknowledges what is durable here, nothing else.

1. A token is acknowledged only after the receiver made it durable, in the question that follows.
2. A token that is refused is reported (``setErrs``), never acknowledged. One that may be accepted later is left alone:
   the transmitter sends it again.
3. What was not delivered (the transmitter was down, slow, said nonsense) is told again with the next question.
4. An answer is bounded, and holds no more tokens than were asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentguard.core.declarations import StreamTrust
from agentguard.errors import AgentGuardError, ConfigurationError
from agentguard.jose.fetch import Address, ReadFailed, post
from agentguard.jose.jsontext import parse_object
from agentguard.jose.refusal import Refused, shown
from agentguard.signals.receiver import Received, Receiver, authorization
from agentguard.signals.refusal import RefusedSet
from agentguard.signals.sets import MAX_SET_BYTES

MAX_EVENTS = 50
# Every token at its longest, and some room for names and quotes.
MAX_ANSWER_BYTES = MAX_EVENTS * (MAX_SET_BYTES + 1024)
# A transmitter may hold a question until it has something to say. Past this, it is asked anew.
LONG_POLL_SECONDS = 60.0
SHORT_POLL_SECONDS = 10.0
# Between two questions that brought nothing, for transmitters that answer at once whatever they are asked.
PAUSE_SECONDS = 1.0
_LONGEST_PAUSE = 60.0
# A transmitter that always has more to say is listened to again the next time.
_MOST_QUESTIONS = 200


@dataclass(frozen=True, slots=True)
class Polled:
    """What one question brought. ``more``: the transmitter has more to say."""

    received: tuple[Received, ...]
    refused: tuple[RefusedSet, ...]
    more: bool

    @property
    def news(self) -> bool:
        """Whether it brought anything that was not heard before. A transmitter that only repeats itself is no hurry."""
        return any(one.fresh for one in self.received)


class Poller:
    """Polls one stream. Used by one thread at a time. Raises ConfigurationError for a stream that is not polled."""

    def __init__(self, trust: StreamTrust, receiver: Receiver) -> None:
        if trust.poll_url is None:
            raise ConfigurationError(f"{trust.source}: stream `{trust.name}` has no `poll_url`; its events are pushed")
        self.trust = trust
        self._receiver = receiver
        self._address = Address(trust.poll_url)
        secret = authorization(trust)
        self._headers = {} if secret is None else {"Authorization": secret.decode()}
        self._acks: list[str] = []
        self._errors: dict[str, dict[str, str]] = {}

    def ask(self, *, wait: bool = False, at_most: int = MAX_EVENTS) -> Polled:
        """One question and answer; ``wait`` lets the transmitter hold it until there is something to say.

        Raises ReadFailed where the transmitter could not be understood, and LedgerError where what it said could not
        be made durable. Either way nothing is lost: call it again.
        """
        told: dict[str, Any] = {"maxEvents": at_most, "returnImmediately": not wait, "ack": self._acks}
        if self._errors:
            told["setErrs"] = self._errors
        answer = post(
            self._address,
            json.dumps(told).encode(),
            limit=MAX_ANSWER_BYTES,
            deadline=LONG_POLL_SECONDS if wait else SHORT_POLL_SECONDS,
            headers=self._headers,
        )
        self._acks, self._errors = [], {}  # the transmitter has heard these
        tokens, more = _answer(answer, at_most)
        return self._take(tokens, more)

    def everything(self) -> list[Polled]:
        """Ask until there is nothing new, then acknowledge the last. Raises as ``ask``."""
        polled = [self.ask()]
        while polled[-1].more and polled[-1].news and len(polled) < _MOST_QUESTIONS:
            polled.append(self.ask())
        if self._acks or self._errors:
            self.ask(at_most=0)
        return polled

    def until(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        """Poll until ``stop`` is set. Failures are said, and asked about again later, ever less often."""
        failures = 0
        while not stop.is_set():
            try:
                polled = self.ask(wait=True)
            except (ReadFailed, AgentGuardError) as error:
                if not stop.is_set():
                    say(f"stream `{self.trust.name}`: {error}")
                failures += 1
                stop.wait(min(PAUSE_SECONDS * 2**failures, _LONGEST_PAUSE))
                continue
            failures = 0
            if not polled.news:
                stop.wait(PAUSE_SECONDS)

    def _take(self, tokens: Mapping[str, str], more: bool) -> Polled:
        received, refused = [], []
        for identifier, token in tokens.items():
            answer = self._receiver.receive(self.trust.name, token)
            if isinstance(answer, RefusedSet):
                refused.append(answer)
                if not answer.try_again:
                    self._errors[identifier] = {"err": answer.error, "description": f"refused: {answer.code}"}
            else:
                received.append(answer)
                # By the name the transmitter gave it: that is what it is waiting for.
                self._acks.append(identifier)
        return Polled(tuple(received), tuple(refused), more)


def _answer(data: bytes, at_most: int) -> tuple[Mapping[str, str], bool]:
    try:
        answer = parse_object(data, "answer")
    except Refused as refused:
        raise ReadFailed(refused.detail) from None
    tokens, more = answer.get("sets", {}), answer.get("moreAvailable", False)
    if not isinstance(tokens, dict) or not isinstance(more, bool):
        raise ReadFailed("the answer's `sets` is no JSON object, or its `moreAvailable` no truth value")
    if len(tokens) > at_most:
        raise ReadFailed(f"the answer holds {len(tokens)} tokens; {at_most} were asked for")
    texts = {name: token for name, token in tokens.items() if isinstance(token, str)}
    if len(texts) != len(tokens):
        raise ReadFailed(f"token {shown(min(tokens.keys() - texts.keys()))} of the answer is not text")
    return texts, more
