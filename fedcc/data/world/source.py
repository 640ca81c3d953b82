"""Rows of the generated world as text cells, streamed: `interactions` and `customers`.

Synthetic: generated, no real person. Guarantees, for one seed:

- The first n rows are the same whatever number of rows is asked for; memory does not grow with it,
  since one chunk of 1,024 customers is held at a time. Another version of numpy, or a processor
  whose exp and log differ in the last bit, may move single values.
- Row k of `customers` is customer k. `interactions` goes through the same customers chunk by
  chunk and holds every contact of a chunk's customers in a random order, so rows of one customer
  need not be adjacent.
- The tables agree: `interactions`, `complaints`, `unresolved`, `exit_contacts` and
  `mean_satisfaction` of a customer are the number of that customer's rows in `interactions`, of
  those with intent complaint, of those with resolved "no", of those with intent cancel_service or
  port_out, and the mean of the answered satisfaction (in tenths, half up; empty where none is
  answered). `outages` is at least the number of outages that the customer reported. The profile
  and consent columns are equal. Where `rows` ends inside a chunk, the customers of that chunk may
  have fewer rows than their counts say.
- `pii_spans` is JSON `[[start, end, type], …]` in characters of `text`, ascending.

Nothing here touches files, the network, the clock or global randomness.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from fedcc.data.world.customer_rows import CUSTOMER_COLUMNS, customer_rows
from fedcc.data.world.identities import Person
from fedcc.data.world.intents import INTENT_WORDS as INTENT_WORDS
from fedcc.data.world.intents import INTENTS as INTENTS
from fedcc.data.world.interaction_rows import INTERACTION_COLUMNS, draws_of, interaction_rows
from fedcc.data.world.places import CENTRES
from fedcc.data.world.styles import spoken, typed
from fedcc.data.world.utterances import Caller
from fedcc.errors import ConfigError
from fedcc.rng import generator

ITEMS: Mapping[str, tuple[str, ...]] = {
    "interactions": INTERACTION_COLUMNS,
    "customers": CUSTOMER_COLUMNS,
}
"""Name of each table to its columns, in order."""

MAX_ROWS = 10_000_000


def stream_rows(item: str, rows: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Yield exactly `rows` rows of a generated table, cells as text in the order of `ITEMS`.

    Args:
        item: `interactions` or `customers`.
        rows: from 1 to 10,000,000.
        seed: at least 0; equal seeds give equal rows.

    Raises:
        ConfigError: for an unknown item, or rows or seed outside their range; at the call, not at
            the first row.
    """
    if item not in ITEMS:
        raise ConfigError(f"item: '{item}' is not generated. Choose one of {', '.join(ITEMS)}.")
    if not 1 <= rows <= MAX_ROWS:
        raise ConfigError(f"rows: {rows} is outside 1 to {MAX_ROWS}.")
    if seed < 0:
        raise ConfigError(f"seed: {seed} is negative. Use a whole number from 0 on.")
    source = interaction_rows(seed) if item == "interactions" else customer_rows(seed)
    return islice(source, rows)


def public_corpus(sentences: int, seed: int, language: str) -> Iterator[str]:
    """Yield public texts, for centring the vectors of a sentence encoder.

    The texts come from the grammar with every intent and style equally frequent, in one language
    and a stream of its own: they depend on no customer and on no row of `stream_rows`, and hold
    no personal data, invented or not.

    Raises:
        ConfigError: if `sentences` is below 1, `seed` is negative or no centre speaks `language`;
            at the call.
    """
    if sentences < 1 or seed < 0:
        raise ConfigError("a public corpus needs at least one sentence and a seed from 0 on.")
    if not any(language in centre.languages for centre in CENTRES):
        raise ConfigError(f"a public corpus: no centre of the world speaks '{language}'.")
    return _public_texts(sentences, seed, language)


def _public_texts(sentences: int, seed: int, language: str) -> Iterator[str]:
    draw = draws_of(generator(seed, "world", "public corpus"))
    centres = [centre for centre in CENTRES if language in centre.languages]
    for _ in range(sentences):
        centre = centres[int(draw() * len(centres))]
        person = Person(centre.name, centre.country, language, 0, (0,) * 8)
        aloud = draw() < 0.5
        caller = Caller(person, centre.currency, spoken=aloud, draw=draw)
        said = caller.utterance(int(draw() * len(INTENTS)), identified=False)
        yield (spoken if aloud else typed)(said, language, draw)[0]
