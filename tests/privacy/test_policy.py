"""The policy file: every key is needed, and none can be weaker than production allows."""

from pathlib import Path

import pytest

from fedcc import config
from fedcc.errors import ConfigError
from fedcc.privacy.policy import load_policy

REFERENCE = config.config_root() / "site_policy" / "_reference.yaml"
KEYS = (
    "version purposes caps delta units max_interactions sites_per_customer noise_modes schemes "
    "min_sites min_collusion max_rounds max_attempts metrics"
).split()
POLICY = """
version: 1
purposes: [churn]
caps:
  - {purpose: null, days: null, epsilon: 8.0, epsilon_if_all_others_collude: 40}
delta: 1e-5
units: [customer]
max_interactions: 5
sites_per_customer: 1
noise_modes: [shared]
schemes: [bfv]
min_sites: 3
min_collusion: 1
max_rounds: 9
max_attempts: 12
metrics: []
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def changed(key: str, value: str) -> str:
    """Return the policy with one key's value replaced."""
    kept = [line for line in POLICY.splitlines() if not line.startswith(f"{key}:")]
    if key == "caps":
        kept = [line for line in kept if not line.startswith("  - ")]
    return "\n".join([*kept, f"{key}: {value}", ""])


def test_the_reference_is_itself_a_policy_and_explains_every_key() -> None:
    load_policy(REFERENCE)

    text = REFERENCE.read_text()
    assert set(config.read_yaml(REFERENCE)) == set(KEYS)
    for key in ("purpose", "days", "epsilon", "epsilon_if_all_others_collude"):
        assert f"#   {key}" in text


def test_a_policy_reads_back_as_written(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, POLICY))

    assert policy.purposes == ("churn",)
    assert policy.delta == 1e-5
    assert [cap.epsilon for cap in policy.caps] == [8.0]


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    lines = [line for line in POLICY.splitlines() if not line.startswith(f"{key}:")]
    if key == "caps":
        lines = [line for line in lines if not line.startswith("  - ")]

    with pytest.raises(ConfigError, match=f"the key '{key}' is missing"):
        load_policy(written(tmp_path, "\n".join(lines)))


LIFETIME = "{purpose: null, days: null, epsilon: 8, epsilon_if_all_others_collude: 40}"


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("version", "2", "version must be one of 1"),
        ("purposes", "[]", "purposes must not be empty"),
        ("purposes", "churn", "expected a list"),
        ("caps", "[]", "nothing bounds"),
        ("caps", f"[{LIFETIME.replace('40', 'null')}]", "both epsilons"),
        ("caps", f"[{LIFETIME.replace('days: null', 'days: 30')}]", "days: null"),
        ("caps", f"[{LIFETIME.replace('purpose: null', 'purpose: churn')}]", "purpose: null"),
        ("caps", f"[{LIFETIME.replace('8', '0')}]", "epsilon must be > 0"),
        ("caps", f"[{LIFETIME.replace('8', '.nan')}]", "epsilon must be > 0"),
        ("caps", f"[{LIFETIME.replace('8', '.inf')}]", "epsilon must be > 0"),
        ("caps", f"[{LIFETIME}, {LIFETIME.replace('null', 'sales', 1)}]", "purpose 'sales'"),
        ("caps", f"[{LIFETIME.replace('epsilon:', 'epsilom:')}]", "Did you mean 'epsilon'"),
        ("delta", "0", "delta must be inside"),
        ("delta", "1.5", "delta must be inside"),
        ("units", "[user]", "must be one of record, customer"),
        ("noise_modes", "[none]", "'none' protects nobody"),
        ("noise_modes", "[shared, gaussian]", "must be one of shared, local"),
        ("schemes", "[bfv, none]", "bfv and ckks_packed"),
        ("schemes", "[ckks]", "bfv and ckks_packed"),
        ("min_sites", "2", "min_sites must be at least 3"),
        ("min_collusion", "0", "min_collusion must be at least 1"),
        ("max_rounds", "0", "max_rounds must be at least 1"),
        ("max_attempts", "8", "max_attempts must not be below"),
        ("metrics", "[accuracy]", "no metric of private rows"),
        ("extra", "1", "unknown key 'extra'"),
    ],
)
def test_a_policy_that_is_weaker_than_production_allows_or_mistyped_is_refused(
    tmp_path: Path, key: str, value: str, fragment: str
) -> None:
    with pytest.raises(ConfigError, match=fragment) as caught:
        load_policy(written(tmp_path, changed(key, value)))

    assert "site.yaml" in str(caught.value)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="duplicate key"):
        load_policy(written(tmp_path, POLICY + "min_sites: 4\n"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_policy(tmp_path / "nowhere.yaml")
