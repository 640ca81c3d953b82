"""A site's YAML and an aggregator's: every key must be there, and nonsense is refused."""

from pathlib import Path
from typing import Any

import pytest

from fedcc import config
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.reference_yaml import Value, fill
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError

FILLED: dict[str, Value] = {
    "consortium": "telco-group",
    "site": "lisbon",
    "keys.identity": "identity/lisbon.key.json",
    "aggregator.host": "fed.example.org",
    "aggregator.admin_fingerprint": "ABCD",
}


def reference(name: str) -> str:
    return (config.config_root() / name / "_reference.yaml").read_text()


def opened(folder: Path, old: str = "", new: str = "") -> SiteHome:
    text = fill(reference("site"), FILLED)
    assert old in text
    (folder / "site.yaml").write_text(text.replace(old, new, 1))
    return SiteHome.open(folder)


def test_the_filled_reference_is_a_site_file_with_paths_beside_it(tmp_path: Path) -> None:
    home = opened(tmp_path)

    assert home.values.aggregator.host == "fed.example.org"
    assert home.identity == tmp_path / "identity" / "lisbon.key.json"
    assert home.ledger == tmp_path / "ledger" / "lisbon.jsonl"


def test_the_unfilled_reference_is_refused_by_the_first_key_that_is_open(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(reference("site"))

    with pytest.raises(ConfigError, match="consortium must be given"):
        SiteHome.open(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("policy: policy.yaml", "", "'policy' is missing"),
        ("ledger: ledger", "leger: ledger", "Did you mean 'ledger'"),
        ("port: 8443", "port: 0", "from 1 to 65535"),
        ("proxy: null", "proxy: socks://p:3128", "https://HOST:PORT"),
        ("proxy_ca: null", "proxy_ca: proxy.pem", "a proxy that speaks TLS"),
        ("proxy: null", "proxy: http://me:secret@p:3128", "must not hold a password"),
        ("time_zone: UTC", "time_zone: Mars/Base", "Europe/Lisbon"),
        ("windows: []", 'windows: [{days: [mon], begin: 22:00, end: "06:00"}]', "in quotes"),
        ("windows: []", 'windows: [{days: [mo], begin: "22:00", end: "06:00"}]', "one of mon"),
        ("tasks: [churn, intent]", "tasks: []", "admits nothing"),
        ("tasks: [churn, intent]", "tasks: [spam]", "one of churn, intent"),
        ("memory_gigabytes: 4.0", "memory_gigabytes: 0", "must be > 0"),
        ("allow_public_dataset: false", "allow_public_dataset: maybe", "true or false"),
    ],
)
def test_a_wrong_key_is_named_with_the_remedy(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        opened(tmp_path, old, new)


def test_a_password_in_a_proxy_is_not_echoed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(tmp_path, "proxy: null", "proxy: http://me:secret@p:3128")

    assert "secret" not in str(refused.value)


RULE: dict[str, Any] = {
    "name": "nightly",
    "tasks": "[churn]",
    "owners": "[north]",
    "max_epsilon": 0.5,
    "max_epsilon_if_all_others_collude": 5.0,
    "max_rounds": 60,
    "min_sites": 3,
    "only_changed": "[rounds]",
    "min_days_between": 7.0,
    "until": "'2027-06-30'",
}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("max_epsilon", 0, "must be > 0"),
        ("owners", "[]", "admits nothing"),
        ("until", "soon", "Invalid isoformat|soon"),
        ("name", "'Nightly Run'", "lower-case"),
        ("min_sites", 0, "at least 1"),
    ],
)
def test_a_standing_approval_that_means_nothing_is_refused(
    tmp_path: Path, key: str, value: object, says: str
) -> None:
    def written(rule: dict[str, Any]) -> str:
        inner = ", ".join(f"{name}: {text}" for name, text in rule.items())
        return f"standing_approvals: [{{{inner}}}]"

    opened(tmp_path, "standing_approvals: []", written(RULE))
    with pytest.raises(ConfigError, match=says):
        opened(tmp_path, "standing_approvals: []", written({**RULE, key: value}))


def test_the_aggregator_must_be_dialled_by_a_name_of_its_certificate(tmp_path: Path) -> None:
    values: dict[str, Value] = {
        "consortium": "telco-group",
        "public.host": "fed.example.org",
        "tls.names": ["fed.example.org"],
        "admin.key": "admin/telco.key.json",
        "admin.fingerprint": "ABCD",
    }
    file = tmp_path / "aggregator.yaml"
    file.write_text(fill(reference("aggregator"), values))

    assert AggregatorHome.open(tmp_path).values.public.host == "fed.example.org"

    file.write_text(fill(reference("aggregator"), {**values, "tls.names": ["other.example.org"]}))
    with pytest.raises(ConfigError, match="one of tls.names"):
        AggregatorHome.open(file)


def test_a_folder_without_a_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no site.yaml here"):
        SiteHome.open(tmp_path)


def test_filling_keeps_comments_and_refuses_a_key_that_is_not_there() -> None:
    text = "# why\na: ??? # first\nb:\n  c: null # inner\n  d: 1\n"

    assert fill(text, {"a": "x: y", "b.c": 2}) == (
        '# why\na: "x: y" # first\nb:\n  c: 2 # inner\n  d: 1\n'
    )
    with pytest.raises(KeyError):
        fill(text, {"b.e": 1})
    with pytest.raises(KeyError):
        fill(text, {"b": 1})  # a section has no value of its own
