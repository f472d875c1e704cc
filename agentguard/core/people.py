"""Whether two names mean one person. Pure."""

from __future__ import annotations

import unicodedata

# Longer than any name of a person or workload. Two that differ only after it are taken for one: normalising takes time
# in the square of a name that is nothing but marks.
MAX_NAME = 4096


def person(name: str) -> str:
    """Who is meant by a name, without what a spelling can change: ``user:``, case, width, spaces, what nobody can see.

    Two people whose names differ in nothing else cannot answer for each other: one of them may well be the other.
    """
    name = name[:MAX_NAME]
    for _ in range(2):  # folding case can bring in what decomposes, and the other way about (Unicode, D146)
        name = unicodedata.normalize("NFKC", name).casefold()
    name = "".join(character for character in name if character.isprintable() and not character.isspace())
    while name.startswith("user:"):
        name = name.removeprefix("user:")
    return name


def same_person(one: str, other: str | None) -> bool:
    """Whether both mean one person; nobody is meant by None."""
    return other is not None and person(one) == person(other)
