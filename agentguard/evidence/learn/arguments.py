"""What the traffic says of one argument of one tool, in the words of a step: its type, where it comes from, its bounds.

The rules:

1. Where a value comes from is what most runs agree on: an input of the run, or a place in a reading tool's result that
   outsiders cannot write. A run that says otherwise is not asked any further (``learn.aside``).
2. Of a tool that only reads, a constant, a bound or a list may be taken from traffic.
3. Of every other tool none is: an argument whose value has no such source is a question for an owner.
4. A value that is secret, by Tools or by its shape, stands nowhere in a draft, and is compared with nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentguard.core.credentials import without_credentials
from agentguard.core.values import Json
from agentguard.evidence.draft.words import is_free_text, says_whose
from agentguard.evidence.learn.texts import NOTHING, Carried

# Of the runs that use the argument, so many must agree on where it comes from; a second source is added for no fewer.
MOST_AGREE = 0.6
READS_AGREE = 0.7
ANOTHER_SOURCE = 0.25
# Different values that a place must have explained: one or two may be alike by chance.
DIFFERENT = 3
# A list of words that a reading tool takes.
MOST_WORDS = 8
# A body of mail has room; whoever fills a megabyte with a tool's text has not.
TEXT_AT_MOST = 10_000


class Hidden:
    """In place of a value that no draft may look at."""


HIDDEN = Hidden()


@dataclass(frozen=True, slots=True)
class Use:
    """One call's value of the argument, ``HIDDEN`` or where there is none ``ABSENT``; and where it was seen before."""

    run: str
    value: Json | Hidden
    places: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Where the values come from: a word of ``from``, how many runs it explains, and those it does not."""

    words: tuple[str, ...]
    runs: frozenset[str]
    breaks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Learnt:
    """An argument in a step. ``schema``: its words. ``says``: what stands behind the line. ``question``: what an owner
    must say before nobody is asked any more; None: nothing."""

    schema: Mapping[str, Json]
    says: str
    question: str | None
    rests_on: str = ""


def visible(value: Json) -> bool:
    """Whether a value may be looked at: it has no credential's shape, and is no placeholder of a record."""
    pending: list[Json] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += [*item, *item.values()]
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str) and (item in ("[redacted]", "[personal]") or not _is_plain(item)):
            return False
    return True


def _is_plain(text: str) -> bool:
    return without_credentials(text) == text and _TOKEN.search(text) is None


# What only a machine writes: keys that begin as a vendor's do, signed tokens, and long runs of mixed signs.
_TOKEN = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|xox[abprs]|AKIA|ASIA|AIza|glpat|eyJ)[-_A-Za-z0-9]{12,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<![\w/+=-])(?=[A-Za-z0-9_+/=-]*[0-9])(?=[A-Za-z0-9_+/=-]*[a-z])(?=[A-Za-z0-9_+/=-]*[A-Z])[A-Za-z0-9_+/=-]{32,}"
)


def source_of(uses: Sequence[Use], trusted: Callable[[str], bool], agree: float) -> Explained | None:
    """Where most runs take the value from, or None where they do not agree."""
    known = [use for use in uses if not isinstance(use.value, Hidden) and not is_nothing(use.value)]
    runs = frozenset(use.run for use in known)
    if not runs or len(known) < len([use for use in uses if isinstance(use.value, Hidden)]):
        return None
    places = {place for use in known for place in use.places or () if trusted(place)}
    places = {place for place in places if place.startswith("inputs.") or _tells_apart(known, place)}
    chosen: list[str] = []
    left = runs
    while places and left:
        gains = {place: left - _unexplained(known, (*chosen, place)) for place in places}
        # Inputs first, then whoever explains most, then the shortest: the same answer whatever the order of files.
        best = min(places, key=lambda p: (-(len(gains[p]) + (p.startswith("inputs.") * len(runs) // 4)), len(p), p))
        if len(gains[best]) < (agree if not chosen else ANOTHER_SOURCE) * len(runs):
            break
        chosen.append(best)
        left = _unexplained(known, chosen)
        places.discard(best)
    if not chosen:
        return None
    breaks = _unexplained(known, chosen)
    return Explained(tuple(chosen), runs - breaks, breaks)


def _tells_apart(uses: Iterable[Use], place: str) -> bool:
    values = {repr(use.value) for use in uses if place in (use.places or ())}
    return len(values) >= DIFFERENT


def _unexplained(uses: Iterable[Use], places: Sequence[str]) -> frozenset[str]:
    """Runs in which some value was seen at none of these places."""
    return frozenset(use.run for use in uses if not set(places) & set(use.places or ()))


def is_nothing(value: Json | Hidden) -> bool:
    """What names nothing and nobody."""
    return value is None or value in ("", [], {})


def type_of(values: Sequence[Json]) -> dict[str, Any]:
    """The type that all of these have, and no bounds."""
    names = sorted({_name(value) for value in values})
    if "integer" in names and "number" in names:
        names.remove("integer")
    found: dict[str, Any] = {"type": names[0] if len(names) == 1 else names}
    items = [item for value in values if isinstance(value, list) for item in value]
    if "array" in names:
        found["items"] = type_of(items) if items else {"type": "string"}
    objects = [value for value in values if isinstance(value, dict)]
    if "object" in names:
        members = sorted({name for value in objects for name in value})
        found["properties"] = {n: type_of([value[n] for value in objects if n in value]) for n in members}
        always = [name for name in members if all(name in value for value in objects)]
        if always:
            found["required"] = always
    return found


def _name(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds: tuple[tuple[type, str], ...] = ((int, "integer"), (float, "number"), (str, "string"), (list, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def learn_argument(
    name: str,
    uses: Sequence[Use],
    calls: int,
    source: Explained | None,
    *,
    reads: bool,
    is_place: bool,
    named: bool,
    carries: Carried = NOTHING,
) -> Learnt:
    """What a step says of one argument. ``calls``: of the tool in all, so that one that is left out is optional.

    ``carries``: the links and addresses in its texts. ``is_place``: it is a destination of the tool. ``named``: no
    traffic may say what it may be (a declared secret).
    """
    values = [use.value for use in uses if not isinstance(use.value, Hidden)]
    optional: dict[str, Any] = {"optional": True} if len(uses) < calls else {}
    runs = len({use.run for use in uses})
    if named or len(values) < len(uses):
        said = f"secret, or in no record; given in {runs} runs"
        return Learnt({"type": _types(values), **optional}, said, f"`{name}`: a secret, which nothing was learnt of")
    full = type_of(values)
    nothing = [value for value in values if is_nothing(value)]
    if len(nothing) == len(values):
        return Learnt({**_of_nothing(values), **optional}, f"empty in {runs} of {runs} runs", None)
    if source is not None:
        told = f"{len(source.runs)} of {len(source.runs | source.breaks)} runs; {len(source.breaks)} would break it"
        if reads or nothing or optional or len(source.words) > 1 or not source.words[0].startswith("inputs."):
            plain = _without_null(full)
            lead: dict[str, Any] = {"from": source.words[0] if len(source.words) == 1 else [*source.words]}
            more = {"null_is_absent": True} if None in nothing else {"optional": True} if nothing else optional
            return Learnt({**plain, **lead, **more}, told, None, source.words[0])
        return Learnt({**full, "fill": source.words[0]}, told, None, source.words[0])
    text = is_free_text(name, reads=reads) and _are_texts(values)
    if text and not is_place:
        word: dict[str, Any] = {**full, "maxLength": TEXT_AT_MOST}
        said = f"free text in {runs} runs"
        if reads:
            return Learnt({**word, **optional}, said, None, "text")
        question = f"`{name}`: links or addresses in it, from no source that is known" if carries.asks else None
        said += f"; {carries.breaks} would break it" if carries.breaks else ""
        return Learnt({**word, **carries.words, **optional}, said, question, "text")
    if set(_types_listed(full)) <= {"boolean", "null"} and {True, False} <= {v for v in values if v is not None}:
        return Learnt({**full, **optional}, f"true and false in {runs} runs", None, "text")
    if not reads or is_place:
        return Learnt({**_with_decimals(full), **optional}, _seen(values), f"`{name}`: {_asks(values)}")
    return _bounded(name, values, uses, full, optional)


def as_given(learnt: Learnt, inputs: Mapping[str, Any]) -> Learnt:
    """With the type of the source: what is filled has the input's, and a number may have decimals another time.

    An input of which a call takes a part fills nothing, and is where the part comes from.
    """
    schema, source = dict(learnt.schema), learnt.rests_on
    mine = schema.get("type")
    declared = inputs.get(source.removeprefix("inputs.")) if source.startswith("inputs.") else None
    its = declared.get("type") if isinstance(declared, Mapping) else None
    numbers = ("integer", "number")
    if mine in numbers and ("from" in schema or "fill" in schema):
        schema["type"] = its if its in numbers else "number"
    if "fill" in schema and its not in (mine, schema["type"]):
        schema["from"] = schema.pop("fill")
    return replace(learnt, schema=schema)


def _with_decimals(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Whoever is asked sees the number: that none had decimals yet is no reason to refuse the first that has."""
    named = schema["type"]
    if isinstance(named, list):
        return {**schema, "type": list(dict.fromkeys("number" if one == "integer" else one for one in named))}
    return {**schema, "type": "number" if named == "integer" else named}


def _bounded(
    name: str, values: Sequence[Json], uses: Sequence[Use], full: dict[str, Any], optional: dict[str, Any]
) -> Learnt:
    """Bounds of a tool that reads."""
    by_value: dict[str, set[str]] = {}
    for use in uses:
        by_value.setdefault(repr(use.value), set()).add(use.run)
    runs = len({use.run for use in uses})
    kinds = set(_types_listed(full))
    if kinds <= {"boolean", "null"}:
        return Learnt({**full, **optional}, f"in {runs} runs", None, "type")
    if kinds <= {"integer", "number", "null"}:
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        low, high = min(numbers), max(numbers)
        bounds = {"minimum": 0 if low >= 0 else -above(-low), "maximum": above(max(high, 1))}
        return Learnt({**full, **bounds, **optional}, f"{low:g} to {high:g} in {runs} runs", None, "bounds")
    # Words that come again and again, though one of them may have been seen once only.
    if len(by_value) <= MOST_WORDS and len(by_value) * 2 <= runs and kinds <= {"string", "null"}:
        words: list[Json] = []
        for value in values:
            if value not in words:
                words.append(value)
        words.sort(key=str)
        return Learnt({**full, "enum": words, **optional}, f"{len(words)} words in {runs} runs", None, "words")
    listed = _listed(values, runs) if kinds == {"array"} else None
    if listed is not None:
        return Learnt({**full, **listed, **optional}, f"lists of the same words in {runs} runs", None, "words")
    pattern = _pattern(values) if kinds == {"string"} else None
    if pattern is not None:
        return Learnt({**full, "pattern": pattern, **optional}, f"of this form in {runs} runs", None, "form")
    described = _any_text(values) if len(by_value) >= DIFFERENT and not says_whose(name) else None
    if described is not None:
        return Learnt({**described, **optional}, f"{len(by_value)} different texts in {runs} runs", None, "text")
    return Learnt({**full, **optional}, _seen(values), f"`{name}`: {_asks(values)}")


def _listed(values: Sequence[Json], runs: int) -> dict[str, Any] | None:
    """Lists that are made of a few words that come again and again; None where they are not."""
    lists = [value for value in values if isinstance(value, list)]
    found = {item for value in lists for item in value if isinstance(item, str)}
    plain = all(isinstance(item, str) for value in lists for item in value)
    if not plain or not found or len(found) > MOST_WORDS or len(found) * 2 > runs:
        return None
    return {"items": {"type": "string", "enum": sorted(found)}, "maxItems": max(len(found), *map(len, lists))}


def _any_text(values: Sequence[Json]) -> dict[str, Any] | None:
    """What a reading tool may look for, where it was something else each time: a text of some length, or several of
    them. None where values are no such texts."""
    lists = [value for value in values if isinstance(value, list)]
    texts = [text for value in lists for text in value] if lists else [*values]
    if (lists and len(lists) < len(values)) or not texts or not all(isinstance(text, str) for text in texts):
        return None
    longest = max(len(text) for text in texts if isinstance(text, str))
    plain: dict[str, Any] = {"type": "string", "maxLength": max(100, above(longest))}
    return {"type": "array", "items": plain, "maxItems": max(10, above(max(map(len, lists))))} if lists else plain


def _pattern(values: Sequence[Json]) -> str | None:
    """The form that all texts have, where only digits differ: `EXP-[0-9]+`; None where it is no form."""
    forms = {re.sub(r"[0-9]+", "0", str(value)) for value in values}
    if len(forms) != 1:
        return None
    form = forms.pop()
    if "0" not in form or re.fullmatch(r"[A-Za-z0 _:-]{2,40}", form) is None:
        return None
    return re.sub("0", "[0-9]+", form)


def above(number: float) -> int:
    """A round number that leaves as much room again."""
    step = 1
    while step < 2 * number:
        step *= 10
    return next(bound for bound in (step // 5, step // 2, step) if bound >= 2 * number)


def _of_nothing(values: Sequence[Json]) -> dict[str, Any]:
    """Only nothing: what was never given may not be given."""
    found = type_of(values)
    bounds: dict[str, Any] = {"string": {"maxLength": 0}, "array": {"maxItems": 0}}
    for name in _types_listed(found):
        found |= bounds.get(name, {})
    return found


def _are_texts(values: Sequence[Json]) -> bool:
    texts = [value for value in values if not is_nothing(value)]
    return bool(texts) and all(isinstance(value, str) for value in texts)


def _types(values: Sequence[Json]) -> Any:
    return type_of(values)["type"] if values else "string"


def _types_listed(schema: Mapping[str, Any]) -> list[str]:
    found = schema["type"]
    return found if isinstance(found, list) else [found]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    left = [name for name in _types_listed(schema) if name != "null"]
    return {**schema, "type": left[0] if len(left) == 1 else left}


def _asks(values: Sequence[Json]) -> str:
    """What an owner is asked, in words that no traffic can choose."""
    different = len({repr(value) for value in values})
    return "always the same value" if different == 1 else f"{different} different values, from no source that is known"


def _seen(values: Sequence[Json]) -> str:
    """What was there, for whoever decides: the most frequent values, as texts that can do nothing."""
    from agentguard import display

    counted = Counter(display.value(value, 40) for value in values if visible(value))
    often = [f"{text} ({count} times)" for text, count in counted.most_common(3) if count > 1]
    return "seen: " + (", ".join(often) if often else f"{len(counted)} values, each once")
