"""The kind ``object``: an object or a prefix in a bucket, whichever of its names it is called by.

``s3://b/k`` and ``https://b.s3.eu-west-1.amazonaws.com/k`` are one place, and so are the forms of Google Cloud Storage
(``gs://``) and of Azure (``az://ACCOUNT/CONTAINER/KEY``, ``abfss://``, ``wasbs://``, ``https://``). A key is accepted
only where it is spelled one way, so the tool keeps its own form of the address.

Patterns: ``s3://bucket/reports/*``, ``gs://bucket/*``, ``az://account/container/*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind
from agentguard.destinations.kinds.segments import check_path_pattern, path_keys
from agentguard.destinations.kinds.url import read_url
from agentguard.destinations.text import is_plain_text

# Keys have at most 1,024 bytes in all three stores.
MAX_LENGTH = 2048
MAX_KEY = 1024
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?=[a-z0-9])){1,61}[a-z0-9]")
_IPV4 = re.compile(r"[0-9.]+")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"\$root|\$web|[a-z0-9](?:-?[a-z0-9]){2,62}")
# Patterns, escapes and parameters that one client expands and another takes as letters.
_NOT_IN_KEY = re.compile(r"[\\%?#*\[\]{}|<>\"^`~]")

_URI = re.compile(r"(s3|gs)://([^/@:]+)(?:/(.*))?")
_AZURE = re.compile(r"(?:abfss?|wasbs?)://([^/@:]+)@([a-z0-9]+)\.(?:dfs|blob)\.core\.windows\.net(?:/(.*))?")
_AZ = re.compile(r"az://([^/@:]+)/([^/@:]+)(?:/(.*))?")
_S3_PATH_HOST = re.compile(r"s3(?:[.-](?:dualstack\.)?[a-z]{2}(?:-[a-z]+)+-[0-9])?\.amazonaws\.com")
_S3_HOST = re.compile(r"(.+?)\.s3(?:[.-](?:dualstack\.)?[a-z]{2}(?:-[a-z]+)+-[0-9])?\.amazonaws\.com")
_GS_PATH_HOSTS = frozenset({"storage.googleapis.com", "storage.cloud.google.com"})
# On this host, these are Google's JSON interface: the bucket stands further on in the path.
_GS_INTERFACES = frozenset({"batch", "download", "resumable", "storage", "upload"})
_GS_HOST = re.compile(r"(.+)\.storage\.googleapis\.com")
_AZURE_HOST = re.compile(r"([a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net")
# Signed addresses of the three stores. What a signature lets happen, it says itself.
_SIGNATURE = re.compile(
    r"(?i:X-(?:Amz|Goog)-(?:Algorithm|Credential|Date|Expires|Security-Token|SignedHeaders|Signature|Content-Sha256))"
    r"|AWSAccessKeyId|GoogleAccessId|Signature|Expires|s[vretpi]|sig|spr|sip|sks|ske|skt|skv|skoid|sktid|srt|ss"
)


class _Object(TextKind):
    name = "object"
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        if not text.isprintable():
            return Ambiguous("control_character")
        found = _from_https(text) if text[:8].lower() == "https://" else _from_uri(text)
        if isinstance(found, Ambiguous):
            return found
        bucket, key = found
        problem = _key_problem(key)
        if problem is not None:
            return Ambiguous(problem)
        return self.place(f"{bucket}/{key}", bucket=bucket, key=key)

    def pattern_key(self, pattern: str) -> str:
        found = _from_uri(pattern.removesuffix("*"))
        if isinstance(found, Ambiguous) or _key_problem(found[1].removesuffix("/")) is not None:
            raise ValueError(f"`{pattern}` is not an object pattern; expected such as `s3://bucket/reports/*`")
        return found[0] + check_path_pattern(pattern[len(found[0]) :])

    def place_keys(self, place: Place) -> Iterable[str]:
        bucket = place.parts["bucket"]
        for path in path_keys("/" + place.parts["key"]):
            yield bucket + path


def _from_uri(value: str) -> tuple[str, str] | Ambiguous:
    """The canonical bucket and the key of a store's own form."""
    match = _URI.fullmatch(value)
    if match is not None:
        return _bucket(match[1], match[2], match[3] or "")
    match = _AZURE.fullmatch(value)
    if match is not None:
        return _azure(match[2], match[1], match[3] or "")
    match = _AZ.fullmatch(value)
    if match is not None:
        return _azure(match[1], match[2], match[3] or "")
    if "@" in value:
        return Ambiguous("userinfo")
    return Ambiguous("not_an_object")


def _from_https(value: str) -> tuple[str, str] | Ambiguous:
    """The same from the address that browsers use. A query names versions, listings and
    headers, which is refused, or a signature, which names nothing."""
    place = read_url(value, frozenset({"https"}))
    if isinstance(place, Ambiguous):
        return Ambiguous(place.reason)
    query = place.parts["query"]
    if query and any(_SIGNATURE.fullmatch(pair.partition("=")[0]) is None for pair in query.split("&")):
        return Ambiguous("query_not_allowed")
    if place.parts["port"] != "443":
        return Ambiguous("not_an_object")
    # S3 reads a plus sign in a path as a space.
    if "+" in place.parts["path"]:
        return Ambiguous("plus_sign")
    host, path = place.parts["host"], place.parts["path"][1:]
    first, _, rest = path.partition("/")
    if _S3_PATH_HOST.fullmatch(host):
        return _bucket("s3", first, rest)
    if host in _GS_PATH_HOSTS:
        return Ambiguous("not_an_object") if first in _GS_INTERFACES else _bucket("gs", first, rest)
    match = _AZURE_HOST.fullmatch(host)
    if match is not None:
        # With one segment, it is a blob of the account's own container, or a container: the query would say which.
        return _azure(match[1], first, rest) if rest else Ambiguous("not_an_object")
    for scheme, pattern in (("s3", _S3_HOST), ("gs", _GS_HOST)):
        match = pattern.fullmatch(host)
        if match is not None:
            return _bucket(scheme, match[1], path)
    return Ambiguous("not_an_object")


def _bucket(scheme: str, bucket: str, key: str) -> tuple[str, str] | Ambiguous:
    if _BUCKET.fullmatch(bucket) is None or _IPV4.fullmatch(bucket):
        return Ambiguous("not_a_bucket")
    return f"{scheme}://{bucket}", key


def _azure(account: str, container: str, key: str) -> tuple[str, str] | Ambiguous:
    if _ACCOUNT.fullmatch(account) is None or _CONTAINER.fullmatch(container) is None:
        return Ambiguous("not_a_bucket")
    return f"az://{account}/{container}", key


def _key_problem(key: str) -> str | None:
    if len(key.encode("utf-8", "replace")) > MAX_KEY:
        return "too_long"
    if _NOT_IN_KEY.search(key):
        return "character_not_allowed"
    if key.startswith("/") or "//" in key:
        return "empty_segment"
    if any(segment in (".", "..") for segment in key.split("/")):
        return "dot_segment"
    return None if is_plain_text(key) and key == key.strip() else "compatibility_character"


OBJECT = _Object()
