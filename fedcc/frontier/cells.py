"""The cells of a sweep: what each one computes, and the key under which its result is kept.

The key is a SHA-256 over the resolved config, the version of fedcc and the data that was read, so
a finished cell is used again only where running it would give the same number.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedcc.data.connectors import read_table
from fedcc.federation.settings import simulation_settings
from fedcc.frontier.settings import Curve, FrontierSettings, TextbookSettings
from fedcc.version import __version__

NOT_KEYED = ("run", "ledger", "cache")  # where files lie changes no number


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the sweep."""

    curve: Curve
    epsilon: float | None  # None: without privacy
    sites: int
    seed: int
    key: str
    values: dict[str, Any]  # the resolved config of `fedcc simulate`
    textbook: TextbookSettings | None

    @property
    def name(self) -> str:
        """The name of the cell's folder."""
        budget = "none" if self.epsilon is None else f"{self.epsilon:g}"
        return f"{self.curve}-e{budget}-k{self.sites}-s{self.seed}-{self.key[:16]}"

    @property
    def words(self) -> str:
        """What is computed, for people."""
        budget = "no privacy" if self.epsilon is None else f"epsilon {self.epsilon:g}"
        return f"{self.curve}, {budget}, {self.sites} sites, seed {self.seed}"


def cells_of(
    settings: FrontierSettings, values_by_sites: Mapping[int, dict[str, Any]], rows: str
) -> list[Cell]:
    """Return every cell of a sweep, slow ones first; none is computed twice.

    Central training knows no sites and no privacy knows no budget, so they have a cell per budget
    and seed, or per seed, made with the smallest number of sites.

    Args:
        settings: of the sweep.
        values_by_sites: the resolved config of a run for each number of sites.
        rows: SHA-256 of the data, from `data_fingerprint`.
    """
    few = min(settings.sites)
    cells = []
    for curve in settings.curves:
        budgets = (None,) if curve == "no_privacy" else settings.epsilon
        places = (few,) if curve in ("central_dp", "no_privacy") else settings.sites
        for sites in sorted(places, reverse=True):
            for seed in range(1, settings.seeds + 1):
                for epsilon in budgets:
                    textbook = settings.textbook if curve == "textbook" else None
                    values = cell_values(values_by_sites[sites], curve, epsilon, seed)
                    cells.append(make_cell(curve, epsilon, sites, seed, values, textbook, rows))
    firsts = {cell.curve: cell.key for cell in reversed(cells)}
    # One of each curve first: then the time left can be told.
    return sorted(cells, key=lambda c: (c.key != firsts[c.curve], c.curve != "federation"))


def make_cell(
    curve: Curve,
    epsilon: float | None,
    sites: int,
    seed: int,
    values: dict[str, Any],
    textbook: TextbookSettings | None,
    rows: str,
) -> Cell:
    """Return a cell with its key."""
    key = _key(curve, values, textbook, rows)
    return Cell(
        curve=curve,
        epsilon=epsilon,
        sites=sites,
        seed=seed,
        key=key,
        values=values,
        textbook=textbook,
    )


def cell_values(
    values: Mapping[str, Any], curve: Curve, epsilon: float | None, seed: int
) -> dict[str, Any]:
    """Return the resolved config of one cell."""
    changed = copy.deepcopy(dict(values))
    changed["seed"] = seed
    changed["baselines"] = False
    changed["run"] = {"dir": None, "report": False}
    changed["ledger"] = {"dir": None}
    if epsilon is not None:
        changed["privacy"]["epsilon"] = epsilon
    if curve == "textbook":
        changed["encoder"]["centre"] = "none"
        changed["training"]["prior"] = "none"
        # Opacus protects rows; where customers are protected, each of them keeps a single one.
        changed["privacy"]["max_interactions"] = 1
    return changed


def _key(
    curve: Curve, values: Mapping[str, Any], textbook: TextbookSettings | None, rows: str
) -> str:
    kept = {name: value for name, value in values.items() if name not in NOT_KEYED}
    kept["data"] = {**kept["data"], "path": None}  # its content counts, not its place
    terms = [curve, kept, None if textbook is None else asdict(textbook), rows, __version__]
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()


def data_fingerprint(values: Mapping[str, Any]) -> str:
    """Return a SHA-256 over every declared cell that a run would read, whatever the source.

    Raises:
        ConfigError, RecordError: if the data cannot be read; names the key, or file and row.
    """
    settings = simulation_settings(values)
    table = read_table(settings.data, settings.partition.path)
    digest = hashlib.sha256(json.dumps([table.n_rows, table.n_train_rows]).encode())
    for name in sorted(table.columns):
        digest.update(json.dumps([name, list(table.columns[name])]).encode())
    return digest.hexdigest()
