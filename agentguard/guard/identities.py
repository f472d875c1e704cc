"""Which issuer's assertions this guard takes, where they come from, and who verifies them.

The issuer is chosen by configuration, never by a token's own words. Without a source the local issuer speaks; it may
assert only the subjects that Trust lists for it, and every record then says ``assurance: local``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from agentguard.core.declarations import IssuerTrust
from agentguard.core.policy import Workflow
from agentguard.core.values import Identity, Unavailable
from agentguard.errors import ConfigurationError
from agentguard.identity import AssertionRequest, LocalIssuer, Source, Verifier, key_source, obtain
from agentguard.policy import Bundle

__all__ = ["Identities", "Source"]


class Identities:
    """One source of assertions and the verifier of the issuer configured for it."""

    def __init__(
        self, bundle: Bundle, *, home: Path, source: Source | None, issuer: str | None, subject: str | None
    ) -> None:
        self._home = home
        self._source = source
        self._issuer_name = issuer
        self._subject = subject
        self._local: LocalIssuer | None = None
        self.take(bundle)

    def take(self, bundle: Bundle) -> None:
        """Verify by this bundle's Trust from now on. Raises ConfigurationError where it has no issuer to use."""
        trust = self._choose(bundle)
        if trust.profile == "local":
            if self._local is None:
                self._local = LocalIssuer(self._home / "local-issuer.json")
            self._verifier = Verifier(trust, self._local.keys)
        else:
            self._verifier = Verifier(trust, key_source(trust, Path(bundle.directory)))
        self._trust = trust

    def _choose(self, bundle: Bundle) -> IssuerTrust:
        local = self._source is None
        fitting = [t for t in bundle.issuers if (t.profile == "local") is local]
        if self._issuer_name is not None:
            fitting = [t for t in fitting if t.name == self._issuer_name]
        if len(fitting) == 1:
            return fitting[0]
        names = ", ".join(t.name for t in fitting)
        wanted = "of profile `local`" if local else "for the identity source"
        if fitting:
            raise ConfigurationError(f"Trust lists several issuers {wanted} ({names}); say which: Guard.load(issuer=…)")
        named = f" called `{self._issuer_name}`" if self._issuer_name is not None else ""
        remedy = "add one, or pass Guard.load(identity=…)" if local else "add the issuer of its assertions"
        raise ConfigurationError(f"Trust lists no issuer {wanted}{named}; {remedy}")

    def subject_for(self, workflow: Workflow) -> str | None:
        """Whom the local issuer is to speak for in this workflow. Raises ConfigurationError where that is not clear."""
        if self._source is not None:
            return None
        allowed = sorted(workflow.subjects & set(self._trust.subjects))
        if self._subject is not None:
            return self._subject
        if len(allowed) == 1:
            return allowed[0]
        if allowed:
            raise ConfigurationError(f"`{workflow.name}` is for {', '.join(allowed)}; say whom: Guard.load(subject=…)")
        raise ConfigurationError(
            f"the local issuer may speak for none of the subjects of `{workflow.name}`; list one in Trust, or pass "
            "Guard.load(identity=…)"
        )

    def obtain(self, digest: str, subject: str | None, now: datetime) -> Any:
        """A token for this digest, an awaitable of one, or Unavailable."""
        if self._source is None and self._local is not None:
            return self._local.mint(subject or "", self._trust, request_digest=digest, now=now)
        return obtain(self._source, AssertionRequest(self._trust.audience, digest, subject))

    def verify(self, token: Any, *, now: datetime, request_digest: str) -> Identity | Unavailable:
        """The identity a token proves, or why it proves none."""
        return self._verifier.verify(token, now=now, request_digest=request_digest)
