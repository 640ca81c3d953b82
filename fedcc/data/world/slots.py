"""What callers fill into a sentence besides personal data: amounts, days, countries, speeds.

Each slot has a typed form ("£24.99", "50 GB") and a spoken one ("twenty four ninety nine").
"""

from collections.abc import Callable, Mapping

from fedcc.data.world.grammar import Draw
from fedcc.data.world.spoken import number_words
from fedcc.data.world.vocabulary import (
    COUNTRIES,
    DAYS,
    DEVICES,
    MONTHS,
    ORDINALS,
    RELATIVES,
    RIVALS,
    ROOMS,
)

_GIGAS = (1, 2, 5, 10, 20, 30, 50, 100)
_SPEEDS = (2, 5, 10, 16, 25, 50, 100, 250, 500)
_UNITS: Mapping[str, tuple[str, str]] = {
    "£": ("pounds", "pence"),
    "$": ("dollars", "cents"),
    "€": ("euros", "cents"),
    "R$": ("reais", "centavos"),
}
_LOCAL_UNITS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("es", "€"): ("euros", "céntimos"),
    ("es", "$"): ("dólares", "centavos"),
    ("pt", "€"): ("euros", "cêntimos"),
    ("de", "€"): ("Euro", "Cent"),
}

Fill = Callable[[str, str, bool, Draw], str]
"""Fills a slot: language, currency sign, whether it is spoken, the stream of draws."""


def _amount(language: str, currency: str, spoken: bool, draw: Draw) -> str:
    units = int(3 + 120 * draw() ** 2.2)
    cents = (0, 0, 99, 50, 90, 49)[int(draw() * 6)]
    if not spoken:
        number = f"{units}.{cents:02d}" if cents else str(units)
        if language != "en":
            number = number.replace(".", ",")
        if currency == "€" or (language == "es" and currency == "$"):
            return f"{number} {'€' if currency == '€' else 'dólares'}"
        return f"{currency}{number}"
    whole = number_words(units, language)
    unit, cent = _LOCAL_UNITS.get((language, currency), _UNITS[currency])
    if not cents:
        return f"{whole} {unit}"
    if draw() < 0.6:
        return f"{whole} {unit if language == 'de' else ''} {number_words(cents, language)}"
    joint = {"en": "and", "es": "con", "pt": "e", "de": "und"}[language]
    return f"{whole} {unit} {joint} {number_words(cents, language)} {cent}"


def _measure(sizes: tuple[int, ...], typed_unit: str, spoken_unit: str) -> Fill:
    def fill(language: str, currency: str, spoken: bool, draw: Draw) -> str:
        size = sizes[int(draw() * len(sizes))]
        if spoken:
            return f"{number_words(size, language)} {spoken_unit}"
        return f"{size} {typed_unit}" if draw() < 0.6 else f"{size}{typed_unit.lower()}"

    return fill


def _listed(lists: Mapping[str, tuple[str, ...]]) -> Fill:
    def fill(language: str, currency: str, spoken: bool, draw: Draw) -> str:
        words = lists[language]
        return words[int(draw() * len(words))]

    return fill


def _count(language: str, currency: str, spoken: bool, draw: Draw) -> str:
    number = 2 + int(draw() * 8)
    return number_words(number, language) if spoken or draw() < 0.4 else str(number)


def _time(language: str, currency: str, spoken: bool, draw: Draw) -> str:
    hour = 8 + int(draw() * 11)
    if spoken:
        return number_words(hour, language)
    return f"{hour}:{'00' if draw() < 0.5 else '30'}"


def _everywhere(words: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return dict.fromkeys(("en", "es", "pt", "de"), words)


FILLERS: Mapping[str, Fill] = {
    "amount": _amount,
    "month": _listed(MONTHS),
    "day": _listed(DAYS),
    "country": _listed(COUNTRIES),
    "device": _listed(_everywhere(DEVICES)),
    "rival": _listed(_everywhere(RIVALS)),
    "relative": _listed(RELATIVES),
    "room": _listed(ROOMS),
    "nth": _listed(_everywhere(ORDINALS)),
    "count": _count,
    "time": _time,
    "gigas": _measure(_GIGAS, "GB", "gigabytes"),
    "speed": _measure(_SPEEDS, "Mbps", "megabits"),
}
"""Slot name to what fills it."""
