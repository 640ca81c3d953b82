"""Settings of `fedcc attack`: what is shipped, and what is refused."""

import pytest

from fedcc import config
from fedcc.attacks.settings import AttackSettings, attack_settings
from fedcc.errors import ConfigError


def settings(*overrides: str) -> AttackSettings:
    return attack_settings(config.compose("attack", overrides))


def test_the_shipped_level_is_five_per_cent_a_test_and_nothing_is_seeded() -> None:
    found = settings()

    assert (found.level, found.seed) == (0.05, None)
    assert found.canaries.count >= 20_000  # fewer show less than 0.85 of epsilon 1


@pytest.mark.parametrize(
    "override",
    ["level=0", "level=0.5", "seed=-1", "canaries.count=2", "canaries.repeats=0",
     "membership.records=5", "membership.shadows=7", "membership.shadows=2",
     "membership.rounds=0", "inversion.sentences=0"],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0].rpartition(".")[2]):
        settings(override)
