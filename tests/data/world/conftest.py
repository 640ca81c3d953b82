"""Generated rows by column name, drawn once for all tests."""

from collections.abc import Callable

import pytest

from fedcc.data.world.source import ITEMS, stream_rows

Row = dict[str, str]


def rows_of(item: str, rows: int, seed: int = 0) -> list[Row]:
    return [dict(zip(ITEMS[item], row, strict=True)) for row in stream_rows(item, rows, seed)]


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[Row]]:
    """Return generated rows as mappings: item, number, seed."""
    return rows_of


@pytest.fixture(scope="session")
def interactions() -> list[Row]:
    """The first 8,000 interactions of seed 0."""
    return rows_of("interactions", 8_000)


@pytest.fixture(scope="session")
def customers() -> list[Row]:
    """The first 20,000 customers of seed 0."""
    return rows_of("customers", 20_000)
