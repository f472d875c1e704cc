"""Text that can be read one way only."""

from __future__ import annotations

import re
import unicodedata

# Letters and marks that show nothing, though their category says they are visible
# (Default_Ignorable_Code_Point, and the blank Braille pattern).
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


def is_plain_text(text: str) -> bool:
    """Whether no character stands for another: composed (NFC), and none that compatibility turns into
    ASCII."""
    if text.isascii():
        return True
    if _INVISIBLE.search(text) or not unicodedata.is_normalized("NFC", text):
        return False
    return not any(
        letter >= "\x80" and any(part < "\x80" for part in unicodedata.normalize("NFKC", letter)) for letter in text
    )
