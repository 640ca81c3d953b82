"""One declared column of a data YAML: its roles and, for features and labels, its public domain."""

import math
from dataclasses import dataclass
from typing import Literal

from fedcc.config import nearest
from fedcc.data.wording import Scalar, as_text, words_of

Role = Literal[
    "customer", "agent", "text", "label", "feature", "group", "site", "started_at", "split"
]
OUT_OF_SCOPE = -1  # code of a label that is no class; such rows never train


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
    label_names: dict[str | int, str] | None = None  # public words of a label value
    separator: str | None = None  # between several labels of one cell
    out_of_scope: tuple[Scalar, ...] | None = None  # label values that are no class

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
        self._check_values()
        if self.missing is not None and not self._in_domain(as_text(self.missing)):
            raise ValueError("missing must lie within bounds, or be one of values")

    def _check_values(self) -> None:
        declared = [*self.categories, *self.held_values]
        if len(set(declared)) != len(declared):
            raise ValueError(
                "values (with out_of_scope) holds an entry twice; texts are compared trimmed and "
                "in one Unicode form"
            )
        if isinstance(self.values, dict):
            if set(self.values.values()) != set(range(len(set(self.values.values())))):
                raise ValueError("values must map to the codes 0, 1, 2, … without a gap")
            # Keys of one type, so that the mapping can be sorted and hashed as JSON.
            texts = {as_text(text): code for text, code in self.values.items()}
            object.__setattr__(self, "values", texts)
        label_keys = {
            "label_names": self.label_names,
            "separator": self.separator,
            "out_of_scope": self.out_of_scope,
        }
        for key, value in label_keys.items():
            if value is not None and "label" not in self.roles:
                raise ValueError(f"{key} belongs to the column of role: label")
        if self.separator is not None and not self.separator.strip():
            raise ValueError("separator must hold a visible sign, for instance \"<div>\" or '|'")
        if any(self.separator is not None and self.separator in text for text in declared):
            raise ValueError("a value holds the separator, so no cell could ever match it")
        if self.label_names is not None:
            names: dict[str | int, str] = {
                as_text(value): words for value, words in self.label_names.items()
            }
            self._check_names(names)
            object.__setattr__(self, "label_names", names)

    def _check_names(self, names: dict[str | int, str]) -> None:
        for value, words in names.items():
            if value not in self.categories:
                near = nearest(str(value), self.categories)
                raise ValueError(f"label_names names '{value}', which is not among values.{near}")
            if not words.strip():
                raise ValueError(f"label_names gives no words for '{value}'")

    def _in_domain(self, text: str) -> bool:
        if self.kind != "number" or self.bounds is None:
            return not self.values or text in self.categories or text in self.held_values
        try:
            return self.bounds[0] <= float(text) <= self.bounds[1]
        except ValueError:
            return False

    @property
    def roles(self) -> tuple[Role, ...]:
        """All roles of the column."""
        return self.role if isinstance(self.role, tuple) else (self.role,)

    @property
    def is_typed(self) -> bool:
        """Whether cells become numbers or codes; the cells of other columns stay text."""
        return self.kind is not None or "label" in self.roles

    @property
    def categories(self) -> tuple[str, ...]:
        """Declared values as normal text, in order."""
        return tuple(as_text(value) for value in self.values or ())

    @property
    def held_values(self) -> tuple[str, ...]:
        """Label values that are no class, as normal text."""
        return tuple(as_text(value) for value in self.out_of_scope or ())

    @property
    def codes(self) -> dict[str, int]:
        """Code of each declared value; a mapping gives its own codes, a list its positions."""
        if isinstance(self.values, dict):
            return {as_text(text): code for text, code in self.values.items()}
        return {text: code for code, text in enumerate(self.categories)}

    @property
    def cell_codes(self) -> dict[str, int]:
        """Code of each value that a cell may hold: `codes`, and -1 for what is out of scope."""
        return self.codes | dict.fromkeys(self.held_values, OUT_OF_SCOPE)

    @property
    def code_names(self) -> tuple[str, ...]:
        """The first declared value of each code, in the order of the codes."""
        names: dict[int, str] = {}
        for text, code in self.codes.items():
            names.setdefault(code, text)
        return tuple(names[code] for code in sorted(names))

    @property
    def code_words(self) -> tuple[str, ...]:
        """Public words of each code: its `label_names`, or its value read as words."""
        words = dict(enumerate(map(words_of, self.code_names)))
        codes = self.codes
        for value, given in reversed((self.label_names or {}).items()):
            words[codes[str(value)]] = " ".join(given.split())
        return tuple(words[code] for code in sorted(words))
