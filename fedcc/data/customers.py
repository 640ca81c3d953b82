"""Which rows belong to one customer, and which of them a site keeps.

A customer's rows are those with the same id, compared as text. What is kept of a customer depends
on a secret of the site, on the id and on how many rows it has, never on anybody else: one
customer's rows coming or going cannot change what is kept of another.

Rows without an id are not kept. They may be anybody's: each as a customer of its own would give
somebody with several such rows several contributions, and all of them as one customer would let
one person's rows turn the clipped contribution of the group, which moves it by up to twice its
bound.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec
from fedcc.data.wording import as_text

NO_ID = ""
KEY_BYTES = 32


def column_texts(table: Table, name: str) -> list[str]:
    """Return a column as text, whatever its kind; a category as its code."""
    if name in table.texts:
        return table.texts[name]
    typed = table.numbers if name in table.numbers else table.categories
    return [as_text(value) for value in typed[name].tolist()]


def customer_ids(table: Table, spec: DataSpec) -> list[str] | None:
    """Return the customer id of each row, or `None` if the data YAML declares no such column."""
    columns = spec.with_role("customer")
    return column_texts(table, columns[0]) if columns else None


def customer_codes(table: Table, spec: DataSpec) -> NDArray[np.int64]:
    """Return a code per row, equal for rows of one customer; without a customer column all differ.

    The codes 0, 1, … in order of appearance hold for this table alone and stay at the site. Rows
    without an id share a code. Shape `(n_rows,)`.
    """
    ids = customer_ids(table, spec)
    if ids is None:
        return np.arange(table.n_rows)
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, len(codes)) for name in ids], dtype=np.int64)


def kept_interactions(ids: Sequence[str], most: int, key: bytes) -> NDArray[np.int64]:
    """Return the sorted positions of at most `most` rows of each customer who has an id.

    The rows are the first in an order that is random by `key`: keyed BLAKE2b of the id
    and of the row's place among the customer's own rows. Without the key every choice of that size
    is equally likely; with it the choice is the same each time, so an interrupted run goes on with
    the same rows.

    Args:
        ids: customer id of each row.
        most: rows per customer, at least 1.
        key: secret of the site and the run, 32 bytes.

    Raises:
        ValueError: if `most` is less than 1 or the key has another length.

    Source: RFC 7693 (BLAKE2 with a key is a pseudorandom function); sampling by the smallest
    hashes as in Broder, "On the resemblance and containment of documents", 1997.
    """
    if most < 1 or len(key) != KEY_BYTES:
        raise ValueError(f"need most >= 1 and a key of {KEY_BYTES} bytes, got {most}, {len(key)}")
    rows: dict[str, list[int]] = {}
    for position, name in enumerate(ids):
        if name != NO_ID:
            rows.setdefault(name, []).append(position)
    kept: list[int] = []
    for name, own in rows.items():
        if len(own) > most:
            order = sorted(range(len(own)), key=lambda place: _rank(name, place, key))
            own = [own[place] for place in order[:most]]
        kept += own
    return np.array(sorted(kept), dtype=np.int64)


def _rank(name: str, place: int, key: bytes) -> bytes:
    # The place has a fixed length, so no two pairs of id and place give one message.
    message = place.to_bytes(8, "big") + name.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(message, key=key, digest_size=32).digest()
