"""Which issuer's assertions this guard takes, where they come from, and who verifies them.

The issuer is chosen by configuration, never by a token's own words. Without a source the local issuer speaks; it may
assert only the subjects that Trust lists for it, and every record then says ``assurance: local``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from agentguard.core.declarations import IssuerTrust
from agentguard.core.policy import Workflow
from agentguard.core.reasons import Reason
from agentguard.core.values import Identity, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import (
    Assertion,
    AssertionRequest,
    AssertionSource,
    CallableSource,
    InProcessIssuer,
    JwksStore,
    LocalIssuer,
    Verifier,
    key_source,
    obtain,
    obtain_async,
)
from agentguard.loops import in_thread
from agentguard.policy import Bundle

Source: TypeAlias = AssertionSource | Callable[[AssertionRequest], str | Assertion | Awaitable[str | Assertion]]
Now: TypeAlias = Callable[[], datetime | Unavailable]


# Said of the run and, by the local issuer, of the caller: the same finding, so the record has it once.
OUTSIDE_A_RUN = Unavailable(Reason.NO_RUN, "called outside a run")


class Identities:
    """Where assertions come from, as the developer configured it; with a bundle it becomes a ``Verification``."""

    def __init__(
        self,
        *,
        home: Path,
        source: Source | None,
        issuer: str | None,
        subject: str | None,
    ) -> None:
        self._home = home
        self._given = CallableSource(source) if callable(source) else source
        self._issuer_name = issuer
        self._subject = subject

    def under(self, bundle: Bundle, *, before: AnyVerification | None = None) -> AnyVerification:
        """How this bundle's Trust verifies. Keys that ``before`` has from the same address stay known, at their age.

        Raises ConfigurationError where it has no issuer to use.
        """
        trust = self._choose(bundle)
        if self._given is None:
            # Whoever cannot read the machine's key is not its local issuer, in this process neither.
            LocalIssuer(self._home, issuer=trust.issuer).verifier(trust)
            return LocalVerification(trust, InProcessIssuer(trust), subject=self._subject)
        keys = key_source(trust, bundle.directory, before=None if before is None else before.keys)
        return Verification(trust, self._given, Verifier(trust, keys), keys=keys)

    def _choose(self, bundle: Bundle) -> IssuerTrust:
        local = self._given is None
        fitting = [trust for trust in bundle.issuers if (trust.profile == "local") is local]
        if self._issuer_name is not None:
            fitting = [trust for trust in fitting if trust.name == self._issuer_name]
        if len(fitting) == 1:
            return fitting[0]
        names = ", ".join(trust.name for trust in fitting)
        wanted = "of profile `local`" if local else "for the identity source"
        if fitting:
            raise ConfigurationError(f"Trust lists several issuers {wanted} ({names}); say which: Guard.load(issuer=)")
        named = f" called `{self._issuer_name}`" if self._issuer_name is not None else ""
        remedy = "add one, or pass Guard.load(identity=)" if local else "add the issuer of its assertions"
        raise ConfigurationError(f"Trust lists no issuer {wanted}{named}; {remedy}")


class Verification:
    """One source of assertions and the verifier of the issuer configured for it."""

    def __init__(
        self, trust: IssuerTrust, source: AssertionSource, verifier: Verifier, *, keys: JwksStore | None = None
    ) -> None:
        self.keys = keys
        self._trust = trust
        self._source = source
        self._verifier = verifier

    def subject_for(self, workflow: Workflow) -> str | None:
        """Whom the local issuer is to speak for in this workflow: nobody, where assertions come from outside."""
        return None

    def at_once(self, digest: str, subject: str | None, now: datetime | Unavailable) -> Identity | Unavailable | None:
        """Who calls at this moment, where nobody must be asked for it; else None. Never raises."""
        return None

    def identify(self, digest: str, subject: str | None, now: Now) -> Identity | Unavailable:
        """A fresh assertion for this digest, verified; or why there is none. Never raises."""
        token = obtain(self._source, self._request(digest, subject))
        return self._judge(token, now(), digest)

    async def identify_async(self, digest: str, subject: str | None, now: Now) -> Identity | Unavailable:
        """As ``identify``, from a task. A verifier that may wait for a key server works on a thread."""
        token = await obtain_async(self._source, self._request(digest, subject))
        if self._verifier.may_block:
            return await in_thread(self._judge, token, now(), digest)
        return self._judge(token, now(), digest)

    def _request(self, digest: str, subject: str | None) -> AssertionRequest:
        return AssertionRequest(self._trust.audience, digest, subject)

    def _judge(
        self, token: Assertion | Unavailable, now: datetime | Unavailable, digest: str
    ) -> Identity | Unavailable:
        if isinstance(token, Unavailable):
            return token
        if isinstance(now, Unavailable):
            return now
        return self._verifier.verify(token, now=now, request_digest=digest)


class LocalVerification:
    """The local issuer: it speaks for the subject of the run, and Trust judges whether it may. It asks nobody."""

    keys: JwksStore | None = None

    def __init__(self, trust: IssuerTrust, issuer: InProcessIssuer, *, subject: str | None) -> None:
        self._trust = trust
        self._issuer = issuer
        self._subject = subject

    def subject_for(self, workflow: Workflow) -> str | None:
        """Whom to speak for in this workflow. Raises ConfigurationError where that is not clear."""
        if self._subject is not None:
            return self._subject
        allowed = sorted(workflow.subjects & set(self._trust.subjects))
        if len(allowed) == 1:
            return allowed[0]
        if allowed:
            raise ConfigurationError(f"`{workflow.name}` is for {', '.join(allowed)}; say whom: Guard.load(subject=)")
        raise ConfigurationError(
            f"the local issuer may speak for none of the subjects of `{workflow.name}`; list one in Trust, or pass "
            "Guard.load(identity=)"
        )

    def at_once(self, digest: str, subject: str | None, now: datetime | Unavailable) -> Identity | Unavailable:
        """Who calls, proved for this digest at this moment; or why not. Never raises."""
        if subject is None:
            return OUTSIDE_A_RUN
        if isinstance(now, Unavailable):
            return now
        try:
            proof = self._issuer.prove(subject, digest, now)
        except Exception as error:  # a subject that is no text
            return Unavailable(Reason.ASSERTION_MISSING, f"the local issuer failed: {type(error).__name__}")
        return self._issuer.identity(proof, digest, now)

    def identify(self, digest: str, subject: str | None, now: Now) -> Identity | Unavailable:
        """As ``at_once``."""
        return self.at_once(digest, subject, now())

    async def identify_async(self, digest: str, subject: str | None, now: Now) -> Identity | Unavailable:
        """As ``identify``."""
        return self.identify(digest, subject, now)


AnyVerification: TypeAlias = Verification | LocalVerification
