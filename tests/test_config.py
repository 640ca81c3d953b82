"""Composing names the wrong key or option; building names key, type and the nearest match."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc import config, config_inputs
from fedcc.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    low: float


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One field of every type that `build` understands."""

    epsilon: float
    rounds: int = 1
    name: str = "x"
    seeded: bool = False
    noise: Literal["shared", "local"] = "shared"
    lanes: Literal[2, 3] = 2
    seed: int | None = None
    value: str | int | float = 0
    pair: tuple[float, ...] = ()
    role: Literal["a", "b"] | tuple[Literal["a", "b"], ...] = "a"
    codes: tuple[int, ...] | dict[str, int] | None = None
    inner: Inner | None = None
    inners: dict[str, Inner] | None = None

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError("epsilon must be > 0")


def build(**values: Any) -> Schema:
    return config.build(Schema, {"epsilon": 1.0, **values}, "top")


@pytest.mark.parametrize(
    ("values", "built"),
    [
        ({"epsilon": 2}, {"epsilon": 2.0}),
        ({"lanes": 3}, {"lanes": 3}),
        ({"seed": None}, {"seed": None}),
        ({"value": "text"}, {"value": "text"}),
        ({"value": 1.5}, {"value": 1.5}),
        ({"pair": [1, 2.5]}, {"pair": (1.0, 2.5)}),
        ({"role": ["a", "b"]}, {"role": ("a", "b")}),
        ({"codes": [0, 1]}, {"codes": (0, 1)}),
        ({"codes": {"No": 0}}, {"codes": {"No": 0}}),
        ({"inner": {"low": 1}}, {"inner": Inner(low=1.0)}),
        ({"inners": {"x.y": {"low": 0}}}, {"inners": {"x.y": Inner(low=0.0)}}),
    ],
)
def test_yaml_values_become_fields_of_the_declared_type(
    values: dict[str, Any], built: dict[str, Any]
) -> None:
    schema = build(**values)

    for name, value in built.items():
        field = getattr(schema, name)
        assert (field, type(field)) == (value, type(value))


def test_a_whole_number_stays_one_where_text_number_and_float_are_allowed() -> None:
    assert type(build(value=1).value) is int


def test_a_choice_returns_the_declared_object_and_not_its_equal() -> None:
    assert type(build(lanes=2.0).lanes) is int


@pytest.mark.parametrize(
    ("values", "fragment"),
    [
        ({"epsilom": 1}, r"^top: unknown key 'epsilom'\. Did you mean 'epsilon'\? Known keys: cod"),
        ({"zzz": 1}, r"^top: unknown key 'zzz'\. Known keys"),
        ({3: 1}, r"^top: unknown key '3'"),
        ({"epsilon": 0}, r"^top: epsilon must be > 0"),
        ({"epsilon": "1"}, r"^top\.epsilon must be a number; got '1'"),
        ({"epsilon": None}, r"^top\.epsilon must be a number; got nothing"),
        ({"epsilon": True}, r"^top\.epsilon must be a number; got True"),
        ({"rounds": 1.0}, r"^top\.rounds must be a whole number; got 1\.0"),
        ({"rounds": False}, r"^top\.rounds must be a whole number; got False"),
        ({"seeded": 1}, r"^top\.seeded must be true or false; got 1"),
        ({"name": 2024}, r"^top\.name must be text; got 2024\. Put it in quotes\."),
        ({"name": False}, r'^top\.name: got a yes/no value; .* in quotes, for instance "No"'),
        ({"value": True}, r"^top\.value: got a yes/no value"),
        ({"value": []}, r"^top\.value must be"),
        ({"noise": "sharde"}, r"^top\.noise must be one of shared, local; .*mean 'shared'\?"),
        ({"noise": True}, r"^top\.noise must be one of"),
        ({"lanes": True}, r"^top\.lanes must be one of 2, 3"),
        ({"role": "c"}, r"^top\.role must be one of a, b; got 'c'"),
        ({"role": ["a", "c"]}, r"^top\.role\[1\] must be one of a, b; got 'c'"),
        ({"pair": "1-2"}, r"^top\.pair: expected a list, got '1-2'"),
        ({"pair": [1, "x"]}, r"^top\.pair\[1\] must be a number; got 'x'"),
        ({"codes": {False: 0}}, r"^top\.codes, a key: got a yes/no value"),
        ({"codes": {"No": "zero"}}, r"^top\.codes\.No must be a whole number; got 'zero'"),
        ({"inner": "x"}, r"^top\.inner: expected a mapping of keys, got 'x'"),
        ({"inner": {}}, r"^top\.inner: the key 'low' is missing"),
        ({"inners": {"x": {"low": "y"}}}, r"^top\.inners\.x\.low must be a number"),
        ({"name": "???"}, r"^top\.name must be given, for instance top\.name=VALUE"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key(
    values: dict[Any, Any], fragment: str
) -> None:
    with pytest.raises(ConfigError, match=fragment):
        config.build(Schema, {"epsilon": 1.0, **values}, "top")


def test_a_missing_key_without_a_default_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^top: the key 'epsilon' is missing"):
        config.build(Schema, {}, "top")


@pytest.mark.parametrize("values", [None, [], "x", 3])
def test_only_a_mapping_can_be_built(values: object) -> None:
    with pytest.raises(ConfigError, match="^top: expected a mapping of keys"):
        config.build(Schema, values, "top")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        build(epsilon="x" * 5000)

    assert len(str(caught.value)) < 200


def test_a_near_match_is_offered_and_a_far_one_is_not() -> None:
    assert config.nearest("tenur", ["tenure", "plan"]) == " Did you mean 'tenure'?"
    assert config.nearest("zzz", ["tenure", "plan"]) == ""


def test_the_shipped_defaults_compose_into_plain_values() -> None:
    values = config.compose("simulate")

    assert (values["task"], values["data"]["name"]) == ({"name": "churn"}, "wa_churn")
    assert type(values["data"]["columns"]) is dict


def test_overrides_reach_keys_and_choose_options() -> None:
    values = config.compose("simulate", ["sites=7", "data=telco", "data.alpha=0.5", "privacy=none"])

    assert (values["sites"], values["data"]["name"], values["data"]["alpha"]) == (7, "telco", 0.5)
    assert values["privacy"]["noise"] == "none"


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("stes=3", r"unknown key 'stes'\. Did you mean 'sites'\?"),
        ("data.pth=x", r"unknown key 'data\.pth'\. Did you mean 'data\.path'\?"),
        ("epsilon=1", r"unknown key 'epsilon'\. Did you mean 'privacy\.epsilon'\?"),
        (
            "data=tleco",
            r"no data=tleco\. Did you mean 'telco'\? Known: .*wa_churn.*\. data=NAME",
        ),
        ("privacy=strct", r"mean 'strict'\? Known: balanced, "),
        ("sites", "sites"),
        ("data=3", "Got int"),
        ("data.alpha=${nothing}", r"Interpolation key 'nothing' not found.*data\.alpha"),
        ("data.name=a,b", "multirun"),
    ],
)
def test_a_wrong_override_is_answered_with_what_there_is(override: str, fragment: str) -> None:
    with pytest.raises(ConfigError, match=f"^config: .*{fragment}") as caught:
        config.compose("simulate", [override])

    assert "\n" not in str(caught.value)


def test_a_refused_override_leaves_no_trace_for_the_next_one() -> None:
    with pytest.raises(ConfigError):
        config.compose("simulate", ["stes=3"])

    assert config.compose("simulate", ["sites=4"])["sites"] == 4


@pytest.mark.parametrize("folder", ["it's (1) = 50%", "a,b [x]{y}#z", "back\\slash ünï"])
def test_a_config_dir_adds_options_whatever_its_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "data").mkdir(parents=True)
    (tmp_path / folder / "data" / "calls.yaml").write_text("name: calls\n")

    values = config.compose("simulate", ["data=calls"], tmp_path / folder)

    assert values["data"]["name"] == "calls"
    assert values["data"]["min_rows"] == 20  # the shipped default stays


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("- a\n- b\n", r"`key: value` lines, not a list"),
        ("defaults: [other]\n", r"'data/other'\. Name only files that exist in its `defaults:`"),
        ("name: [\n", r"mine\.yaml, line 2: not valid YAML"),
    ],
)
def test_a_broken_option_says_what_mends_it(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(text)

    with pytest.raises(ConfigError, match=fragment):
        config.compose("simulate", ["data=mine"], tmp_path)


@pytest.mark.parametrize(
    ("override", "fragment"),
    [("sites", "KEY=VALUE without spaces"), ("sites=[1,2", "needs quotes")],
)
def test_an_override_that_does_not_parse_says_how_it_is_written(
    override: str, fragment: str
) -> None:
    with pytest.raises(ConfigError, match=fragment):
        config.sweep_points([override])


def test_an_option_of_a_config_dir_is_offered_for_a_typo(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "calls.yaml").write_text("name: calls\n")

    with pytest.raises(ConfigError, match=r"Did you mean 'calls'\? Known: .*calls, .*wa_churn"):
        config.compose("simulate", ["data=call"], tmp_path)


def test_a_config_dir_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config-dir .*nowhere: no such folder"):
        config.compose("simulate", [], tmp_path / "nowhere")


PATHS = [
    "/a b/c.csv",
    "a=b.csv",
    "a(1).csv",
    "it's.csv",
    'say "x".csv',
    "'",
    '"half',
    "back\\slash.csv",
    "a\\'b.csv",
    "ends with \\",
    "C:\\my data\\x.csv",
    "{x}.csv",
    "[x].csv",
    "a:b.csv",
    "a#b.csv",
    "50%.csv",
    "a, b.csv",
    "é,b.csv",
    "naïve.csv",
    "日本.csv",
    "~/x.csv",
    "2024",
    "007",
    "1e5",
    "true",
    "nan",
    " ",
    "$HOME/x y.csv",
    "plain/file-1_2.csv",
]


def test_every_path_key_takes_any_path() -> None:
    path = "2024 b/it's = (1).csv"
    overrides = [f"{key}={path}" for key in config.PATH_KEYS]

    values = config.compose("simulate", overrides)

    data = values["data"]
    found = [data["path"], data["source"]["path"], data["test"]["path"]]
    assert [*found, values["run"]["dir"], values["ledger"]["dir"]] == [path] * 5


def parsed(override: str) -> object:
    """Read one override with Hydra's own parser, the second source of these tests."""
    (found,) = OverridesParser.create().parse_overrides(config.quote_paths([override]))
    return found.value()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_survives_the_override_grammar(path: str) -> None:
    assert parsed(f"data.path={path}") == path


@given(path=st.text(st.sampled_from("a1 ='\"\\()[]{}:#%~é-./"), min_size=1, max_size=12))
@settings(deadline=None, max_examples=60)
def test_any_path_that_is_not_in_quotes_is_quoted_for_the_grammar(path: str) -> None:
    if len(path) > 1 and path[0] in "'\"" and path[-1] == path[0]:
        return  # the user's own quotes are left to the grammar

    assert parsed(f"data.path={path}") == path


@pytest.mark.parametrize(
    "override",
    [
        "sites=3",
        "run.dir=null",
        "data.path='in quotes.csv'",
        "data.path=${run.dir}",
        "data.path=a.csv,b.csv",
        "data.path=",
        "data.name=a b",
        "data.path",
    ],
)
def test_what_is_no_plain_path_is_left_as_it_is(override: str) -> None:
    assert config.quote_paths([override]) == [override]


def test_a_sweep_gives_every_combination_in_order() -> None:
    points = config.sweep_points(["privacy=strict,none", "sites=4", "seed=1,2"])

    assert points == [
        ["privacy=strict", "sites=4", "seed=1"],
        ["privacy=strict", "sites=4", "seed=2"],
        ["privacy=none", "sites=4", "seed=1"],
        ["privacy=none", "sites=4", "seed=2"],
    ]


def test_a_range_and_a_sweep_over_paths_are_understood() -> None:
    assert config.sweep_points(["seed=range(1,4)"]) == [["seed=1"], ["seed=2"], ["seed=3"]]
    assert config.sweep_points(["data.path=a.csv,b.csv"]) == [
        ["data.path=a.csv"],
        ["data.path=b.csv"],
    ]


@pytest.mark.parametrize(
    "override",
    ["run.dir=my runs", "run.dir=2024", "federation.drop=[{site: 2, round: 3}]", "data.path='a,b'"],
)
def test_what_is_no_sweep_is_one_point_as_it_was_given(override: str) -> None:
    assert config.sweep_points([override]) == [[override]]


def test_no_override_is_one_empty_point() -> None:
    assert config.sweep_points([]) == [[]]


def test_a_sweep_that_does_not_parse_is_refused() -> None:
    with pytest.raises(ConfigError, match="^config: "):
        config.sweep_points(["seed=[1"])


def test_every_point_of_a_sweep_over_quoted_paths_composes() -> None:
    points = config.sweep_points(["data.path='a b.csv','c d.csv'"])

    paths = [config.compose("simulate", point)["data"]["path"] for point in points]

    assert paths == ["a b.csv", "c d.csv"]


# What was composed before.


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with one option of its own."""
    (tmp_path / "federation").mkdir()
    text = (config.config_root() / "federation" / "default.yaml").read_text()
    (tmp_path / "federation" / "mine.yaml").write_text(text)
    return tmp_path


def composed_anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what is really composed from now on."""
    seen: list[str] = []
    compose = config._composed

    def counted(name: str, *rest: Any) -> dict[str, Any]:
        seen.append(name)
        return compose(name, *rest)

    monkeypatch.setattr(config, "_COMPOSED", {})
    monkeypatch.setattr(config, "_composed", counted)
    return seen


def test_the_same_settings_are_composed_once_and_cannot_be_spoilt(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = composed_anew(monkeypatch)
    first = config.compose("simulate", ["federation=mine"], mine)
    whole = repr(first)
    first["federation"].clear()

    assert repr(config.compose("simulate", ["federation=mine"], mine)) == whole
    assert seen == ["simulate"]


def test_another_override_file_or_environment_is_composed_anew(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = composed_anew(monkeypatch)
    file = mine / "federation" / "mine.yaml"

    def timeout() -> object:
        return config.compose("simulate", ["federation=mine"], mine)["federation"][
            "timeout_seconds"
        ]

    before = timeout()
    file.write_text(
        file.read_text().replace(f"timeout_seconds: {before}", "timeout_seconds: 7.5", 1)
    )
    assert timeout() == 7.5
    (mine / "privacy").mkdir()
    (mine / "privacy" / "own.yaml").write_text("{}")
    timeout()
    monkeypatch.setenv("XDG_CACHE_HOME", str(mine))
    cache = config.compose("simulate", ["federation=mine"], mine)["cache"]
    assert cache["dir"].startswith(str(mine))
    assert config.compose("simulate", ["federation=mine", "sites=7"], mine)["sites"] == 7
    assert len(seen) == 5


def test_a_file_counts_at_any_depth(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = composed_anew(monkeypatch)
    deep = mine / "a" / "b" / "c" / "d.yaml"
    deep.parent.mkdir(parents=True)
    deep.write_text("{}")

    for text in ("{}", "{x: 1}", "{x: 1}"):
        deep.write_text(text)
        config.compose("simulate", ["federation=mine"], mine)

    assert len(seen) == 2


@pytest.mark.parametrize("what", ["MOST_FILES", "MOST_ENTRIES", "${now:%S}", "${ now:%S}"])
def test_what_cannot_be_compared_is_composed_every_time(
    what: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = composed_anew(monkeypatch)
    overrides = ["federation=mine"]
    if what.startswith("MOST"):
        monkeypatch.setattr(config_inputs, what, 0)
    else:
        overrides.append(f"run.dir='{what}'")

    for _ in range(2):
        config.compose("simulate", overrides, mine)

    assert len(seen) == 2


def test_a_refused_setting_is_refused_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = composed_anew(monkeypatch)

    for _ in range(2):
        with pytest.raises(ConfigError, match="unknown key"):
            config.compose("simulate", ["sitez=3"])

    assert len(seen) == 2


def test_a_file_that_changes_while_it_is_composed_is_not_remembered(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, compose = mine / "federation" / "mine.yaml", config._composed
    before = file.read_text()

    def edited(*arguments: Any) -> dict[str, Any]:
        file.write_text(before.replace("timeout_seconds: ", "timeout_seconds: 1", 1))
        return compose(*arguments)

    monkeypatch.setattr(config, "_COMPOSED", {})
    monkeypatch.setattr(config, "_composed", edited)
    while_edited = config.compose("simulate", ["federation=mine"], mine)
    monkeypatch.setattr(config, "_composed", compose)
    file.write_text(before)

    assert config.compose("simulate", ["federation=mine"], mine) != while_edited
