"""What somebody could recognise in a text: its links, addresses, numbers, dates and words that are not common.

A mark is eight bytes of a digest, so that a run can hold many, and nobody reads a text out of them. The same marks are
taken from what a tool returned and from what is written; what is written is also read without its escapes.

- **Links**: the whole address, each beginning of its path, and its host. **Addresses** of e-mail, and their domain.
- **Numbers** of four and more digits, with one separator between digits or none: the whole number, each group of four
  and more, the first and the last four, and every six digits in a row.
- **Dates**, in whatever order day, month and year stand, and the year by itself. A time of day is no number.
- **Words** of three and more letters or digits that are not in ``common``; without case, accents, width, what nobody
  sees and letters that look like Latin ones. Single letters in a row are one word.
"""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from base64 import b64decode
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b

from agentguard.core.text.links import Found, Link, address_key, addresses_of, link_key, links_of
from agentguard.core.text.readings import is_unseen, readings
from agentguard.core.text.told import SIZE

_PIECE = 16 * 1024
_MOST_KEPT = 200_000
_MOST_DIGITS = 64
_MOST_SEGMENTS = 8
_ROUNDS = 3
# What nearly any text says in one way or other: it counts where a tool certainly returned it.
CUT, AS_A_DATE = "a word that was cut", "a number as a date or time"
DISGUISED = frozenset({CUT, AS_A_DATE})
# No name is longer, and most words joined are.
_LONGEST_CUT = 40

_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTHS = {name: at for at, name in enumerate(_NAMES, 1)} | {name[:3]: at for at, name in enumerate(_NAMES, 1)}
_MONTH = "|".join(sorted([*_MONTHS, "sept"], key=len, reverse=True))
_ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)(?:[t ]+(?=\d{1,2}:\d\d))?")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[-/.] ?(\d{1,2})[-/.] ?(\d{4})(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?[ .-]{{1,2}}(?:of )?({_MONTH})\b[ .,-]{{0,2}}(\d{{4}})(?!\d)"
)
_MONTH_DAY = re.compile(rf"\b({_MONTH})\b\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})(?!\d)")
_TIME = re.compile(r"(?<![\d:.,])([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?![\d:]|[.,]\d)")
_STRICT = re.compile(r"\d(?:(?:[^\w\n]|\) | \(|_)?\d)*")
_LOOSE = re.compile(r"\d(?:[\W_]{0,6}\d)*")
_GROUP = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+")
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){3,}")
_RUNS = re.compile(r"\d+|[^\W\d_]+")
# `10am`, `3rd`, `100km`; `a4`, `q3`, `v2`.
_MEASURE = re.compile(r"\d{1,3}[a-z]{1,3}|[a-z]{1,2}\d{1,3}")
_PERCENT = re.compile("(?:%[0-9a-fA-F]{2})+")
# JSON's, a program's, mail's (quoted-printable), octal, and that of styles.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|=([0-9A-F]{2})|\\([0-3][0-7]{2})|\\([0-9a-fA-F]{1,6}) ?")
# Shown from right to left, whatever stands there.
_TURNED = re.compile("\u202e([^\u202c\n]+)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){5,}")

# Letters that look like a Latin one, by the small letter.
_LOOKS = dict(
    zip("авекмнорстухіјѕԁԛԝցհոսαβγεηικνορτυχωɩɪɡıℓ", "abekmhopctyxijsdqwghnuabyenikvoptuxwiigil", strict=True)
)


def marks_in(leaves: Iterable[str], *, written: bool = False) -> Iterator[tuple[bytes, str]]:
    """Each mark in these texts, with what it stands for. ``written``: as somebody may have disguised it."""
    texts = list(leaves)
    for text in texts:
        for link in links_of(text):
            yield from ((_mark(word), _LINKED[word[0]]) for word in _of_link(link))
    whole = "\n".join(texts)
    for reading in _disguises(whole) if written else (whole,):
        folded = _folded(reading)
        yield from ((_mark(word), "a date") for word in _dates(folded, written))
        rest, digits = _without_dates(folded)
        yield from ((_mark(word), AS_A_DATE) for word in _as_numbers(digits, written))
        yield from ((_mark(word), "a number") for word in _numbers(rest, written))
        yield from ((_mark(word), "a word") for word in _words(rest))
        if written:
            yield from ((_mark(word), CUT) for word in _cut_words(rest))


def year_marks(year: int) -> frozenset[bytes]:
    """The marks of this year, the one before and the one after: everybody knows them."""
    return frozenset(_mark(f"n:{near}") for near in (year - 1, year, year + 1))


def mark_of(word: str) -> bytes:
    """The mark of a whole link (``u:KEY``) or an address (``a:KEY``)."""
    return _mark(word)


_LINKED = {"l": "a link", "u": "a link", "h": "the host of a link or address", "a": "an address"}


@lru_cache(maxsize=65_536)
def _mark(word: str) -> bytes:
    return blake2b(word.encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()


def _of_link(link: Link) -> Iterator[str]:
    for address in map(address_key, addresses_of(link)):
        yield f"a:{address}"
        yield f"h:{address.rpartition('@')[2]}"
    if link.found is Found.MENTION:
        yield f"a:{link.target.casefold()}"
    if link.found is Found.OTHER and not addresses_of(link) and link.target:
        yield f"l:{link.target}"
    if link.found is not Found.URL:
        return
    key = link_key(link.target)
    if key is None:
        yield f"l:{link.target}"
        return
    host = re.split(r"[/?#]", key, maxsplit=1)[0]
    yield f"h:{host}"
    yield f"u:{key}"
    if key != host:
        yield f"l:{key}"
        path = re.split(r"[?#]", key, maxsplit=1)[0].split("/")
        yield from (f"l:{'/'.join(path[:depth])}" for depth in range(2, min(len(path), _MOST_SEGMENTS) + 1))


def _dates(text: str, written: bool) -> Iterator[str]:
    """Each date as year, month, day. One that can be read in two ways is both."""
    for year, month, day in _found_dates(text):
        if 1 <= month <= 12 and 1 <= day <= 31:
            yield f"d:{year:04}{month:02}{day:02}"
            if not written:
                yield f"n:{year:04}"


def _found_dates(text: str) -> Iterator[tuple[int, int, int]]:
    if not any(sign.isdigit() for sign in text):
        return
    for found in _ISO.finditer(text):
        yield int(found[1]), int(found[2]), int(found[3])
    for found in _DAY_FIRST.finditer(text):
        yield int(found[3]), int(found[2]), int(found[1])
        yield int(found[3]), int(found[1]), int(found[2])
    for found in _DAY_MONTH.finditer(text):
        yield int(found[3]), _MONTHS[found[2][:3]], int(found[1])
    for found in _MONTH_DAY.finditer(text):
        yield int(found[3]), _MONTHS[found[1][:3]], int(found[2])


def _without_dates(text: str) -> tuple[str, list[str]]:
    """Without dates and times of day, which are no numbers; and their digits, should they be one after all."""
    digits: list[str] = []

    def noted(found: re.Match[str]) -> str:
        digits.append("".join(_GROUP.findall(found[0])))
        return " x "

    for pattern in (_ISO, _DAY_FIRST, _DAY_MONTH, _MONTH_DAY, _TIME):
        text = pattern.sub(noted, text)
    return text, digits


def _as_numbers(digits: Iterable[str], written: bool) -> Iterator[str]:
    """What a date or a time says if it is a number in disguise. Of what was returned, only a whole date may be one."""
    for one in digits:
        if len(one) >= (4 if written else 8):
            yield f"n:{one}"
        if written:
            yield from _sixes(one)


def _numbers(text: str, written: bool) -> Iterator[str]:
    for found in _STRICT.finditer(text):
        yield from _number(found[0], written)
    if written:  # any separators: only what is too long to be there by chance
        for found in _LOOSE.finditer(text):
            digits = "".join(_GROUP.findall(found[0]))
            if len(digits) >= 4:
                yield f"n:{digits}"
                yield from _sixes(digits)


def _number(found: str, written: bool) -> Iterator[str]:
    groups = _GROUP.findall(found)
    digits = "".join(groups)
    if len(digits) < 4:
        return
    whole = {digits, *(group for group in groups if len(group) >= 4)}
    if not written:
        whole |= {digits[:4], digits[-4:]}
    yield from (f"n:{one}" for one in sorted(whole) if len(one) <= _MOST_DIGITS)
    yield from _sixes(digits)


def _sixes(digits: str) -> Iterator[str]:
    return (f"6:{digits[at : at + 6]}" for at in range(len(digits) - 5))


def _words(text: str) -> Iterator[str]:
    common = _common()
    for found in _WORD.finditer(text):
        word = found[0]
        if len(word) < 3 or word.isdecimal() or word in common or _MEASURE.fullmatch(word) is not None:
            continue
        if not word.isalpha() and not _holds_a_name(word, common):
            continue
        yield f"w:{word}"
    for found in _SPACED.finditer(text):
        word = "".join(_WORD.findall(found[0]))
        if not word.isdecimal() and word not in common:
            yield f"w:{word}"


def _cut_words(text: str) -> Iterator[str]:
    """Two and three words in a row as one, should somebody have cut it."""
    common = _common()
    words = _WORD.findall(text)
    for at in range(len(words) - 1):
        for joined in ("".join(words[at : at + 2]), "".join(words[at : at + 3])):
            if len(joined) <= _LONGEST_CUT and not joined.isdecimal() and joined not in common:
                yield f"w:{joined}"


def _holds_a_name(word: str, common: frozenset[str]) -> bool:
    """Whether letters and digits in one word say more than a measure or a common word does."""
    runs = _RUNS.findall(word)
    return len(runs) > 2 or any(run.isalpha() and len(run) > 2 and run not in common for run in runs)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    from agentguard.core.text.common import WORDS

    return frozenset(WORDS.split())


# Capitals of small size, which no table of Unicode takes for letters of the alphabet.
_SMALL = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
# White on black, in circles and squares, and the letters of flags: 26 each.
_BLOCKS = (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)


def _from_blocks(code: int) -> str:
    return next((chr(97 + code - first) for first in _BLOCKS if first <= code < first + 26), "")


class _Letters(dict[int, str]):
    """What is left of each character: a small letter or digit, a separator, or nothing of one that nobody sees."""

    def __missing__(self, code: int) -> str:
        left = "" if is_unseen(code) else self._read(chr(code))
        if len(self) < _MOST_KEPT:
            self[code] = left
        return left

    @staticmethod
    def _read(one: str) -> str:
        one = _SMALL.get(one) or _from_blocks(ord(one)) or one
        for _ in range(2):
            one = unicodedata.normalize("NFKD", one).casefold()
        kept = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else _LOOKS.get(c, c) for c in one)
        return "".join(c for c in kept if not unicodedata.combining(c))


_LETTERS = _Letters()


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join(text[at : at + _PIECE].translate(_LETTERS) for at in range(0, len(text), _PIECE))


def _disguises(text: str) -> Iterator[str]:
    """A text, and what stands in it in another form: without markup, what is escaped or turned round, and base64 and
    hexadecimal, also one in the other."""
    found = dict.fromkeys((text, *readings(text), *(part[::-1] for part in _TURNED.findall(text))))
    latest = list(found)
    for _ in range(_ROUNDS):
        read = [one for plain in latest for one in (_unescaped(plain), _decoded(plain)) if one and one not in found]
        found.update(dict.fromkeys(read))
        latest = read
    return iter(found)


def _unescaped(text: str) -> str:
    """With entities, percent-encoding and the escapes of JSON, styles, mail and programs read once."""
    return _ESCAPE.sub(_escape_read, html.unescape(_percent_read(text)))


def _escape_read(found: re.Match[str]) -> str:
    code = int(found[1] or found[2] or found[3] or found[5], 16) if found[4] is None else int(found[4], 8)
    return chr(code) if code <= 0x10FFFF else ""


def _decoded(text: str) -> str:
    """What base64 and hexadecimal in it say, if that is text."""
    parts = ((_BASE64, _base64_read), (_HEX, _hex_read))
    return "\n".join(filter(None, (read(found[0]) for pattern, read in parts for found in pattern.finditer(text))))


def _percent_read(text: str) -> str:
    return _PERCENT.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"), text)


def _base64_read(found: str) -> str:
    plain = found.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[:-1] if len(plain) % 4 == 1 else plain
    try:
        return _if_text(b64decode(plain + "=" * (-len(plain) % 4)))
    except binascii.Error:
        return ""


def _hex_read(found: str) -> str:
    return _if_text(bytes.fromhex(found.replace(":", " ")))


def _if_text(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.replace("\n", " ").isprintable() else ""
