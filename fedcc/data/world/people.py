"""Customers of the generated world, their contacts over one year and their consent, by chunks.

Everything is drawn for a whole chunk of `CHUNK` customers at once from one stream that depends on
seed and chunk alone, so any chunk is the same whatever was drawn before it. Contacts form rows of
eight per customer (`CONTACTS`), of which the first `count` exist. All of it is invented.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fedcc.data.world.churn import ChurnFactors, churn_probability
from fedcc.data.world.clock import minute_of, offsets
from fedcc.data.world.consent_records import ConsentRecords, draw_consent
from fedcc.data.world.intents import CATALOGUE, COMPLAINT, EXITS, OUTAGE
from fedcc.data.world.places import CENTRES, LANGUAGES, PRODUCTS, REGIONS, intent_shares
from fedcc.rng import generator

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CHUNK = 1024
CONTACTS = 8
YEAR_START, YEAR_END = minute_of("2025-01-01T00:00"), minute_of("2026-01-01T00:00")
_DAY, _MONTH = 1440, 43_830  # minutes; the month of an average year
_LAST_DAY = YEAR_END // _DAY - 1

AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
_AGE_FROM, _AGE_TO = np.array([18, 25, 35, 45, 55, 65]), np.array([24, 34, 44, 54, 64, 89])
GENDERS = ("female", "male", "not_stated")
CONTRACTS = ("month_to_month", "one_year", "two_year")
PAYMENT_METHODS = ("direct_debit", "card", "bank_transfer", "cash")
CHANNELS = ("phone", "chat", "e-mail")

_AGE_SHARES = [0.11, 0.19, 0.19, 0.18, 0.16, 0.17]
_GENDER_SHARES = [0.49, 0.48, 0.03]
_PRODUCT_SHARES = [0.36, 0.22, 0.26, 0.16]
_CONTRACT_SHARES = [[0.42, 0.31, 0.27]] * 3 + [[1.0, 0.0, 0.0]]  # by product; prepaid never binds
_PAYMENT_SHARES = [[0.53, 0.24, 0.14, 0.09]] * 3 + [[0.0, 0.62, 0.0, 0.38]]
_CHANNEL_SHARES = [[0.34, 0.56, 0.10], [0.50, 0.37, 0.13], [0.74, 0.15, 0.11]]  # young, middle, 65+
_CHARGE_MEDIAN = np.array([24.0, 36.0, 60.0, 14.0])  # currency units a month, by product
_FAULTS_BY_PRODUCT = np.array([0.5, 1.0, 1.1, 0.4])


@dataclass(frozen=True)
class Contacts:
    """Contacts of a chunk, arrays of shape `(n, CONTACTS)`; row i is used up to `count[i]`.

    `rating` is 1 to 5, or 0 where the survey was not answered; `minute` is UTC.
    """

    count: Integers
    intent: Integers
    resolved: NDArray[np.bool_]
    rating: Integers
    minute: Integers
    channel: Integers
    agent: Integers

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which of the places hold a contact."""
        return np.arange(CONTACTS) < self.count[:, None]

    @property
    def first_minute(self) -> Integers:
        """When the earliest contact of each customer started."""
        earliest: Integers = np.where(self.used, self.minute, YEAR_END).min(axis=1)
        return earliest


@dataclass(frozen=True)
class Chunk:
    """All customers of one chunk; arrays of shape `(n,)` hold codes of the tuples above."""

    first: int  # number of the first customer, from 0
    centre: Integers
    region: Integers
    language: Integers
    age_band: Integers
    birth_day: Integers  # days since 1970-01-01
    gender: Integers
    product: Integers
    contacts: Contacts
    factors: ChurnFactors
    payment: Integers
    consent: ConsentRecords
    probability: Floats
    churned: NDArray[np.bool_]
    marks: Integers  # shape (n, 8): random numbers that identities are derived from


def pick(cumulative: Floats, row: Integers, draws: Floats) -> Integers:
    """Return the category of each draw by the shares of its row.

    Args:
        cumulative: one row of cumulative shares per kind of draw, shape `(rows, k)`.
        row: which row each draw uses, shape `(n,)`.
        draws: uniform numbers in [0, 1), shape `(n,)`.
    """
    n_rows, k = cumulative.shape
    # One search in all rows end to end; row r spans the numbers from r to r + 1.
    ends = (cumulative + np.arange(n_rows)[:, None]).ravel()
    found = np.searchsorted(ends, draws + row, side="right") - k * row
    chosen: Integers = np.minimum(found, k - 1)
    return chosen


def cumulated(shares: list[list[float]]) -> Floats:
    """Return cumulative shares, rows normalised to end at 1."""
    sums = np.cumsum(np.array(shares, dtype=np.float64), axis=-1)
    result: Floats = sums / sums[..., -1:]
    return result


@cache
def _tables() -> dict[str, Floats]:
    return {
        "centre": cumulated([[centre.size for centre in CENTRES]]),
        "language": cumulated([[c.languages.get(x, 0.0) for x in LANGUAGES] for c in CENTRES]),
        "region": cumulated([[c.regions.get(x, 0.0) for x in REGIONS] for c in CENTRES]),
        "age": cumulated([_AGE_SHARES]),
        "product": cumulated([_PRODUCT_SHARES]),
        "contract": cumulated(_CONTRACT_SHARES),
        "payment": cumulated(_PAYMENT_SHARES),
        "gender": cumulated([_GENDER_SHARES]),
        "channel": cumulated(_CHANNEL_SHARES),
        "intent": cumulated([intent_shares(c, p) for c in CENTRES for p in PRODUCTS]),
        "settled": np.array([intent.settled for intent in CATALOGUE]),
        "quality": np.array([centre.quality for centre in CENTRES]),
        "faults": np.array([centre.faults for centre in CENTRES]),
        "main": np.array([LANGUAGES.index(max(c.languages, key=c.languages.__getitem__))
                          for c in CENTRES], dtype=np.float64),
        "utc_minutes": np.array([centre.utc_minutes for centre in CENTRES], dtype=np.float64),
        "agents": np.array([centre.agents for centre in CENTRES], dtype=np.float64),
    }  # fmt: skip


def draw_chunk(seed: int, number: int) -> Chunk:
    """Draw the customers `number * CHUNK` to `(number + 1) * CHUNK - 1` of a seed's world."""
    rng = generator(seed, "world", "customers", number)
    table = _tables()
    unit = rng.random((12, CHUNK))
    anyone = np.zeros(CHUNK, dtype=np.int64)
    centre = pick(table["centre"], anyone, unit[0])
    language = pick(table["language"], centre, unit[1])
    age_band = pick(table["age"], anyone, unit[2])
    age = _AGE_FROM[age_band] + (unit[3] * (_AGE_TO - _AGE_FROM + 1)[age_band]).astype(np.int64)
    birth_day = _LAST_DAY - (365.25 * (age + unit[4])).astype(np.int64)
    product = pick(table["product"], anyone, unit[5])
    contract = pick(table["contract"], product, unit[6])
    # Nobody holds a contract before coming of age.
    longest = np.minimum(12 * (age - 18), 119)
    tenure = np.minimum((-32 * np.log1p(-unit[7])).astype(np.int64), longest)
    charge_cents = _charges(rng, product, contract)
    faults = rng.poisson(table["faults"][centre] * _FAULTS_BY_PRODUCT[product])
    joined = YEAR_END // _DAY - 2 - ((tenure + unit[8]) * (_MONTH / _DAY)).astype(np.int64)
    joined = joined * _DAY + 540 - table["utc_minutes"][centre].astype(np.int64)  # at nine
    contacts = _draw_contacts(rng, centre, language, product, age_band, faults, joined)
    factors = ChurnFactors(contract, tenure, charge_cents, *_summary(contacts, faults))
    probability = churn_probability(factors)
    return Chunk(
        first=number * CHUNK,
        centre=centre,
        region=pick(table["region"], centre, unit[9]),
        language=language,
        age_band=age_band,
        birth_day=birth_day,
        gender=pick(table["gender"], anyone, unit[10]),
        product=product,
        contacts=contacts,
        factors=factors,
        payment=pick(table["payment"], product, unit[11]),
        consent=draw_consent(rng, centre, joined, contacts.first_minute, YEAR_END),
        probability=probability,
        churned=rng.random(CHUNK) < probability,
        marks=rng.integers(0, 2**31, size=(CHUNK, 8)),
    )


def _charges(rng: np.random.Generator, product: Integers, contract: Integers) -> Integers:
    """Draw monthly charges in hundredths, all ending in 99; without a binding contract dearer."""
    charge = _CHARGE_MEDIAN[product] * np.exp(0.28 * rng.standard_normal(CHUNK))
    whole: Integers = np.clip(charge * (1 + 0.08 * (contract == 0)), 5, 139).astype(np.int64)
    return 100 * whole + 99


def _summary(contacts: Contacts, faults: Integers) -> tuple[Integers, ...]:
    """Return complaints, unresolved, outages, exit contacts and mean rating in tenths."""
    used = contacts.used
    rated = used & (contacts.rating > 0)
    answers = rated.sum(axis=1)
    total = (contacts.rating * rated).sum(axis=1)
    # Rounded half up in whole numbers, so that the mean of a customer's rows gives the same.
    tenths = np.where(answers > 0, (20 * total + answers) // np.maximum(2 * answers, 1), 0)
    return (
        (used & (contacts.intent == COMPLAINT)).sum(axis=1),
        (used & ~contacts.resolved).sum(axis=1),
        np.minimum(faults, 9) + (used & (contacts.intent == OUTAGE)).sum(axis=1),
        (used & np.isin(contacts.intent, EXITS)).sum(axis=1),
        tenths,
    )


def _draw_contacts(
    rng: np.random.Generator,
    centre: Integers,
    language: Integers,
    product: Integers,
    age_band: Integers,
    faults: Integers,
    joined: Integers,
) -> Contacts:
    """Draw the contacts of a year: heavy-tailed in number, unsolved ones come back."""
    n, table = len(centre), _tables()
    count = 1 + rng.poisson(rng.gamma(0.8, 1.6, n) * (0.8 + 0.35 * faults)).clip(max=CONTACTS - 1)
    age_group = np.repeat(np.digitize(age_band, [2, 5]), CONTACTS)
    channel = pick(table["channel"], age_group, rng.random(n * CONTACTS)).reshape(n, CONTACTS)
    desk = np.repeat(centre * len(PRODUCTS) + product, CONTACTS)
    intent = pick(table["intent"], desk, rng.random(n * CONTACTS)).reshape(n, CONTACTS)
    # The loop below goes by columns, which lie together in memory in this order.
    intent, day = np.asfortranarray(intent), np.asfortranarray(_days(rng, joined, count))
    unit = rng.random((4, CONTACTS, n)).transpose(0, 2, 1)
    service = table["quality"][centre] - 0.08 * (language != table["main"][centre])
    resolved = np.empty((n, CONTACTS), dtype=np.bool_, order="F")
    for at in range(CONTACTS):
        if at:
            follows = ~resolved[:, at - 1] & (unit[0, :, at] < 0.45)
            again = np.where(unit[1, :, at] < 0.3, COMPLAINT, intent[:, at - 1])
            intent[:, at] = np.where(follows, again, intent[:, at])
            soon = np.minimum(day[:, at - 1] + 1 + (6 * unit[2, :, at]).astype(np.int64), _LAST_DAY)
            day[:, at] = np.where(follows, soon, np.maximum(day[:, at], day[:, at - 1]))
        chance = np.clip(table["settled"][intent[:, at]] + service, 0.05, 0.98)
        resolved[:, at] = unit[3, :, at] < chance
    share = rng.random((n, CONTACTS)) ** 1.4  # some agents take more contacts than others
    return Contacts(
        count=count,
        intent=intent,
        resolved=resolved,
        rating=_ratings(rng, resolved),
        minute=_minutes(rng, day, channel, centre),
        channel=channel,
        agent=1 + (share * table["agents"][centre][:, None]).astype(np.int64),
    )


def _ratings(rng: np.random.Generator, resolved: NDArray[np.bool_]) -> Integers:
    """Draw survey answers from 1 to 5, lower after unsolved contacts; 0 where nobody answered."""
    opinion = np.where(resolved, 4.2, 2.3) + 0.9 * rng.standard_normal(resolved.shape)
    answered = rng.random(resolved.shape) < np.where(resolved, 0.42, 0.50)
    rating: Integers = np.where(answered, np.clip(np.rint(opinion), 1, 5), 0).astype(np.int64)
    return rating


def _days(rng: np.random.Generator, joined: Integers, count: Integers) -> Integers:
    """Return ascending days of contact, after the customer joined; weekends are quieter."""
    first = np.maximum(joined, YEAR_START) // _DAY + 1
    span = YEAR_END // _DAY - first
    day = first[:, None] + (rng.random((len(joined), CONTACTS)) * span[:, None]).astype(np.int64)
    weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    moved = weekend & (rng.random(day.shape) < 0.6) & (day - 2 >= first[:, None])
    day = day - 2 * moved
    day[np.arange(CONTACTS) >= count[:, None]] = _LAST_DAY
    return np.sort(day, axis=1)


def _minutes(
    rng: np.random.Generator, day: Integers, channel: Integers, centre: Integers
) -> Integers:
    """Return UTC minutes within local opening hours: calls 8 to 20, the rest 7 to 23."""
    peak = rng.random((2, *day.shape)).mean(axis=0)
    call = channel == CHANNELS.index("phone")
    minute = np.where(call, 480 + 719 * peak, 420 + 959 * peak).astype(np.int64)
    local = (day * _DAY + minute).ravel()
    where = np.repeat(centre, CONTACTS)
    winter = np.array([place.utc_minutes for place in CENTRES])[where]
    # The rule changes at night, so the offset at the winter time's instant is right by day.
    minutes: Integers = local - offsets(local - winter, where)
    return minutes.reshape(day.shape)
