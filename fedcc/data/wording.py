"""How texts of cells and of the data YAML are compared, and how label values read as words.

Two texts are equal if their trimmed forms agree after canonical composition (Unicode NFC), so that
an é typed as one character equals an e with an accent. Upper and lower case count.
"""

import re
import unicodedata

Scalar = str | int | float


def normal(text: str) -> str:
    """Return the trimmed, canonically composed form in which texts are compared.

    Source: Unicode Standard Annex 15, normalization form C.
    """
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_text(value: Scalar) -> str:
    """Return a declared value as the text that cells are compared with; 3.0 is written 3."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return normal(str(value))


def without_form(text: str) -> str:
    """Return a text without case, compatibility forms, invisible characters and extra spaces.

    Never used to accept a value, only to name the declared one that a cell was probably meant as.
    """
    visible = "".join(
        char
        for char in unicodedata.normalize("NFKC", text)
        if unicodedata.category(char) not in ("Cf", "Cc") or char.isspace()
    )
    return " ".join(visible.casefold().split())


def words_of(value: str) -> str:
    """Return a label value as lower-case words: `reportLost_card?` reads `report lost card`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", value)
    words = re.sub(r"[_\-?]+", " ", spaced).lower().split()
    return " ".join(words) or value
