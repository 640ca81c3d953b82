"""Guesses about a column from its name and its cells, to draft a data YAML.

Guesses lean towards leaving a column out: what looks like a name, an address, a number of a person
or an identifier is not declared. Nothing that trains calls this module.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fedcc.data.domains import as_declared, number
from fedcc.data.pii import redact
from fedcc.data.raw_table import LIST_SEPARATOR
from fedcc.data.wording import words_of

OOS = ("oos", "out_of_scope", "outofscope", "out_of_domain", "outofdomain")
MAX_LABELS = 500
_MAX_CHURN_LABELS = 5
_MAX_CATEGORIES = 30
_MAX_LABEL_CHARACTERS = 60  # a longer value, or one of more words, may be what somebody said
_MAX_LABEL_WORDS = 6
_FEW_ROWS = 20  # up to here every row may well have a label of its own
_MAX_SITES = 50
_MAX_FLAG_VALUES = 5  # PhoneService with Yes and No tells of a contract, not of a number
_SAMPLE = 1_000  # distinct cells that are looked at closely

# Words of a label's name, the strongest first.
_LABEL = {
    "churn": ("churn(ed)?", "left|leaves|leaver", "attrition", "exited|cancell?ed|lost")
    + ("kuendigung", "label|target"),
    "intent": (
        "intents?",
        "labels?",
        "categor(y|ies)",
        "topics?|class",
        "reasons?|disposition|wish(es)?",
    )
    + ("flow|queue|skill",),
}
_TEXT = r"text|utterance|message|query|question|transcript|body|sentence|words|content|comment|note"
_CUSTOMER = (
    r"customer|client|caller|account|subscriber|user|member|kunden?\w*|cust|person|household|party"
)
_CONVERSATION = r"conversation|session|dialog(ue)?|call|case|ticket"
_ID = r"id|no|nr|num|number|key|code|nummer|\w+id|\w+nr"
_PERSONAL = (
    r"name|surname|forename|vorname|nachname|e ?mail|mail|phone|mobile|telephone|msisdn|imsi|imei"
    r"|address|street|strasse|city|zip|zipcode|postcode|plz|iban|card|ssn|passport|birth|birthday"
    r"|dob|username|login|ip|latitude|longitude"
)
_SITE = r"site|region|centre|center|branch|location|standort|area|domain|county|office|team"
_SPLIT = r"split|partition|subset|part|set|fold"
_START = r"start(ed)?|begin|began|opened|created|call|date|time|timestamp|datetime|when|at"
_TIME = re.compile(
    r"\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d.*)?|\d\d?[./]\d\d?[./]\d{2,4}( \d\d?:\d\d.*)?"
    r"|\d{4}/\d\d?/\d\d?.*"
)
_LEAVES = {"yes", "y", "true", "t", "1", "churn", "churned", "left", "leaves", "leaver", "exited"}
_LEAVES |= {"cancelled", "canceled", "lost", "attrited customer", "ja", "oui", "si", "sí"}


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of a column: how often each filled cell occurs, and how it looks."""

    name: str
    n_rows: int
    counts: Counter[str]
    is_list: bool
    is_number: bool
    mean_words: float

    @property
    def n_filled(self) -> int:
        """Number of cells that are not empty."""
        return self.counts.total()

    @property
    def words(self) -> str:
        """The name as lower-case words."""
        return re.sub(r"[^\w]+", " ", words_of(self.name)).strip()


def facts_of(name: str, cells: Sequence[str], *, is_list: bool) -> ColumnFacts:
    """Count the cells of a column."""
    counts = Counter(map(as_declared, filter(None, cells)))
    n_filled = max(1, counts.total())
    words = sum(len(cell.split()) * times for cell, times in counts.items())
    return ColumnFacts(
        name=name,
        n_rows=len(cells),
        counts=counts,
        is_list=is_list,
        is_number=bool(counts) and all(number(cell) is not None for cell in counts),
        mean_words=words / n_filled,
    )


def _named(fact: ColumnFacts, pattern: str) -> bool:
    """Tell whether some word of a column's name fits."""
    return any(re.fullmatch(pattern, word) for word in fact.words.split())


def slug(text: str) -> str:
    """Return a name for a data set that needs no quotes."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "mine"


def value_order(value: str) -> tuple[float, str]:
    """Order values: numbers by size, then texts."""
    found = number(value)
    return (math.inf if found is None else found, value)


def label_values(fact: ColumnFacts) -> Counter[str]:
    """Return how often each label occurs; a cell may hold several."""
    sign = LIST_SEPARATOR if fact.is_list else separator_of(fact)
    if sign is None:
        return Counter(fact.counts)
    values = Counter[str]()
    for cell, times in fact.counts.items():
        for part in filter(None, map(str.strip, cell.split(sign))):
            values[part] += times
    return values


def unfit_as_label(fact: ColumnFacts, task: str) -> str | None:
    """Return why the values of a column must not be written down as labels, or `None`."""
    values = label_values(fact)
    if not all(map(_is_short, values)):
        return "they are as long as what somebody says"
    if fact.n_rows > _FEW_ROWS and len(values) > fact.n_filled / 2:
        return "nearly every row has one of its own"
    if len(values) > (MAX_LABELS if task == "intent" else _MAX_CHURN_LABELS):
        return f"there are {len(values)} of them"
    return None


def _is_short(value: str) -> bool:
    return len(value) <= _MAX_LABEL_CHARACTERS and len(value.split()) <= _MAX_LABEL_WORDS


def label_of(facts: dict[str, ColumnFacts], task: str) -> str | None:
    """Return the column that is most likely the label, or `None`.

    Its name goes before its look. A column that has the name alone, and values that are
    `unfit_as_label`, is taken last of all; a column of the callers' words never is.
    """
    words = _LABEL[task]
    several = [f for f in facts.values() if len(f.counts) > 1 and not is_time(f)]
    fit = [
        f
        for f in several
        if unfit_as_label(f, task) is None and (task == "intent" or not f.is_list)
    ]
    # Of equally strong names the last column wins.
    if named := [f for f in fit[::-1] if _rank(f, words) < len(words)]:
        return min(named, key=lambda f: _rank(f, words)).name
    if task == "churn":
        pairs = [
            f for f in fit if len(f.counts) == 2 and any(v.casefold() in _LEAVES for v in f.counts)
        ]
        if pairs:
            return pairs[-1].name
    elif lists := [f for f in fit if f.is_list]:
        return lists[0].name
    said = text_of(facts, None)
    by_name = [f for f in several[::-1] if _rank(f, words) < len(words) and f.name != said]
    if by_name:
        return min(by_name, key=lambda f: _rank(f, words)).name
    if task == "churn":
        return None
    repeated = [f for f in fit if len(f.counts) <= max(2, f.n_filled // 2)]
    others = [f for f in repeated if not f.is_number and not is_split(f)]
    return others[-1].name if others else None


def _rank(fact: ColumnFacts, words: Sequence[str]) -> int:
    return next((i for i, word in enumerate(words) if _named(fact, word)), len(words))


def text_of(facts: dict[str, ColumnFacts], label: str | None) -> str | None:
    """Return the column that most likely holds the caller's words, or `None`."""
    texts = [
        fact
        for fact in facts.values()
        if fact.name != label
        and not fact.is_list
        and not fact.is_number
        and (fact.mean_words >= 2 or _named(fact, _TEXT))
        and not is_time(fact)
    ]
    if not texts:
        return None
    return max(texts, key=lambda f: (_named(f, _TEXT), f.mean_words)).name


def customer_of(facts: dict[str, ColumnFacts], taken: Collection[str | None]) -> str | None:
    """Return the column that most likely identifies a customer, else a conversation, or `None`.

    A column in which no cell repeats tells rows apart, not people, so it goes behind one that
    repeats.
    """
    found = []
    for pattern in (_CUSTOMER, _CONVERSATION):
        for name, fact in facts.items():
            parts = fact.words.split()
            whole = re.fullmatch(rf"({pattern})({_ID})", "".join(parts))
            if name not in taken and fact.mean_words < 2 and (whole or fact.words == "customer"):
                found.append(fact)
    repeating = [fact for fact in found if len(fact.counts) < fact.n_filled]
    return next((fact.name for fact in (*repeating, *found)), None)


def private_reason(fact: ColumnFacts) -> str | None:
    """Return why a column should not be declared at all, or `None`."""
    if fact.n_filled == 0:
        return "it is empty"
    if _named(fact, _PERSONAL) and len(fact.counts) > _MAX_FLAG_VALUES:
        return "its name sounds like personal data"
    sample = list(fact.counts)[:_SAMPLE]
    if sum(bool(redact(cell)[1]) for cell in sample if not is_moment(cell)) > 0.3 * len(sample):
        return "its cells look like numbers or addresses of persons"
    unique = len(fact.counts) > 0.9 * fact.n_filled and fact.n_filled > 20
    whole = all(re.fullmatch(r"-?\d+", cell) for cell in sample)
    if unique and not is_time(fact) and (_named(fact, _ID) or whole or not fact.is_number):
        if fact.mean_words >= 3:
            return "free text; role: text, if it may be used"
        return "nearly every row has a value of its own, as an identifier has"
    if fact.mean_words >= 3 and not is_category(fact):
        return "free text; role: text, if it may be used"
    return None


def is_moment(cell: str) -> bool:
    """Tell whether a cell looks like a date or a time."""
    return _TIME.fullmatch(cell) is not None


def is_time(fact: ColumnFacts) -> bool:
    """Tell whether a column holds dates or times."""
    sample = list(fact.counts)[:_SAMPLE]
    return bool(sample) and sum(map(is_moment, sample)) >= 0.9 * len(sample)


def is_start(name: str) -> bool:
    """Tell whether a column of times is named like the start of an interaction."""
    return any(re.fullmatch(_START, word) for word in words_of(name).split())


def is_split(fact: ColumnFacts) -> bool:
    """Tell whether a column marks training and test rows."""
    values = {value.casefold() for value in fact.counts}
    return _named(fact, _SPLIT) and {"train", "test"} <= values


def is_site(fact: ColumnFacts) -> bool:
    """Tell whether a column may form the sites."""
    return _named(fact, _SITE) and 2 <= len(fact.counts) <= _MAX_SITES


def is_code(fact: ColumnFacts) -> bool:
    """Tell whether a column of numbers is a category: at most two whole numbers."""
    return len(fact.counts) <= 2 and all(re.fullmatch(r"\d{1,3}", cell) for cell in fact.counts)


def is_category(fact: ColumnFacts) -> bool:
    """Tell whether a column has few enough values, and short ones, for a category."""
    repeated = len(fact.counts) <= max(2, fact.n_filled // 4)
    return len(fact.counts) <= _MAX_CATEGORIES and repeated and all(map(_is_short, fact.counts))


def has_decimal_comma(fact: ColumnFacts) -> bool:
    """Tell whether a column holds numbers with a decimal comma."""
    return all(re.fullmatch(r"[+-]?[\d.]*,\d+|[+-]?\d+", cell) for cell in fact.counts)


def separator_of(fact: ColumnFacts) -> str | None:
    """Return the sign that stands between several labels of a cell, or `None`."""
    for sign in ("<div>", "|", ";", ","):
        parts = {part.strip() for cell in fact.counts if cell for part in cell.split(sign)}
        if "" in parts:  # a sign at the edge of a cell stands between nothing
            continue
        joined = sum(times for cell, times in fact.counts.items() if sign in cell)
        if joined and len(parts) < len(fact.counts) and parts & set(fact.counts):
            return sign
    return None


def churn_codes(values: Sequence[str]) -> dict[str, int]:
    """Return a code for every value: 1 for what sounds like leaving, else for the last value."""
    codes = {value: int(value.casefold() in _LEAVES) for value in values}
    if len(set(codes.values())) < 2 and values:
        codes = {value: int(value == values[-1]) for value in values}
    return codes


def round_bounds(low: float, high: float) -> tuple[float, float]:
    """Widen bounds to round numbers, so that they say less about the extreme rows."""
    if not math.isfinite(high - low):
        return low, high
    width = max(high - low, 1e-9 * max(abs(low), abs(high)), 1e-9)
    power = math.floor(math.log10(width))
    step = 10.0**power
    lower = 0.0 if 0 <= low <= high / 2 else math.floor(low / step) * step
    upper = math.ceil(high / step) * step
    digits = max(0, -power)
    # Rounding of the last binary digit must not push a row out of its own bounds.
    lower, upper = min(low, round(lower, digits)), max(high, round(upper, digits))
    return (lower, upper) if lower < upper else (lower, lower + step)
