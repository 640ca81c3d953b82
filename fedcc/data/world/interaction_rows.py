"""The table of interactions: one row for each contact, with its text, intent and known spans."""

import json
from collections.abc import Iterator
from itertools import chain, count

import numpy as np

from fedcc.data.world.clock import local_texts
from fedcc.data.world.consent_records import SCOPES, STATUSES, VERSIONS
from fedcc.data.world.customer_rows import consent_times, customer_ids, lookup
from fedcc.data.world.grammar import Draw
from fedcc.data.world.identities import Person
from fedcc.data.world.intents import INTENTS
from fedcc.data.world.people import CHANNELS, Chunk, draw_chunk
from fedcc.data.world.places import CENTRES, LANGUAGES, REGIONS
from fedcc.data.world.styles import spoken, typed
from fedcc.data.world.utterances import Caller
from fedcc.rng import generator

INTERACTION_COLUMNS = (
    "interaction_id",
    "customer_id",
    "site",
    "region",
    "language",
    "channel",
    "style",
    "agent_id",
    "started_at",
    "text",
    "intent",
    "pii_spans",
    "consent_status",
    "consent_at",
    "consent_scope",
    "consent_version",
    "jurisdiction",
    "resolved",
    "satisfaction",
)
_PHONE = CHANNELS.index("phone")
_RATINGS = ("", "1", "2", "3", "4", "5")


def draws_of(rng: np.random.Generator) -> Draw:
    """Return a function that gives the generator's uniform numbers one by one, quickly."""
    return chain.from_iterable(rng.random(4096).tolist() for _ in count()).__next__


def interaction_rows(seed: int) -> Iterator[tuple[str, ...]]:
    """Yield the contacts of a seed's world without end; see `source` for what is guaranteed."""
    first = 1
    for number in count():
        chunk = draw_chunk(seed, number)
        yield from _rows(chunk, generator(seed, "world", "interactions", number), first)
        first += int(chunk.contacts.count.sum())


def _rows(chunk: Chunk, rng: np.random.Generator, first: int) -> Iterator[tuple[str, ...]]:
    """Yield a chunk's contacts in a random order; `first` is the number of the first row."""
    contacts = chunk.contacts
    customer, place = np.nonzero(contacts.used)
    order = rng.permutation(len(customer))
    customer, place = customer[order], place[order]
    seconds = rng.integers(0, 60, len(customer))
    started = local_texts(contacts.minute[customer, place], chunk.centre[customer], seconds)
    intents = contacts.intent[customer, place].tolist()
    channels = contacts.channel[customer, place].tolist()
    agents = contacts.agent[customer, place].tolist()
    resolved = contacts.resolved[customer, place].tolist()
    ratings = contacts.rating[customer, place].tolist()
    shared, people, centres = _shared_cells(chunk), _people(chunk), chunk.centre.tolist()
    draw = draws_of(rng)
    for row, who in enumerate(customer.tolist()):
        customer_id, site, region, language, *consent, jurisdiction = shared[who]
        centre = CENTRES[centres[who]]
        aloud = channels[row] == _PHONE
        caller = Caller(people[who], centre.currency, spoken=aloud, draw=draw)
        said = caller.utterance(intents[row])
        text, spans = (spoken if aloud else typed)(said, language, draw)
        yield (
            f"I{first + row:09d}",
            customer_id,
            site,
            region,
            language,
            CHANNELS[channels[row]],
            "speech" if aloud else "typed",
            f"{site}-{agents[row]:03d}",
            started[row],
            text,
            INTENTS[intents[row]],
            json.dumps(spans) if spans else "[]",
            *consent,
            jurisdiction,
            "yes" if resolved[row] else "no",
            _RATINGS[ratings[row]],
        )


def _shared_cells(chunk: Chunk) -> list[tuple[str, ...]]:
    """Return each customer's cells that are the same in all of its rows."""
    return list(
        zip(
            customer_ids(chunk.first),
            [CENTRES[code].name for code in chunk.centre.tolist()],
            lookup(REGIONS, chunk.region),
            lookup(LANGUAGES, chunk.language),
            lookup(STATUSES, chunk.consent.status),
            consent_times(chunk),
            lookup(SCOPES, chunk.consent.scope),
            lookup(VERSIONS, chunk.consent.version),
            [CENTRES[code].jurisdiction for code in chunk.centre.tolist()],
            strict=True,
        )
    )


def _people(chunk: Chunk) -> list[Person]:
    places = [CENTRES[code] for code in chunk.centre.tolist()]
    languages = lookup(LANGUAGES, chunk.language)
    born, marks = chunk.birth_day.tolist(), chunk.marks.tolist()
    return [
        Person(place.name, place.country, language, day, numbers)
        for place, language, day, numbers in zip(places, languages, born, marks, strict=True)
    ]
