"""The data YAML as frozen dataclasses: everything that fedcc knows of a data set.

New data needs such a file and no code. A column that is not named here is never loaded; values are
compared as trimmed text in one Unicode form; bounds and categories are declared in advance and
never fitted on data. `configs/data/_reference.yaml` shows every key.
"""

from dataclasses import dataclass
from typing import Literal

from fedcc.config import nearest
from fedcc.data.column_spec import ColumnSpec, Role
from fedcc.data.source_spec import (
    ConsentColumns,
    ConsentSpec,
    DropRows,
    SitesSpec,
    SourceSpec,
    TestSpec,
)
from fedcc.data.wording import Scalar, as_text

__all__ = [
    "ColumnSpec",
    "ConsentColumns",
    "ConsentSpec",
    "DataSpec",
    "DropRows",
    "Role",
    "Scalar",
    "SitesSpec",
    "SourceSpec",
    "TestSpec",
    "as_text",
]


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """A whole data YAML."""

    name: str
    source: SourceSpec
    public_rows: int
    test: TestSpec
    consent: ConsentSpec | None
    drop_rows: DropRows
    sites: SitesSpec | None
    out_of_bounds: Literal["error", "clamp", "drop"]
    columns: dict[str, ColumnSpec]
    keep_rows: dict[str, tuple[Scalar, ...]] | None = None
    public_customers: int | None = None  # a public constant, like public_rows

    def __post_init__(self) -> None:
        """Check what concerns several keys at once."""
        if self.public_rows < 1:
            raise ValueError("public_rows must be at least 1")
        if self.public_customers is not None:
            if not 1 <= self.public_customers <= self.public_rows:
                raise ValueError("public_customers must be from 1 to public_rows, or null")
            if not self.with_role("customer"):
                raise ValueError("public_customers needs a column with role: customer")
        labels = self.with_role("label")
        if len(labels) != 1:
            raise ValueError(f"exactly one column needs role: label, found {len(labels)}")
        if not self.with_role("feature") and not self.with_role("text"):
            raise ValueError("no column has role: feature or role: text")
        if len(self.with_role("customer")) > 1:
            raise ValueError("only one column may have role: customer")
        for name, column in self.columns.items():
            if "text" in column.roles and column.kind is not None:
                raise ValueError(f"columns.{name}: a text has no kind")
        for name in self.sites.columns if self.sites else ():
            if name not in self.columns:
                near = nearest(name, list(self.columns))
                raise ValueError(f"sites.columns names '{name}', which is not under columns.{near}")
        for name, values in (self.keep_rows or {}).items():
            if not values:
                raise ValueError(f"keep_rows.{name} lists no value, so no row would be left")
        if self.test.kind == "column" and self.test.column not in self.columns:
            raise ValueError("test.column is not under columns; declare it with role: split")
        if self.test.kind == "file" and not self.source.is_file:
            raise ValueError("test.kind=file needs source.kind=csv, jsonl or json")

    @property
    def site_columns(self) -> tuple[str, ...]:
        """The columns that form the natural sites: `sites.columns`, else those of role site."""
        return self.sites.columns if self.sites else tuple(self.with_role("site"))

    def with_role(self, role: Role) -> list[str]:
        """Return the names of the columns that carry `role`, in the order of the YAML."""
        return [name for name, column in self.columns.items() if role in column.roles]

    @property
    def label(self) -> str:
        """Name of the label column."""
        return self.with_role("label")[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The label value of each class, in the order of the codes."""
        return self.columns[self.label].code_names

    @property
    def label_words(self) -> tuple[str, ...]:
        """Public words of each class, for a model that starts from them."""
        return self.columns[self.label].code_words

    @property
    def loaded_columns(self) -> tuple[str, ...]:
        """Every column that may be read: the declared ones, those of consent and of `keep_rows`."""
        consent = self.consent.column_names if self.consent is not None else ()
        return tuple(dict.fromkeys([*self.columns, *consent, *(self.keep_rows or {})]))
