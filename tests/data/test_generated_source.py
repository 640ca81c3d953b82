"""Generated rows are read like those of a file; the generator itself is tested beside its code."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from fedcc.data.connectors import read_table
from fedcc.data.package_source import GENERATOR
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError, FedccError

Make = Callable[..., DataSpec]
Message = Callable[..., str]

SOURCE = {"kind": "generated", "item": "?", "rows": 5, "seed": 1}


def world() -> Any:
    if importlib.util.find_spec(GENERATOR.rpartition(".")[0]) is None:
        pytest.skip("the generator is not part of this checkout")
    return importlib.import_module(GENERATOR)


def spec_of(make_spec: Make, **source: Any) -> DataSpec:
    names = world().ITEMS[source["item"]]
    columns = dict.fromkeys(("customer", "tenure", "plan", "churn"))
    columns |= {name: {"role": "text"} for name in names}
    columns[names[-1]] = {"role": "label", "values": ["any"]}
    return make_spec(source=SOURCE | source, columns=columns)


def test_every_item_yields_as_many_rows_as_asked_for_and_the_same_ones_again(
    make_spec: Make,
) -> None:
    for item in world().ITEMS:
        first = read_table(spec_of(make_spec, item=item), None)
        again = read_table(spec_of(make_spec, item=item), None)

        assert first.n_rows == 5
        assert first.columns == again.columns
        assert first.place(0) == f"generated data, {item}, row 1"


@pytest.mark.parametrize(
    ("source", "path", "error", "fragment"),
    [
        ({"item": "nothing"}, None, ConfigError, "source.item: 'nothing' is not generated"),
        ({}, "calls.csv", ConfigError, "the data set 'calls' is generated"),
    ],
)
def test_a_generated_source_refuses_what_it_cannot_serve(
    make_spec: Make,
    message_of: Message,
    source: dict[str, Any],
    path: str | None,
    error: type[FedccError],
    fragment: str,
) -> None:
    world()
    spec = make_spec(source=SOURCE | source)

    assert fragment in message_of(lambda: read_table(spec, path), error=error)
