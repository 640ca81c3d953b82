"""Redaction of card numbers, e-mail addresses, phone numbers and IBANs in free text.

Patterns with checksums where a standard defines one (Luhn for cards, mod 97 for IBAN). This is the
smallest honest set: names, addresses, spoken digits and account numbers are NOT found, and the
report says so (`NOT_COVERED`). Dates, times and amounts of money are left as they are.
"""

import re
from collections import Counter
from collections.abc import Callable

NOT_COVERED = (
    "names",
    "street addresses",
    "spoken or spelt-out numbers",
    "account and customer numbers",
    "dates, also of birth",
    "e-mail addresses without punctuation (speech to text)",
)

_EMAIL = re.compile(r"[\w.+%&'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# Whole runs of groups: which groups belong to the number is found by its checksum.
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]*(?: [A-Z0-9]+)*", re.IGNORECASE | re.ASCII)
_CARD = re.compile(r"(?<!\d)\d+(?:[ -]\d+)*")
# A date, time or amount is consumed first, so that it neither counts as a phone number nor hides
# one that follows it.
_PHONE = re.compile(
    r"""(?P<other>
      (?<!\w)(?:(?:19|20)\d\d([./-])\d{1,2}\2\d{1,2}|\d{1,2}([./-])\d{1,2}\3(?:19|20)\d\d)
        (?!\d|[./-]\d)                                                # 2026-01-31, 6/24/1991
    | (?<!\w)(?:19|20)\d\d[/-](?:19|20)\d\d(?!\w|[./-]\d)             # 2019-2021
    | (?<!\w)\d{1,2}:\d\d(?::\d\d)?(?!\w)                             # 20:30, 20:30:59
    | (?<![\w+])(?:\d{1,3}(?:([.,\ ])\d{3}){1,4}(?!\4)|\d{1,9})[.,]\d\d
        (?!\w|[ ./,-]\d)                                              # 12.345,67
    | [€$£]\ ?\d{1,9}(?:[.,]\d{1,3}){0,4}                             # $1234567
    | (?<![\w+])\d{1,9}(?:[.,]\d{1,3}){0,4}\ ?(?:[€$£](?!\ ?\d)|(?:EUR|USD|GBP)\b)
                                                                      # 1234567 EUR
    )
    | (?<![\w+])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,5}\)?){2,5}
      (?:\ ?(?:x|ext\.?)\ ?\d{1,6})?(?!\w)""",
    re.VERBOSE,
)


def luhn_valid(digits: str) -> bool:
    """Tell whether a digit string passes the Luhn check (ISO/IEC 7812-1, annex B)."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = sum(2 * value - 9 * (value > 4) for value in values[1::2])
    return (sum(values[::2]) + doubled) % 10 == 0


def iban_valid(text: str) -> bool:
    """Tell whether a text passes the mod-97 check of an IBAN (ISO 13616-1)."""
    compact = text.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact, re.ASCII):
        return False
    rotated = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in rotated)) % 97 == 1


def redact(text: str) -> tuple[str, Counter[str]]:
    """Replace personal numbers by their kind in angle brackets.

    Returns:
        The redacted text, and how often each kind was replaced.
    """
    found: Counter[str] = Counter()

    def phone(match: re.Match[str]) -> str:
        if match["other"] or not 7 <= len(re.sub(r"\D", "", match[0])) <= 15:
            return match[0]
        found["phone"] += 1
        return "<phone>"

    text, found["email"] = _EMAIL.subn("<email>", text)
    text, found["iban"] = _replace_valid(text, "iban", _IBAN, range(15, 35), iban_valid)
    text, found["card"] = _replace_valid(text, "card", _CARD, range(13, 20), luhn_valid)
    return _PHONE.sub(phone, text), +found  # without the kinds that were not found


def _replace_valid(
    text: str, kind: str, pattern: re.Pattern[str], lengths: range, valid: Callable[[str], bool]
) -> tuple[str, int]:
    """Replace every longest run of groups whose length and checksum fit; count the replacements.

    So a card number is found before its expiry date, and an IBAN before the rest of the sentence.
    """
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        pieces = re.split(r"([ -])", match[0])  # group, separator, group, …
        kept, start = [], 0
        while start < len(pieces):
            end = _end_of_run(pieces, start, lengths, valid)
            if end is None:
                kept.append(pieces[start])
            else:
                kept.append(f"<{kind}>")
                count += 1
            start = (end or start + 1) + 1
            kept += pieces[start - 1 : start]
        return "".join(kept)

    return pattern.sub(replace, text), count


def _end_of_run(
    pieces: list[str], start: int, lengths: range, valid: Callable[[str], bool]
) -> int | None:
    """Return where the longest valid run of groups from `start` ends, or `None`."""
    run, sizes, runs = "", [], []
    for end in range(start, len(pieces), 2):
        run += pieces[end]
        sizes.append(len(pieces[end]))
        if len(run) >= lengths.stop:
            break
        if len(run) in lengths and _written_in_groups(sizes):
            runs.append((end + 1, run))
    return next((end for end, run in reversed(runs) if valid(run)), None)


def _written_in_groups(sizes: list[int]) -> bool:
    """Tell whether one number may be written so: in one piece, in equal groups, or as 4-6-5.

    Without this rule a date and the number after it pass a checksum together now and then.
    """
    equal = all(size == sizes[0] <= 8 for size in sizes[:-1]) and sizes[-1] <= sizes[0]
    return len(sizes) == 1 or equal or sizes in ([4, 6, 5], [4, 6, 4])
