"""SPIFFE IDs, to the letter of the SPIFFE-ID standard, section 2."""

from __future__ import annotations

import re

MAX_ID_BYTES = 2048
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def is_trust_domain(text: str) -> bool:
    """Whether this is a trust domain name: lower-case letters, digits, dots, dashes and underscores."""
    return _TRUST_DOMAIN.fullmatch(text) is not None


def is_workload_of(text: str, trust_domain: str) -> bool:
    """Whether this is the SPIFFE ID of a workload (so with a path) in exactly that trust domain."""
    prefix = f"spiffe://{trust_domain}/"
    if len(text) > MAX_ID_BYTES or not text.startswith(prefix):
        return False
    segments = text[len(prefix) :].split("/")
    return all(_SEGMENT.fullmatch(segment) and segment not in {".", ".."} for segment in segments)
