"""What of a text could deceive the eye, in words for the person who decides by it.

``agentguard.display`` shows every code point that is not printable ASCII by its number, so nothing is hidden. This says
what such a number is, where it matters: a letter that looks like another, words of two scripts, what cannot be seen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

# Past so many different code points a remark names no more of them; it says how many there are.
_MOST_NAMED = 6
# A text longer than this is not looked at word by word: no person compares its letters either.
MAX_LOOKED_AT = 20_000

# Letters and signs that look like ASCII in common fonts (UTS 39 confusables), each before what it looks like.
_PAIRS = (
    "аa вb еe һh іi јj ӏl кk мm пn оo рp сc ѕs тt уy хx ԁd гr ԛq ԝw ьb АA ВB ЕE НH ІI ЈJ КK МM ОO РP СC ЅS ТT ХX УY "
    "αa βb γy εe ηn ιi κk νv οo ρp τt υu χx ωw ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "
    "օo սu հh ոn ցg գq զq քp յj տs ıi ɡg ɑa ɩi ʟL ‐- ‑- −- ʼ' ′' ⁄/ ∕/ ․. ‚, ∶: ꞉: ǃ! ∣| ٭*"
)
LOOKS_LIKE = {pair[0]: pair[1:] for pair in _PAIRS.split()}

# General categories whose members are seen as what they are, where nothing else is wrong with the text.
_SEEN = frozenset({"Lu", "Ll", "Lo", "Lt", "Nd", "Pd", "Ps", "Pe", "Po", "Pi", "Pf", "Pc", "Sc", "Sm"})
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def remarks(text: str) -> Sequence[str]:
    """Sentences on what a reader could take for something else. Empty for most texts. Each is printable ASCII."""
    if text.isascii() and text.isprintable():
        return ()
    looked_at = text[:MAX_LOOKED_AT]
    return tuple(_remarks(looked_at))


def reading(text: str) -> str | None:
    """The text as it stands, where it holds letters beyond ASCII and none of them can deceive; else None."""
    if text.isascii() or len(text) > MAX_LOOKED_AT or remarks(text) or unicodedata.normalize("NFC", text) != text:
        return None
    seen = all(" " <= each <= "~" if each.isascii() else _category(each) in _SEEN for each in text)
    return text if seen else None


def _category(each: str) -> str:
    return "Lo" if each in "ー々" else unicodedata.category(each)


def _remarks(text: str) -> Iterator[str]:
    beyond = sorted({each for each in text if not " " <= each <= "~"})
    turning = [each for each in beyond if unicodedata.bidirectional(each) in _TURNS or each in "\u200e\u200f\u061c"]
    if turning:
        yield f"holds what turns the direction of text around: {_named(turning)}"
    unseen = [each for each in beyond if each not in turning and not _is_seen(each)]
    if unseen:
        yield f"holds what cannot be seen, or moves other text: {_named(unseen)}"
    words = set(_words(text))
    mixed = [word for word in words if len(_scripts(word)) > 1]
    # Of a word of another script some letters look like ours, and nobody is deceived; unless all of them do.
    suspect = set().union(*mixed, *(word for word in words if all(_looks_like(each) is not None for each in word)))
    alike = [each for each in beyond if _looks_like(each) is not None and (each in suspect or _is_ours(each))]
    if alike:
        yield "; ".join(f"{_name(each)} looks like `{_looks_like(each)}`" for each in alike[:_MOST_NAMED]) + _more(
            alike
        )
    if mixed:
        scripts = sorted(set().union(*map(_scripts, mixed)))
        yield f"one word has letters of several scripts: {', '.join(scripts)}"


def _is_seen(each: str) -> bool:
    return unicodedata.category(each)[0] in "LNPSM" and bool(unicodedata.name(each, "")) and each not in _EMPTY_LETTERS


# Letters that fonts draw as nothing.
_EMPTY_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f") | frozenset(
    map(chr, range(0xFE00, 0xFE10))
)


def _looks_like(each: str) -> str | None:
    if each in LOOKS_LIKE:
        return LOOKS_LIKE[each]
    plain = unicodedata.normalize("NFKC", each)
    return plain if plain != each and plain.isascii() and plain.isprintable() and plain.strip() else None


def _is_ours(each: str) -> bool:
    """Whether it would stand among Latin letters without being of another script: a sign, or a Latin letter itself."""
    return not each.isalpha() or _scripts(each) == {"LATIN"}


def _words(text: str) -> Iterator[str]:
    word = ""
    for each in [*text, " "]:
        if each.isalpha():
            word += each
        elif word:
            yield word
            word = ""


def _scripts(word: str) -> frozenset[str]:
    """The scripts of a word's letters, by the first word of their names. Those of Japanese count as one."""
    found = {unicodedata.name(each, "UNKNOWN").split(" ")[0].split("-")[0] for each in word}
    japanese = {"HIRAGANA", "KATAKANA", "CJK"}
    return frozenset(found - japanese | ({"JAPANESE"} if found & japanese else set()))


def _named(characters: Sequence[str]) -> str:
    return ", ".join(map(_name, characters[:_MOST_NAMED])) + _more(characters)


def _more(characters: Sequence[str]) -> str:
    left = len(characters) - _MOST_NAMED
    return f" and {left} more" if left > 0 else ""


def _name(each: str) -> str:
    name = unicodedata.name(each, "")
    return f"U+{ord(each):04X}" + (f" {name}" if name else "")
