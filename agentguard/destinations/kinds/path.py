"""The kind ``path``: a POSIX file path, by its letters.

Options: ``root`` (an absolute directory; relative paths are under it, and nothing above it is a destination).
Symlinks are not looked at here: open the canonical path with ``agentguard.destinations.use.open_under``.

Patterns: ``/srv/reports/*`` (the directory and everything below), ``/srv/reports/today.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentguard.core.values import Json, Place
from agentguard.destinations.kinds.base import Ambiguous, Derived, TextKind, unknown_options
from agentguard.destinations.kinds.segments import check_path_pattern, path_keys
from agentguard.destinations.text import is_plain_text

# PATH_MAX and NAME_MAX of Linux, in bytes.
MAX_LENGTH = 4096
MAX_SEGMENT = 255
_LOOKS_LIKE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Doors in the file system that lead to any other file (``/proc/self/root``, ``/dev/fd/3``; ``/.vol`` on macOS, whose
# names have no case).
_DOORS = frozenset({"proc", "dev", "sys", ".vol"})


class _Path(TextKind):
    name = "path"
    options = frozenset({"root"})
    rewrites_argument = True
    max_length = MAX_LENGTH

    def read(self, text: str, options: Mapping[str, Json]) -> Derived:
        root = options.get("root")
        path = canonical_path(text, root if isinstance(root, str) else None)
        return path if isinstance(path, Ambiguous) else self.place(path, path=path)

    def option_problem(self, options: Mapping[str, Json]) -> str | None:
        root = options.get("root")
        if root is not None and (type(root) is not str or canonical_path(root) != root):
            return "`root` must be an absolute directory in its plain form, such as `/srv/reports`"
        return unknown_options(options, self.options)

    def pattern_key(self, pattern: str) -> str:
        check_path_pattern(pattern)
        body = pattern.removesuffix("/*") if pattern.endswith("/*") else pattern
        if body and canonical_path(body) != body:
            raise ValueError(f"`{pattern}` is not a plain absolute path; expected such as `/srv/reports/*`")
        return pattern

    def place_keys(self, place: Place) -> Iterable[str]:
        return path_keys(place.parts["path"])


def canonical_path(text: str, root: str | None = None) -> str | Ambiguous:
    """The absolute form of a path, lexically. Single dots and doubled slashes mean nothing; double dots are
    refused."""
    problem = _problem(text)
    if problem is not None:
        return Ambiguous(problem)
    segments = [segment for segment in text.split("/") if segment not in ("", ".")]
    # `a/../b` is `b` only where `a` is no symlink, which letters cannot tell.
    if ".." in segments:
        return Ambiguous("double_dot")
    if any(len(segment.encode()) > MAX_SEGMENT for segment in segments):
        return Ambiguous("too_long")
    path = "/" + "/".join(segments)
    if not text.startswith("/"):
        if root is None:
            return Ambiguous("relative_path")
        if not segments:
            return Ambiguous("empty")
        path = root.rstrip("/") + path
    elif root is not None and path != root and not path.startswith(root.rstrip("/") + "/"):
        return Ambiguous("outside_root")
    if path.split("/", 2)[1].lower() in _DOORS:
        return Ambiguous("system_path")
    return path


def _problem(text: str) -> str | None:
    if not text:
        return "empty"
    if len(text) > MAX_LENGTH:
        return "too_long"
    if not text.isprintable():
        return "control_character"
    if "\\" in text:
        return "backslash"
    if text != text.strip():
        return "whitespace"
    # Shells and libraries expand a leading tilde to somebody's home.
    if text.startswith("~"):
        return "tilde"
    # POSIX leaves exactly two leading slashes to the system; elsewhere they name another machine.
    if text.startswith("//"):
        return "double_slash"
    if _LOOKS_LIKE_URL.match(text):
        return "looks_like_a_url"
    return None if is_plain_text(text) else "compatibility_character"


PATH = _Path()
