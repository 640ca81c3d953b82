"""The data YAML as frozen dataclasses: everything that fedcc knows of a data set.

New data needs such a file and no code. A column that is not named here is never loaded; values are
compared as trimmed text; bounds and categories are declared in advance and never fitted on data.
"""

import math
from dataclasses import dataclass
from typing import Literal

Role = Literal[
    "customer", "agent", "text", "label", "feature", "group", "site", "started_at", "split"
]
Scalar = str | int | float


def as_text(value: Scalar) -> str:
    """Return a declared value as the trimmed text that cells are compared with."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """Where the rows come from."""

    kind: Literal["csv", "package"]
    path: str | None
    file: str | None
    encoding: str
    delimiter: str
    package: str | None
    item: str | None

    def __post_init__(self) -> None:
        """Check the delimiter and that a package source names its item."""
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            raise ValueError(
                'delimiter must be one character; for a tab write "\\t" in double quotes'
            )
        if self.kind == "package" and not (self.package and self.item):
            raise ValueError("a package source needs the keys 'package' and 'item'")


@dataclass(frozen=True, kw_only=True)
class TestSpec:
    """How test rows are told apart from training rows."""

    kind: Literal["hash", "file", "column"]
    fraction: float | None
    path: str | None
    column: str | None
    value: Scalar | None

    def __post_init__(self) -> None:
        """Check that the keys of the chosen kind are there."""
        if self.kind == "hash" and not (self.fraction and 0 < self.fraction < 1):
            raise ValueError("kind hash needs fraction, a number between 0 and 1")
        if self.kind == "file" and not self.path:
            raise ValueError("kind file needs path: the file of test rows")
        if self.kind == "column" and (not self.column or self.value is None):
            raise ValueError("kind column needs column, and value: what marks a test row")

    @property
    def mark(self) -> str:
        """The text of a test row's cell in the split column."""
        return "" if self.value is None else as_text(self.value)


@dataclass(frozen=True, kw_only=True)
class ConsentColumns:
    """The columns that hold a row's consent."""

    status: str
    at: str
    scope: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConsentSpec:
    """On what basis rows may train.

    With `per_row` a row is admitted if its status is one of `granted_values`, its scope names
    `required_scope` and its time is a past date with time of day; times without a zone are read in
    `time_zone`, or refused where that is not declared.
    """

    basis: Literal["public_dataset", "per_row"]
    source: str | None = None
    columns: ConsentColumns | None = None
    granted_values: tuple[str, ...] = ("granted",)
    required_scope: str = "ml_training"
    time_zone: str | None = None

    def __post_init__(self) -> None:
        """Check that the keys of the chosen basis are there."""
        if self.basis == "public_dataset" and not self.source:
            raise ValueError("basis public_dataset needs 'source': who published it and how")
        if self.basis == "per_row" and self.columns is None:
            raise ValueError("basis per_row needs 'columns' with status, at and scope")
        if not all(text.strip() for text in (self.required_scope, *self.granted_values)):
            raise ValueError("an empty cell is no consent: fill granted_values and required_scope")


@dataclass(frozen=True, kw_only=True)
class DropRows:
    """Rows to leave out."""

    duplicates: bool
    multi_label: Literal["drop", "first"]


@dataclass(frozen=True, kw_only=True)
class SitesSpec:
    """The columns whose cells form the natural sites."""

    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ColumnSpec:
    """One declared column: its roles and, for features and labels, its public domain."""

    role: Role | tuple[Role, ...]
    kind: Literal["number", "category"] | None = None
    bounds: tuple[float, ...] | None = None
    values: tuple[Scalar, ...] | dict[str | int, int] | None = None
    missing: Scalar | None = None
    modality: str | None = None
    sensitivity: str | None = None

    def __post_init__(self) -> None:
        """Check that a feature declares its domain in advance."""
        if self.bounds is not None:
            width = self.bounds[1] - self.bounds[0] if len(self.bounds) == 2 else 0.0
            if not 0 < width < math.inf:
                raise ValueError("bounds must be [low, high], finite numbers with low < high")
        if "feature" in self.roles and self.kind is None:
            raise ValueError("a feature needs kind: number or kind: category")
        if self.kind == "number" and self.bounds is None:
            raise ValueError("kind number needs bounds: [low, high], agreed in public")
        if (self.kind == "category" or "label" in self.roles) and not self.values:
            raise ValueError("a category or label needs values, agreed in public")
        if "label" in self.roles and (self.kind == "number" or "feature" in self.roles):
            raise ValueError("a label takes values, not kind: number, and cannot be a feature")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("values holds an entry twice")
        if self.missing is not None and not self._in_domain(as_text(self.missing)):
            raise ValueError("missing must lie within bounds, or be one of values")
        if isinstance(self.values, dict):
            if set(self.values.values()) != set(range(len(set(self.values.values())))):
                raise ValueError("values must map to the codes 0, 1, 2, … without a gap")

    def _in_domain(self, text: str) -> bool:
        if self.kind != "number" or self.bounds is None:
            return not self.values or text in self.categories
        try:
            return self.bounds[0] <= float(text) <= self.bounds[1]
        except ValueError:
            return False

    @property
    def roles(self) -> tuple[Role, ...]:
        """All roles of the column."""
        return self.role if isinstance(self.role, tuple) else (self.role,)

    @property
    def categories(self) -> tuple[str, ...]:
        """Declared values as trimmed text, in order."""
        return tuple(as_text(value) for value in self.values or ())

    @property
    def codes(self) -> dict[str, int]:
        """Code of each declared value; a mapping gives its own codes, a list its positions."""
        if isinstance(self.values, dict):
            return {as_text(text): code for text, code in self.values.items()}
        return {text: code for code, text in enumerate(self.categories)}


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

    def __post_init__(self) -> None:
        """Check what concerns several keys at once."""
        if self.public_rows < 1:
            raise ValueError("public_rows must be at least 1")
        labels = self.with_role("label")
        if len(labels) != 1:
            raise ValueError(f"exactly one column needs role: label, found {len(labels)}")
        if not self.with_role("feature"):
            raise ValueError("no column has role: feature")
        if len(self.with_role("customer")) > 1:
            raise ValueError("only one column may have role: customer")
        for name in self.sites.columns if self.sites else ():
            if name not in self.columns:
                raise ValueError(f"sites.columns names '{name}', which is not under columns")
        if self.test.kind == "column" and self.test.column not in self.columns:
            raise ValueError("test.column is not under columns; declare it with role: split")
        if self.test.kind == "file" and self.source.kind != "csv":
            raise ValueError("test.kind=file needs source.kind=csv")

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
    def loaded_columns(self) -> tuple[str, ...]:
        """Every column that may be read: the declared ones and the consent columns."""
        names = dict.fromkeys(self.columns)
        if self.consent is not None and self.consent.columns is not None:
            consent = self.consent.columns
            for name in (consent.status, consent.at, consent.scope, consent.version):
                if name is not None:
                    names.setdefault(name)
        return tuple(names)
