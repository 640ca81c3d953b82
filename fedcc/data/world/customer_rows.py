"""The table of customers: profile, counts of contacts, consent and whether the customer left."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from fedcc.data.world.clock import local_texts
from fedcc.data.world.consent_records import SCOPES, STATUSES, VERSIONS
from fedcc.data.world.people import (
    AGE_BANDS,
    CHUNK,
    CONTACTS,
    CONTRACTS,
    GENDERS,
    PAYMENT_METHODS,
    Chunk,
    draw_chunk,
)
from fedcc.data.world.places import CENTRES, LANGUAGES, PRODUCTS, REGIONS

CUSTOMER_COLUMNS = (
    "customer_id",
    "site",
    "region",
    "language",
    "age_band",
    "senior",
    "gender",
    "tenure_months",
    "contract",
    "product",
    "monthly_charge",
    "payment_method",
    "interactions",
    "complaints",
    "unresolved",
    "exit_contacts",
    "outages",
    "mean_satisfaction",
    "consent_status",
    "consent_at",
    "consent_scope",
    "consent_version",
    "jurisdiction",
    "churned",
)

SITES = tuple(centre.name for centre in CENTRES)
JURISDICTIONS = tuple(centre.jurisdiction for centre in CENTRES)
_SENIOR = tuple("yes" if band == "65+" else "no" for band in AGE_BANDS)
_MONTHS = tuple(str(months) for months in range(120))
_CHARGES = tuple(f"{cents / 100:.2f}" for cents in range(99, 15_000, 100))  # 0.99, 1.99, …
_COUNTS = tuple(str(number) for number in range(9 + CONTACTS + 1))
_RATINGS = ("", *(f"{tenths / 10:.1f}" for tenths in range(1, 51)))


def customer_ids(first: int) -> list[str]:
    """Return the ids of a chunk whose first customer has that number."""
    return [f"C{number:08d}" for number in range(first + 1, first + 1 + CHUNK)]


def lookup(words: Sequence[str], codes: NDArray[np.int64]) -> list[str]:
    """Return the word of each code."""
    result: list[str] = np.array(words, dtype=object)[codes].tolist()
    return result


def consent_times(chunk: Chunk) -> list[str]:
    """Return the local time of each customer's consent with its zone; empty where none is kept."""
    seconds = chunk.marks[:, 7] % 60
    texts = local_texts(chunk.consent.minute, chunk.centre, seconds)
    missing = (chunk.consent.status == STATUSES.index("missing")).tolist()
    return ["" if absent else text for text, absent in zip(texts, missing, strict=True)]


def customer_rows(seed: int) -> Iterator[tuple[str, ...]]:
    """Yield the customers of a seed's world without end; see `source` for what is guaranteed."""
    for number in count():
        yield from _rows(draw_chunk(seed, number))


def _rows(chunk: Chunk) -> Iterator[tuple[str, ...]]:
    factors = chunk.factors
    return zip(
        customer_ids(chunk.first),
        lookup(SITES, chunk.centre),
        lookup(REGIONS, chunk.region),
        lookup(LANGUAGES, chunk.language),
        lookup(AGE_BANDS, chunk.age_band),
        lookup(_SENIOR, chunk.age_band),
        lookup(GENDERS, chunk.gender),
        lookup(_MONTHS, factors.tenure_months),
        lookup(CONTRACTS, factors.contract),
        lookup(PRODUCTS, chunk.product),
        lookup(_CHARGES, factors.charge_cents // 100),
        lookup(PAYMENT_METHODS, chunk.payment),
        lookup(_COUNTS, chunk.contacts.count),
        lookup(_COUNTS, factors.complaints),
        lookup(_COUNTS, factors.unresolved),
        lookup(_COUNTS, factors.exit_contacts),
        lookup(_COUNTS, factors.outages),
        lookup(_RATINGS, factors.satisfaction_tenths),
        lookup(STATUSES, chunk.consent.status),
        consent_times(chunk),
        lookup(SCOPES, chunk.consent.scope),
        lookup(VERSIONS, chunk.consent.version),
        lookup(JURISDICTIONS, chunk.centre),
        lookup(("no", "yes"), chunk.churned.astype(np.int64)),
        strict=True,
    )
