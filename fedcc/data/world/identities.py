"""Invented identities: names, numbers and addresses of generated customers, typed and spoken.

No value belongs to a person. Telephone numbers come from ranges that are reserved for fiction
where a country has one: Ofcom's 07700 900 (United Kingdom), ComReg's 020 91 (Ireland), 555-0100 to
555-0199 (United States), the Bundesnetzagentur's drama numbers (Germany); Spain, Portugal and
Brazil reserve none, so leading digits are used that to our knowledge are given to nobody. Mail
domains are those of RFC 2606. Cards pass the Luhn check but start with 4000 00 or 5555 55, which
payment sandboxes use. Postal codes do not exist (ZZ in the United Kingdom, 00… elsewhere).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from fedcc.data.world.grammar import Draw
from fedcc.data.world.spoken import digit_words, number_words, year_words
from fedcc.data.world.vocabulary import CITIES, FIRST_NAMES, LAST_NAMES, MONTHS, STREETS

PII_TYPES = ("name", "phone", "email", "card", "account", "address", "date_of_birth")

_AREA_CODES: Mapping[str, str] = {"sacramento": "916", "austin": "512", "albany": "518"}
_DRAMA_LANDLINES = ("030 23125", "040 66969", "069 90009", "0221 4710", "089 99998")
_WITHOUT_ACCENTS = str.maketrans("áàâãäéêíóôõöúüçñß", "aaaaaeeioooouucns")


@dataclass(frozen=True)
class Person:
    """One customer's invented identity: where, which language, and numbers to derive it from.

    `marks` are eight random numbers below 2^31; `birth_day` counts days since 1970-01-01.
    """

    centre: str
    country: str
    language: str
    birth_day: int
    marks: Sequence[int]

    @property
    def first_name(self) -> str:
        """The given name."""
        names = FIRST_NAMES[self.language]
        return names[self.marks[0] % len(names)]

    @property
    def last_name(self) -> str:
        """The family name."""
        names = LAST_NAMES[self.language]
        return names[self.marks[1] % len(names)]


def luhn_digit(digits: str) -> str:
    """Return the check digit that completes a card number (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - position % 2)
        total += value - 9 * (value > 9)
    return str(-total % 10)


def _name(person: Person, spoken: bool, draw: Draw) -> str:
    first, last = person.first_name, person.last_name
    how = draw()
    if how < 0.70:
        return f"{first} {last}"
    if how < 0.85:
        return first
    return f"{first} {last}" if spoken else f"{first[0]}. {last}"


def _phone(person: Person, spoken: bool, draw: Draw) -> str:
    mark = person.marks[2]
    if person.country == "GB":
        forms = [f"07700 900{mark % 1000:03d}", f"+44 7700 900{mark % 1000:03d}"]
    elif person.country == "IE":
        forms = [f"020 91{mark % 10} {mark // 10 % 10_000:04d}"]
    elif person.country == "US":
        area, tail = _AREA_CODES[person.centre], f"01{mark % 100:02d}"
        forms = [f"({area}) 555-{tail}", f"{area}-555-{tail}", f"{area}.555.{tail}"]
    elif person.country == "DE":
        start = _DRAMA_LANDLINES[mark // 1000 % len(_DRAMA_LANDLINES)]
        forms = [f"{start} {mark % 1000:03d}", f"+49 {start[1:]} {mark % 1000:03d}"]
    elif person.country == "BR":
        tail = f"9{mark % 10_000:04d}-{mark // 10_000 % 10_000:04d}"
        forms = [f"(20) {tail}", f"+55 20 {tail}"]
    else:
        prefix = "+34 50" if person.country == "ES" else "+351 50"
        rest = f"{mark % 10} {mark // 10 % 1000:03d} {mark // 10_000 % 1000:03d}"
        forms = [prefix[-2:] + rest, prefix + rest]
    return _digits(forms[int(draw() * len(forms))], person, spoken, draw)


def _digits(typed: str, person: Person, spoken: bool, draw: Draw) -> str:
    """Return a number as it was typed, or with its digits spelled out."""
    if spoken:
        return digit_words(typed, person.language, oh=draw() < 0.5, double=draw() < 0.3)
    return typed if draw() < 0.7 or not typed[0].isdigit() else typed.replace(" ", "")


def _email(person: Person, spoken: bool, draw: Draw) -> str:
    first = person.first_name.lower().translate(_WITHOUT_ACCENTS)
    last = person.last_name.lower().translate(_WITHOUT_ACCENTS).replace(" ", "")
    ending = ("com", "org", "net")[person.marks[3] % 3]
    number = person.marks[3] // 3 % 90 + 10 if person.marks[3] % 5 < 2 else None
    joint = (".", "_", "")[person.marks[3] // 7 % 3]
    if not spoken:
        tail = "" if number is None else str(number)
        return f"{first}{joint}{last}{tail}@example.{ending}"
    words = _SPOKEN_MARKS[person.language]
    parts = [first, last]
    if joint and draw() < 0.5:  # recognisers often drop what stands between the words
        parts.insert(1, words[joint])
    if number is not None:
        parts.append(number_words(number, person.language))
    parts += [words["@"], "example"] + ([words["."]] if draw() < 0.6 else []) + [ending]
    return " ".join(parts)


_SPOKEN_MARKS: Mapping[str, Mapping[str, str]] = {
    "en": {".": "dot", "_": "underscore", "@": "at"},
    "es": {".": "punto", "_": "guion bajo", "@": "arroba"},
    "pt": {".": "ponto", "_": "sublinhado", "@": "arroba"},
    "de": {".": "punkt", "_": "unterstrich", "@": "at"},
}


def _card(person: Person, spoken: bool, draw: Draw) -> str:
    start = ("400000", "555555")[person.marks[4] % 2]
    body = f"{start}{person.marks[4] % 10**9:09d}"
    number = body + luhn_digit(body)
    if spoken:
        return digit_words(number, person.language, oh=draw() < 0.3, double=draw() < 0.2)
    groups = [number[at : at + 4] for at in range(0, 16, 4)]
    return (" ", " ", "-", "")[int(draw() * 4)].join(groups)


def _account(person: Person, spoken: bool, draw: Draw) -> str:
    number = f"{person.marks[5] % 10**8:08d}"
    typed = f"{number[:4]} {number[4:]}" if draw() < 0.3 else number
    return _digits(typed, person, spoken, draw)


def _address(person: Person, spoken: bool, draw: Draw) -> str:
    mark = person.marks[6]
    streets = STREETS[person.country]
    street, house = streets[mark % len(streets)], mark // 100 % 180 + 1
    city, code = CITIES[person.centre], _postal_code(person.country, mark // 20_000)
    with_code = draw() < 0.6
    number_first = person.country in ("GB", "IE", "US")
    if spoken:
        number = number_words(house, person.language)
        line = f"{number} {street}" if number_first else f"{street} {number}"
        code = digit_words(code, person.language)
        return f"{line} {city} {code}" if with_code else f"{line} {city}"
    line = f"{house} {street}" if number_first else f"{street} {house}"
    if not with_code:
        return f"{line}, {city}"
    return f"{line}, {city} {code}" if number_first else f"{line}, {code} {city}"


def _postal_code(country: str, mark: int) -> str:
    if country == "GB":
        return f"ZZ{mark % 9 + 1} {mark % 7 + 1}QT"
    if country == "IE":
        return f"Z0{mark % 10} X{mark // 10 % 10}Q{mark // 100 % 10}"
    if country in ("PT", "BR"):
        tail = f"{mark // 100 % 1000:03d}"
        return f"00{mark % 100:02d}-{tail}" if country == "PT" else f"000{mark % 100:02d}-{tail}"
    return f"00{mark % 1000:03d}"


def _date_of_birth(person: Person, spoken: bool, draw: Draw) -> str:
    born = date(1970, 1, 1) + timedelta(days=person.birth_day)
    month = MONTHS[person.language][born.month - 1]
    if spoken:
        day, year = number_words(born.day, person.language), year_words(born.year, person.language)
        if person.language == "en":
            return f"{month} {day} {year}" if person.country == "US" else f"{day} {month} {year}"
        joint = " " if person.language == "de" else " de "
        return f"{day}{joint}{month}{joint}{year}"
    if person.language == "de":
        return f"{born:%d.%m.%Y}" if draw() < 0.7 else f"{born.day}. {month} {born.year}"
    if person.country == "US":
        return f"{born:%m/%d/%Y}" if draw() < 0.7 else f"{month} {born.day}, {born.year}"
    joint = " " if person.language == "en" else " de "
    written = f"{born.day}{joint}{month}{joint}{born.year}"
    return f"{born:%d/%m/%Y}" if draw() < 0.7 else written


VALUES: Mapping[str, Callable[[Person, bool, Draw], str]] = {
    "name": _name,
    "phone": _phone,
    "email": _email,
    "card": _card,
    "account": _account,
    "address": _address,
    "date_of_birth": _date_of_birth,
}
"""Type of personal data to what a person says or types of it (person, spoken, draw)."""
