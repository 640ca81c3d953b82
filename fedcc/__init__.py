"""fedcc: privacy-preserving federated learning for telecom contact centres.

The public surface is small: `plan` says what a run would cost, `simulate` runs a federation on this
machine, `predict` scores a file with its model, and every refusal is a `FedccError`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.errors import (
    BudgetExceeded,
    ConfigError,
    EnvelopeError,
    FedccError,
    Interrupted,
    PolicyViolation,
    ProtocolError,
    RecordError,
    TooFewSites,
)
from fedcc.version import __version__

if TYPE_CHECKING:
    from fedcc.federation.forecast import Forecast
    from fedcc.federation.progress import ProgressCallback
    from fedcc.federation.simulation import RunResult

__all__ = [
    "BudgetExceeded",
    "ConfigError",
    "EnvelopeError",
    "FedccError",
    "Interrupted",
    "PolicyViolation",
    "ProtocolError",
    "RecordError",
    "TooFewSites",
    "__version__",
    "plan",
    "predict",
    "simulate",
]


def plan(
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    runs: str | Path = "runs",
    open_rows: bool = False,
) -> "Forecast":
    """Return what a run would cost and who would refuse it, as `fedcc plan` does.

    Args:
        overrides: as for `simulate`.
        config_dir: as for `simulate`.
        runs: folder with earlier runs, for the accuracy of runs of the same plan.
        open_rows: whether to open the data and count what the gates leave out.

    Raises:
        FedccError: for settings or data that cannot be run at all. A refusal by sites is no error
            here: it stands in the forecast's `error`.
    """
    from datetime import UTC, datetime

    from fedcc import config
    from fedcc.federation.forecast import forecast
    from fedcc.federation.roster_settings import fill_organisations
    from fedcc.federation.settings import simulation_settings

    folder = Path(config_dir) if config_dir is not None else None
    values = fill_organisations(config.compose("simulate", overrides, folder))
    settings = simulation_settings(values)
    return forecast(settings, runs=Path(runs), open_rows=open_rows, now=datetime.now(UTC))


def simulate(
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    resume: str | Path | None = None,
    progress: "ProgressCallback | None" = None,
) -> "RunResult":
    """Run a simulated federation, as `fedcc simulate` does.

    Args:
        overrides: such as `["sites=10", "privacy=balanced", "run.dir=runs/mine"]`.
        config_dir: a folder with options of your own, for instance `data/mine.yaml`.
        resume: folder of an interrupted run to continue; then `overrides` must be empty.
        progress: called with each step.

    Returns:
        The run folder and its summary; `error` is set if the run ended early.

    Raises:
        FedccError: for settings or data that cannot be run at all.
    """
    from fedcc import config
    from fedcc.federation import simulation
    from fedcc.federation.progress import silent
    from fedcc.federation.roster_settings import fill_organisations
    from fedcc.federation.run_folder import read_config
    from fedcc.federation.settings import simulation_settings

    if resume is not None:
        if overrides:
            raise ConfigError(
                "--resume takes its settings from the run; give no overrides with it."
            )
        values = read_config(Path(resume))
    else:
        folder = Path(config_dir) if config_dir is not None else None
        values = fill_organisations(config.compose("simulate", overrides, folder))
    return simulation.simulate(
        simulation_settings(values),
        values,
        resume=Path(resume) if resume is not None else None,
        progress=silent if progress is None else progress,
    )


def predict(file: str | Path, run: str | Path) -> list[tuple[int, str, float]]:
    """Score a CSV file with the model of a run; rows of (row, label, confidence).

    Raises:
        FedccError: if the run has no model or the file does not fit its data YAML.
    """
    from fedcc.federation.prediction import predict as score

    return score(Path(file), Path(run))
