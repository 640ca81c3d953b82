"""A first data YAML for a file: guessed roles, bounds and values, for a person to edit.

Everything in a draft is read off private data, so it says so, in the file and to whoever asked for
it, and its consent block is left open: until somebody decides, nothing trains from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcc.data import guessing
from fedcc.data.domains import number
from fedcc.data.draft_text import Draft, DraftColumn, draft_text
from fedcc.data.guessing import ColumnFacts
from fedcc.data.sniffing import Sniffed, sniff
from fedcc.data.wording import without_form

Task = Literal["intent", "churn"]

PRIVATE_WARNING = (
    "bounds, values and public_rows of this draft were read off private data; agree on them in "
    "public before real use"
)
CONSENT_WARNING = "the consent block of this draft is empty, so nothing trains until you fill it in"
_TEST_FRACTION = 0.25
_TEST_MARKS = ("test", "eval", "holdout")


@dataclass(frozen=True)
class DraftResult:
    """The YAML, and what its reader must be told."""

    text: str
    warnings: tuple[str, ...]


def draft_yaml(path: Path, task: Task) -> DraftResult:
    """Read a file and write a data YAML for it.

    Args:
        path: a CSV, JSON or JSON-lines file.
        task: what a model shall predict: decides which column is the label.

    Raises:
        RecordError: if the file is missing, unreadable or no table.
    """
    sniffed = sniff(path)
    facts = {
        name: guessing.facts_of(name, cells, is_list=name in sniffed.lists)
        for name, cells in sniffed.table.columns.items()
    }
    warnings = [PRIVATE_WARNING, CONSENT_WARNING]
    label = guessing.label_of(facts, task)
    if label is None:
        warnings.append(
            f"no column looks like the label of {task}; give one role: label and its values"
        )
    columns = _columns(facts, label, task, warnings)
    split = next((c for c in columns if c.roles == ("split",)), None)
    marks = _test_marks(facts[split.name]) if split is not None else ()
    draft = Draft(
        name=guessing.slug(path.stem),
        file=path.name,
        task=task,
        source=sniffed.source,
        n_rows=sniffed.table.n_rows,
        public_rows=_public_rows(sniffed, split, marks),
        test_fraction=_TEST_FRACTION,
        split=None if split is None else split.name,
        marks=marks,
        columns=tuple(columns),
        left_out=tuple(sniffed.left_out.items()),
        warnings=tuple(warnings),
    )
    return DraftResult(draft_text(draft), tuple(warnings))


def _columns(
    facts: dict[str, ColumnFacts], label: str | None, task: Task, warnings: list[str]
) -> list[DraftColumn]:
    """Give every column its role, its domain, or the reason why it is left out."""
    taken: set[str] = set()
    columns = []
    text = guessing.text_of(facts, label) if task == "intent" else None
    customer = guessing.customer_of(facts, {label, text})
    for name, fact in facts.items():
        if name == label:
            columns.append(_label_column(fact, task, warnings))
        elif name == text:
            columns.append(DraftColumn(name, ("text",)))
        elif name == customer:
            columns.append(
                DraftColumn(name, ("customer",), note="the protected unit; check that it is one")
            )
        else:
            columns.append(_other_column(fact, task, taken))
    if task == "intent" and text is None:
        warnings.append("no column looks like a caller's words; give one role: text")
    if customer is None:
        warnings.append(
            "no column looks like a customer id, so every row counts as a customer of its own"
        )
    return columns


def _label_column(fact: ColumnFacts, task: Task, warnings: list[str]) -> DraftColumn:
    separator = None if fact.is_list else guessing.separator_of(fact)
    unfit = guessing.unfit_as_label(fact, task)
    if unfit is not None:
        warnings.append(
            f"the values of the label {fact.name} are not written down, {unfit}; fill them in, or "
            "give role: label to another column"
        )
        note = f"no values stand here, {unfit}; replace ??? by the agreed list"
        return DraftColumn(fact.name, ("label",), open_values=True, note=note)
    cells = guessing.label_values(fact)
    held = tuple(value for value in cells if without_form(value).replace(" ", "_") in guessing.OOS)
    values = sorted((value for value in cells if value not in held), key=guessing.value_order)
    if len({without_form(value) for value in values}) < len(values):
        warnings.append(
            "some label values differ only by case, Unicode form or invisible characters; give "
            'them one code, as in {"Yes": 1, "yes": 1}, or mend the file'
        )
    notes = ["blank labels end the run; set out_of_bounds: drop to leave such rows out"]
    codes: dict[str, int] | None = None
    if task == "churn":
        codes = guessing.churn_codes(values)
        notes.append("check that 1 means leaving")
    blank = fact.n_rows != fact.n_filled
    return DraftColumn(
        fact.name,
        ("label",),
        values=tuple(values),
        codes=codes,
        separator=separator,
        out_of_scope=held,
        note="; ".join(notes[0 if blank else 1 :]),
    )


def _other_column(fact: ColumnFacts, task: Task, taken: set[str]) -> DraftColumn:
    """Describe a column that is neither label nor text nor customer."""
    if fact.is_list:
        return DraftColumn(fact.name, (), note="it holds lists")
    reason = guessing.private_reason(fact)
    if reason is not None:
        return DraftColumn(fact.name, (), note=reason)
    for role, fits in (
        ("split", guessing.is_split(fact)),
        ("started_at", guessing.is_time(fact) and guessing.is_start(fact.name)),
    ):
        if fits and role not in taken:
            taken.add(role)
            return DraftColumn(fact.name, (role,))
    if guessing.is_time(fact):
        return DraftColumn(fact.name, (), note="a date or time; write it as a number to use it")
    column = _feature(fact)
    if column.roles and guessing.is_site(fact):
        taken.add("site")
        roles = ("site",) if task == "intent" else ("feature", "site")
        return DraftColumn(fact.name, roles, values=column.values, missing=column.missing)
    if column.roles and task == "intent":
        return DraftColumn(fact.name, (), note="not needed for intents")
    return column


def _feature(fact: ColumnFacts) -> DraftColumn:
    """Describe a number or a category with its domain."""
    name, blank = fact.name, fact.n_filled < fact.n_rows
    if len(fact.counts) < 2:
        return DraftColumn(name, (), note="it holds one value only")
    if fact.is_number and not guessing.is_code(fact):
        numbers = [float(value) for value in map(number, fact.counts) if value is not None]
        low, high = guessing.round_bounds(min(numbers), max(numbers))
        if not math.isfinite(high - low):
            return DraftColumn(name, (), note="its numbers have no finite bounds")
        missing = min(max(0.0, low), high) if blank else None
        note = "check what an empty cell means" if blank else ""
        return DraftColumn(name, ("feature",), bounds=(low, high), missing=missing, note=note)
    if guessing.is_category(fact):
        usual = max(fact.counts, key=lambda value: fact.counts[value]) if blank else None
        values = tuple(sorted(fact.counts, key=guessing.value_order))
        note = "an empty cell is read as the usual value" if blank else ""
        return DraftColumn(name, ("feature",), values=values, missing=usual, note=note)
    if guessing.has_decimal_comma(fact):
        return DraftColumn(name, (), note="numbers with a decimal comma; write them like 1234.5")
    return DraftColumn(name, (), note="too many different values for a category")


def _test_marks(fact: ColumnFacts) -> tuple[str, ...]:
    return tuple(value for value in fact.counts if without_form(value) in _TEST_MARKS)


def _public_rows(sniffed: Sniffed, split: DraftColumn | None, marks: Sequence[str]) -> int:
    """Return the number of training rows, rounded to two digits."""
    rows = sniffed.table.n_rows * (1 - _TEST_FRACTION)
    if split is not None:
        rows = sum(cell not in marks for cell in sniffed.table.columns[split.name])
    step = int(10 ** max(0, int(math.log10(max(rows, 1))) - 1))
    return max(1, round(rows / step) * step)
