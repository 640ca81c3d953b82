"""Redaction of card numbers, e-mail addresses, phone numbers and IBANs in free text.

Patterns with checksums where a standard defines one (Luhn for cards, mod 97 for IBAN). This is the
smallest honest set: names, addresses, spoken digits and account numbers are NOT found, and the
report says so (`NOT_COVERED`).
"""

import re
from collections import Counter

NOT_COVERED = (
    "names",
    "street addresses",
    "spoken or spelt-out numbers",
    "account and customer numbers",
    "e-mail addresses without punctuation (speech to text)",
)

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b", re.IGNORECASE)
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_PHONE = re.compile(r"(?<![\w+])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,5}\)?){2,5}(?!\w)")


def luhn_valid(digits: str) -> bool:
    """Tell whether a digit string passes the Luhn check (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """Tell whether a text passes the mod-97 check of an IBAN (ISO 13616-1)."""
    compact = text.replace(" ", "").upper()
    if not 15 <= len(compact) <= 34:
        return False
    rotated = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in rotated)) % 97 == 1


def redact(text: str) -> tuple[str, Counter[str]]:
    """Replace personal numbers by their kind in angle brackets.

    Returns:
        The redacted text, and how often each kind was replaced.
    """
    found: Counter[str] = Counter()

    def replace(kind: str, match: re.Match[str]) -> str:
        raw = match.group()
        digits = re.sub(r"\D", "", raw)
        keep = (
            (kind == "iban" and not iban_valid(raw))
            or (kind == "card" and not luhn_valid(digits))
            or (kind == "phone" and not 7 <= len(digits) <= 15)
        )
        if keep:
            return raw
        found[kind] += 1
        return f"<{kind}>"

    patterns = (("email", _EMAIL), ("iban", _IBAN), ("card", _CARD), ("phone", _PHONE))
    for kind, pattern in patterns:
        text = pattern.sub(lambda match, kind=kind: replace(kind, match), text)  # type: ignore[misc]
    return text, found
