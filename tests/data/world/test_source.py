"""The generated tables: repeatable, streamed, consistent with each other, and as documented."""

import json
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime

import pytest

from fedcc.data.world.people import CHUNK
from fedcc.data.world.places import CENTRES, check_places
from fedcc.data.world.source import INTENT_WORDS, INTENTS, ITEMS, public_corpus, stream_rows
from fedcc.errors import ConfigError

Row = dict[str, str]
Rows = Callable[..., list[Row]]


@pytest.mark.parametrize("item", ITEMS)
def test_a_seed_fixes_every_cell_and_another_seed_gives_other_rows(item: str) -> None:
    first = list(stream_rows(item, 1500, 3))

    assert list(stream_rows(item, 1500, 3)) == first
    changed = sum(a != b for a, b in zip(first, stream_rows(item, 1500, 4), strict=True))
    assert changed == 1500


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3000])
def test_fewer_rows_are_the_first_rows_of_more(item: str, rows: int) -> None:
    longer = stream_rows(item, 4000, 0)

    shorter = list(stream_rows(item, rows, 0))

    assert len(shorter) == rows
    assert [next(longer) for _ in range(rows)] == shorter


@pytest.mark.parametrize("item", ITEMS)
def test_every_row_has_a_cell_of_text_for_every_column(item: str) -> None:
    for row in stream_rows(item, 3000, 1):
        assert len(row) == len(ITEMS[item])
        assert all(type(cell) is str and cell == cell.strip() for cell in row)


@pytest.mark.parametrize(
    ("item", "rows", "seed", "named"),
    [
        ("calls", 10, 0, "interactions, customers"),
        ("customers", 0, 0, "rows"),
        ("customers", 10_000_001, 0, "rows"),
        ("customers", 10, -1, "seed"),
    ],
)
def test_a_request_out_of_range_is_refused_at_the_call(
    item: str, rows: int, seed: int, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        stream_rows(item, rows, seed)


@pytest.mark.parametrize("item", ITEMS)
def test_memory_does_not_grow_with_the_number_of_rows(item: str) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            for _ in stream_rows(item, rows, 0):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3000)  # compiles the grammar, which stays
    few = 10_000 if item == "customers" else 3_000  # more than a chunk; texts are slow to trace
    small, large = peak(few), peak(5 * few)

    # Five times the rows: rows that are kept would add tens of megabytes. Chunks differ a little.
    assert large < 1.25 * small


def test_counts_of_a_customer_are_those_of_its_interactions(rows: Rows) -> None:
    # All contacts of the first three chunks of customers, and then a few of the fourth.
    customers = rows("customers", 3 * CHUNK)
    expected = sum(int(customer["interactions"]) for customer in customers)
    held: dict[str, list[Row]] = defaultdict(list)
    for row in rows("interactions", expected):
        held[row["customer_id"]].append(row)

    assert list(held.keys() - {customer["customer_id"] for customer in customers}) == []
    for customer in customers:
        own = held[customer["customer_id"]]
        intents = Counter(row["intent"] for row in own)
        ratings = [int(row["satisfaction"]) for row in own if row["satisfaction"]]
        assert len(own) == int(customer["interactions"])
        assert intents["complaint"] == int(customer["complaints"])
        assert sum(row["resolved"] == "no" for row in own) == int(customer["unresolved"])
        exits = intents["cancel_service"] + intents["port_out"]
        assert exits == int(customer["exit_contacts"])
        assert intents["outage"] <= int(customer["outages"])
        assert (customer["mean_satisfaction"] != "") == bool(ratings)
        if ratings:
            # Half up in tenths: within half a tenth of the mean, and the upper one at a tie.
            error = 10 * float(customer["mean_satisfaction"]) - 10 * sum(ratings) / len(ratings)
            assert -0.5 + 1e-9 < error <= 0.5 + 1e-9


def test_profile_and_consent_of_an_interaction_are_those_of_its_customer(rows: Rows) -> None:
    customers = {row["customer_id"]: row for row in rows("customers", 4 * CHUNK)}
    shared = (set(ITEMS["customers"]) & set(ITEMS["interactions"])) - {"customer_id"}

    assert shared >= {"site", "region", "language", "jurisdiction", "consent_status", "consent_at"}
    for row in rows("interactions", 5000):
        customer = customers[row["customer_id"]]
        assert {name: row[name] for name in shared} == {name: customer[name] for name in shared}


def test_rows_of_a_customer_are_not_adjacent_and_ids_are_unique(interactions: list[Row]) -> None:
    who = [row["customer_id"] for row in interactions]
    neighbours = sum(a == b for a, b in zip(who, who[1:], strict=False))

    assert neighbours / len(who) < 0.01  # in a random order of about 2,400 rows
    assert len({row["interaction_id"] for row in interactions}) == len(interactions)


def test_contacts_per_customer_are_heavy_tailed(customers: list[Row]) -> None:
    counts = Counter(int(row["interactions"]) for row in customers)

    assert set(counts) == set(range(1, 9))
    assert 0.40 < counts[1] / len(customers) < 0.50
    assert sum(counts[n] for n in (5, 6, 7, 8)) / len(customers) > 0.08


def test_every_intent_has_its_share_and_none_dominates(interactions: list[Row]) -> None:
    shares = Counter(row["intent"] for row in interactions)

    assert set(shares) == set(INTENTS) == set(INTENT_WORDS)
    assert len(INTENTS) >= 24
    assert min(shares.values()) / len(interactions) > 0.007
    assert max(shares.values()) / len(interactions) < 0.10


def test_sites_differ_in_size_language_and_what_callers_want(interactions: list[Row]) -> None:
    sizes = Counter(row["site"] for row in interactions)
    network = Counter(row["site"] for row in interactions if row["intent"] == "slow_internet")
    languages = defaultdict(set)
    for row in interactions:
        languages[row["language"]].add(row["site"])

    check_places()
    assert len(sizes) == len(CENTRES) >= 12
    assert max(sizes.values()) > 5 * min(sizes.values())
    assert network["glasgow"] / sizes["glasgow"] > 1.5 * network["leeds"] / sizes["leeds"]
    assert languages["de"] <= {"leipzig", "cologne", "malaga"}
    assert {"recife", "porto"} <= languages["pt"]


def test_consent_has_all_statuses_and_a_time_with_zone_where_one_was_given(
    customers: list[Row],
) -> None:
    statuses = Counter(row["consent_status"] for row in customers)

    assert set(statuses) == {"granted", "refused", "withdrawn", "missing"}
    assert min(statuses.values()) / len(customers) > 0.02
    for row in customers:
        blank = row["consent_status"] == "missing"
        assert (row["consent_at"] == "") == (row["consent_version"] == "") == blank
        if not blank:
            at = datetime.fromisoformat(row["consent_at"])
            assert at.tzinfo is not None and at.isoformat() == row["consent_at"]
        has_scope = row["consent_status"] in ("granted", "withdrawn")
        assert (row["consent_scope"] != "") == has_scope
    scopes = {row["consent_scope"] for row in customers if row["consent_status"] == "granted"}
    assert {"recording", "recording;ml_training", "ml_training;analytics"} <= scopes


def test_consent_precedes_contacts_where_granted_and_follows_the_first_where_withdrawn(
    interactions: list[Row],
) -> None:
    first: dict[str, Row] = {}
    complete = interactions[:6000]  # whole chunks of customers, so the first contact is among them
    for row in complete:
        kept = first.setdefault(row["customer_id"], row)
        if at(row["started_at"]) < at(kept["started_at"]):
            first[row["customer_id"]] = row
    done = {row["customer_id"] for row in interactions[6000:]}

    seen = Counter()
    for customer, row in first.items():
        if customer in done or row["consent_status"] not in ("granted", "withdrawn"):
            continue
        seen[row["consent_status"]] += 1
        granted = row["consent_status"] == "granted"
        assert (at(row["consent_at"]) <= at(row["started_at"])) == granted
    assert min(seen["granted"], seen["withdrawn"]) > 50


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_contacts_start_in_2025_within_opening_hours_and_more_on_weekdays(
    interactions: list[Row],
) -> None:
    starts = [at(row["started_at"]) for row in interactions]
    weekend = sum(start.weekday() >= 5 for start in starts) / len(starts)

    assert {start.year for start in starts} == {2025}
    assert 0.08 < weekend < 0.20  # 2/7 = 0.29 without preference
    for row, start in zip(interactions, starts, strict=True):
        low, high = (8, 20) if row["channel"] == "phone" else (7, 23)
        assert low <= start.hour < high


def test_style_follows_the_channel(interactions: list[Row]) -> None:
    assert {(row["channel"], row["style"]) for row in interactions} == {
        ("phone", "speech"),
        ("chat", "typed"),
        ("e-mail", "typed"),
    }


def test_almost_all_texts_are_distinct(interactions: list[Row]) -> None:
    texts = {row["text"] for row in interactions}

    assert len(texts) / len(interactions) > 0.98


def test_spans_are_json_in_ascending_order_without_overlap(interactions: list[Row]) -> None:
    with_spans = 0
    for row in interactions:
        end_before = 0
        for start, end, kind in json.loads(row["pii_spans"]):
            assert end_before <= start < end <= len(row["text"])
            assert type(kind) is str
            end_before = end
        with_spans += row["pii_spans"] != "[]"
    assert 0.10 < with_spans / len(interactions) < 0.40


def test_the_public_corpus_depends_on_its_seed_alone_and_holds_no_generated_row(
    interactions: list[Row],
) -> None:
    corpus = list(public_corpus(2000, 5, "en"))

    assert list(public_corpus(1000, 5, "en")) == corpus[:1000]
    assert list(public_corpus(1000, 6, "en")) != corpus[:1000]
    assert all(corpus)
    # Short requests can coincide by chance, whole streams cannot.
    assert len(set(corpus) & {row["text"] for row in interactions}) / len(corpus) < 0.10


def test_the_public_corpus_holds_no_personal_data() -> None:
    texts = [text.lower() for text in public_corpus(3000, 0, "en")]

    told = ("example.", "my name is", "date of birth", "account number", "me llamo", "my card is")
    assert [text for text in texts if any(mark in text for mark in told)] == []


@pytest.mark.parametrize(("sentences", "seed"), [(0, 0), (10, -1)])
def test_a_public_corpus_out_of_range_is_refused(sentences: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="public corpus"):
        public_corpus(sentences, seed, "en")
