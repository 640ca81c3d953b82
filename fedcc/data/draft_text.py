"""Writing a drafted data YAML: every text quoted so that YAML and its reader keep it as it is."""

import json
import re
from dataclasses import dataclass

from fedcc.data.source_spec import PLACEHOLDER, SourceSpec
from fedcc.data.wording import as_text

# Words that YAML 1.1 reads as something else than text.
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n", "none", "nan", "inf"}
_LINE = 100

_HEAD = """\
# A DRAFT for {task}, guessed from {file}, {n_rows} rows. Read every line before you use it.
# Bounds, values and public_rows were READ OFF PRIVATE DATA: they can tell of single customers.
# Agree on them in public, with every site, before real use.
# Every key is explained in configs/data/_reference.yaml (`fedcc data draft --reference`).
"""
_CONSENT = """\
# Until this block is filled in, nothing trains. Keep one of the two and delete the null:
consent: null
# consent: {basis: public_dataset, source: "WHO PUBLISHED IT, UNDER WHICH LICENCE"}
# consent:
#   basis: per_row
#   columns: {status: COLUMN, at: COLUMN, scope: COLUMN}
#   granted_values: [granted]
#   required_scope: ml_training
#   time_zone: Europe/Berlin
"""


@dataclass(frozen=True)
class DraftColumn:
    """A column with its guessed roles and domain; without roles it is left out for `note`."""

    name: str
    roles: tuple[str, ...]
    bounds: tuple[float, float] | None = None
    values: tuple[str, ...] = ()
    open_values: bool = False  # a person has to fill them in
    codes: dict[str, int] | None = None
    missing: float | str | None = None
    separator: str | None = None
    out_of_scope: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Draft:
    """Everything that stands in a draft."""

    name: str
    file: str
    task: str
    source: SourceSpec
    n_rows: int
    public_rows: int
    test_fraction: float
    split: str | None
    marks: tuple[str, ...]
    columns: tuple[DraftColumn, ...]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def quoted(text: str, *, is_key: bool = False) -> str:
    """Write a text as one YAML scalar that neither YAML nor its interpolation changes."""
    if re.fullmatch(r"[A-Za-z_][\w -]*\w|[A-Za-z]", text, re.ASCII) and text.lower() not in _WORDS:
        return text
    if not is_key:  # in a value an unescaped ${ is an interpolation
        text = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    written = json.dumps(text, ensure_ascii=False)
    return "".join(
        char if char.isprintable() and char not in "\ufeff" else _escape(char) for char in written
    )


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted_value(text: str) -> str:
    """Write a declared value; a plain whole number needs no quotes."""
    return text if re.fullmatch(r"0|-?[1-9]\d{0,15}", text) else quoted(text)


def draft_text(draft: Draft) -> str:
    """Return the YAML."""
    file = quoted(draft.file)
    lines = [_HEAD.format(task=draft.task, file=file, n_rows=draft.n_rows).rstrip()]
    lines += [f"# TO DO: {warning}." for warning in draft.warnings]
    lines += [f"name: {quoted(draft.name)}", *_source(draft)]
    lines.append(f"public_rows: {draft.public_rows} # training rows of the whole federation, a")
    lines[-1] += " constant agreed in public"
    if draft.split is not None and draft.marks:
        marks = ", ".join(map(quoted_value, draft.marks))
        lines.append(f"test: {{kind: column, column: {quoted(draft.split)}, value: [{marks}]}}")
    else:
        lines.append(f"test: {{kind: hash, fraction: {draft.test_fraction}}} # of customers")
    lines.append(_CONSENT.rstrip())
    lines += _sites(draft)
    lines.append("columns:")
    for column in draft.columns:
        lines += _column(column)
    lines += [f"  # {quoted(name)} is left out: {reason}." for name, reason in draft.left_out]
    return "\n".join(lines) + "\n"


def _source(draft: Draft) -> list[str]:
    source = draft.source
    keys = [f"kind: {source.kind}", "path: null"]
    if not PLACEHOLDER.search(draft.file):
        keys.append(f"file: {quoted(draft.file)}")
    if source.encoding != "utf-8-sig":
        keys.append(f"encoding: {source.encoding}")
    if source.kind == "csv" and source.delimiter != ",":
        keys.append(f"delimiter: {quoted(source.delimiter)}")
    if source.fields is not None:
        keys.append(f"fields: [{', '.join(map(quoted, source.fields))}]")
    if source.part_column is not None:
        keys.append(f"part_column: {source.part_column}")
    lines = ["# The file itself is named by data.path=FILE when you run.", "source:"]
    lines += [f"  {key}" for key in keys]
    if source.fields is not None:
        lines.append("  # The file has no names: put better ones into fields and below.")
    return lines


def _sites(draft: Draft) -> list[str]:
    if any("site" in column.roles for column in draft.columns):
        return []
    return [
        "# No column looks like a site: use data.partition=iid or dirichlet, or name one:",
        "# sites: {columns: [COLUMN]}",
    ]


def _column(column: DraftColumn) -> list[str]:
    """Write one column: in one line where that fits, else in block style."""
    if not column.roles:
        return [f"  # {quoted(column.name)} is left out: {column.note}."]
    comment = [f"  # {quoted(column.name)}: {column.note}."] if column.note else []
    name = quoted(column.name, is_key=True)
    keys = _keys(column)
    line = f"  {name}: {{{', '.join(f'{key}: {value}' for key, value in keys)}}}"
    if len(line) <= _LINE:
        return [*comment, line]
    lines = [*comment, f"  {name}:"]
    for key, value in keys:
        if len(value) + len(key) + 6 <= _LINE or value[0] not in "[{":
            lines.append(f"    {key}: {value}")
        else:
            wrapped = _wrapped(column, key)
            lines += [f"    {key}: {value[0]}", *wrapped, f"    {value[-1]}"]
    return lines


def _wrapped(column: DraftColumn, key: str) -> list[str]:
    """Break a long list between its items, never inside one."""
    items = _items(column) if key == "values" else list(map(quoted_value, column.out_of_scope))
    lines = [""]
    for item in items:
        piece = f"{item}, "
        if lines[-1] and len(lines[-1]) + len(piece) > _LINE - 6:
            lines.append("")
        lines[-1] += piece
    return [f"      {line.rstrip()}" for line in lines]


def _items(column: DraftColumn) -> list[str]:
    if column.codes is None:
        return list(map(quoted_value, column.values))
    return [f"{quoted(value, is_key=True)}: {code}" for value, code in column.codes.items()]


def _bound(value: float) -> str:
    """Return a bound as YAML reads it; a long row of digits would say no more than a power."""
    return as_text(value) if abs(value) < 1e15 else repr(float(value))


def _keys(column: DraftColumn) -> list[tuple[str, str]]:
    roles = column.roles
    keys = [("role", roles[0] if len(roles) == 1 else f"[{', '.join(roles)}]")]
    if column.bounds is not None:
        low, high = map(_bound, column.bounds)
        keys += [("kind", "number"), ("bounds", f"[{low}, {high}]")]
    if column.values:
        if roles != ("label",):
            keys.append(("kind", "category"))
        inner = ", ".join(_items(column))
        keys.append(("values", f"[{inner}]" if column.codes is None else f"{{{inner}}}"))
    if column.open_values:
        keys.append(("values", "???"))
    if column.missing is not None:
        missing = column.missing
        keys.append(
            ("missing", quoted_value(missing) if isinstance(missing, str) else as_text(missing))
        )
    if column.separator is not None:
        keys.append(("separator", quoted(column.separator)))
    if column.out_of_scope:
        keys.append(("out_of_scope", f"[{', '.join(map(quoted_value, column.out_of_scope))}]"))
    return keys
