"""The blocks of a data YAML that say where rows come from, which are test rows, and on what basis.

Each block checks itself when it is built; a key that does not fit the chosen kind is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal

from fedcc.data.wording import Scalar, as_text

PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
SCOPE_SEPARATORS = ",;|"  # between the scopes of one consent cell; a blank is part of a name
SourceKind = Literal["csv", "jsonl", "json", "package", "generated"]


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """Where the rows come from."""

    kind: SourceKind
    path: str | None
    file: str | None  # inside a folder; {name} stands for a part of the path and becomes a column
    encoding: str
    delimiter: str
    package: str | None
    item: str | None
    fields: tuple[str, ...] | None = None  # names of the cells where the file has none
    part_column: str | None = None  # holds the key of each array of a JSON object of arrays
    rows: int | None = None
    seed: int | None = None
    empty: tuple[Scalar, ...] = ()  # words that stand for an empty cell, in every column

    def __post_init__(self) -> None:
        """Check the delimiter, and that the keys of the chosen kind are there."""
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            raise ValueError(
                'delimiter must be one character; for a tab write "\\t" in double quotes'
            )
        if self.kind == "package" and not (self.package and self.item):
            raise ValueError("a package source needs the keys 'package' and 'item'")
        if self.kind == "generated" and (not self.item or self.rows is None or self.seed is None):
            raise ValueError("a generated source needs the keys 'item', 'rows' and 'seed'")
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"rows must be at least 1, got {self.rows}")
        if self.part_column is not None and self.kind != "json":
            raise ValueError("part_column needs kind: json, an object that holds arrays of rows")
        if self.fields is not None and not self.is_file:
            raise ValueError("fields names the cells of a file; this kind names its own columns")
        names = [*(self.fields or ()), *self.placeholders, *filter(None, [self.part_column])]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"'{twice}' is named twice in fields, part_column and the placeholders of file"
            )

    @property
    def is_file(self) -> bool:
        """Whether the rows stand in files of the user."""
        return self.kind in ("csv", "jsonl", "json")

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the placeholders of `file`, each once, in order."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.file or "")))


@dataclass(frozen=True, kw_only=True)
class TestSpec:
    """How test rows are told apart from training rows."""

    kind: Literal["hash", "file", "column"]
    fraction: float | None
    path: str | None
    column: str | None
    value: Scalar | tuple[Scalar, ...] | None

    def __post_init__(self) -> None:
        """Check that the keys of the chosen kind are there."""
        if self.kind == "hash" and not (self.fraction and 0 < self.fraction < 1):
            raise ValueError("kind hash needs fraction, a number between 0 and 1")
        if self.kind == "file" and not self.path:
            raise ValueError("kind file needs path: the file of test rows")
        if self.kind == "column" and (not self.column or self.value is None or self.value == ()):
            raise ValueError("kind column needs column, and value: what marks a test row")

    @property
    def marks(self) -> frozenset[str]:
        """The texts of a test row's cell in the split column."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return frozenset(as_text(value) for value in values if value is not None)


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

    With `per_row` a row is admitted if its status is one of `granted_values`, one of the scopes in
    its cell (separated by `,` `;` or `|`) is exactly `required_scope`, and its time is a past date
    with time of day; times without a zone are read in `time_zone`, or refused where that is not
    declared.
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
        if any(sign in self.required_scope for sign in SCOPE_SEPARATORS):
            raise ValueError("required_scope names one scope, so it holds none of , ; and |")
        if not all(text.strip() for text in (self.required_scope, *self.granted_values)):
            raise ValueError("an empty cell is no consent: fill granted_values and required_scope")

    @property
    def column_names(self) -> tuple[str, ...]:
        """The consent columns that may be read."""
        if self.columns is None:
            return ()
        names = (self.columns.status, self.columns.at, self.columns.scope, self.columns.version)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True, kw_only=True)
class DropRows:
    """Rows to leave out.

    `duplicates` leaves out a row that agrees with an earlier one in every declared column, the
    customer included: two customers with one profile are two people. Texts are compared as they
    stand in the file, before redaction: two calls that differ in a phone number alone are two
    calls. Consent columns do not tell rows apart. `multi_label` says what becomes of a row with
    several labels: it is dropped, or its first label is taken.
    """

    duplicates: bool
    multi_label: Literal["drop", "first"]


@dataclass(frozen=True, kw_only=True)
class SitesSpec:
    """The columns whose cells form the natural sites."""

    columns: tuple[str, ...]
