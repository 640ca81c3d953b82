"""Small finished runs to attack, and the bugs that audits must find."""

import importlib.util
from pathlib import Path
from types import ModuleType

import fedcc
from fedcc.attacks.canary_audit import CanaryAudit, audit_with_canaries
from fedcc.attacks.settings import CanarySettings
from fedcc.federation.replay import FinishedRun, open_finished

# 31 intents and 1,024 features: room for 30,720 canaries. Noise is calibrated to the whole run, so
# two rounds have the epsilon of fifty.
WORLD = (
    "task=intent", "data=generated", "data.source.rows=700", "data.public_rows=420",
    "data.partition=iid", "encoder=hashing", "cache=none", "seed=1", "run.report=false",
    "rounds=2", "privacy.reserved_retries=0",
)  # fmt: skip
LEVEL = 0.05


def finished(folder: Path, *overrides: str) -> FinishedRun:
    """Run, and read the run back."""
    result = fedcc.simulate([*WORLD, "sites=3", "privacy.unit=record", *overrides,
                             f"run.dir={folder}"])  # fmt: skip
    assert result.error is None
    return open_finished(folder)


def audit(run: FinishedRun, canaries: int, seed: int) -> CanaryAudit:
    """Audit once."""
    settings = CanarySettings(count=canaries, repeats=1)
    return audit_with_canaries(run, settings, level=LEVEL, seed=seed)


def planted_bugs() -> ModuleType:
    """The bugs of `simulations/`, which wrap the real functions."""
    path = Path(__file__).parents[2] / "simulations" / "_planted_bugs.py"
    spec = importlib.util.spec_from_file_location("planted_bugs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
