"""Composing the YAML of `configs/` with Hydra and turning it into frozen dataclasses, once.

`compose` returns plain dicts and lists; `build` checks them against a dataclass and names the key,
the allowed values and the nearest match of a mistyped one. No default value lives here: defaults
stand in `configs/` alone, which also ships inside the wheel.
"""

import copy
import dataclasses
import difflib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fedcc.config_inputs import inputs_hash
from fedcc.errors import ConfigError

Schema = TypeVar("Schema")

PACKAGE = Path(__file__).resolve().parent
PATH_KEYS = (
    "data.path",
    "data.source.path",
    "data.test.path",
    "run.dir",
    "ledger.dir",
    "cache.dir",
    "site.policy",
    "federation.roster",
)
_SAMPLER = (
    "a sampler that prefers some rows is refused: they would take part more often than by the "
    "sample_rate that epsilon is computed from. Use privacy.sample_rate, one coin for every unit, "
    "or null for all rows."
)
_BATCH_NORM = (
    "batch norm is refused: it mixes the examples of a batch, so clipping the gradient of each "
    "bounds nothing and epsilon would be false. Leave it out."
)
REFUSED_KEYS = {
    "sampler": _SAMPLER,
    "weighted_sampler": _SAMPLER,
    "sample_weights": _SAMPLER,
    "oversample": _SAMPLER,
    "batch_norm": _BATCH_NORM,
    "batchnorm": _BATCH_NORM,
}
"""Keys that fedcc leaves out on purpose, by their last word, and why."""
_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")  # the wording of Hydra


def config_root() -> Path:
    """Return the checkout's `configs/` for an editable install, else the wheel's own copy."""
    checkout = PACKAGE.parent / "configs"
    if (PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    return PACKAGE / "_configs"


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `" Did you mean 'x'?"` for a close match of `word`, else an empty string."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""


def _flat_keys(values: object, prefix: str = "") -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield f"{prefix}{key}"
            yield from _flat_keys(value, f"{prefix}{key}.")


def _quoted(text: str) -> str:
    """Quote a text for Hydra's grammar, where a backslash escapes only before a quote."""
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def quote_paths(overrides: Sequence[str]) -> list[str]:
    """Quote the values of path keys, so that any path (`a b.csv`, `2024`, `é`) survives Hydra.

    `null`, an interpolation, a value in quotes and a sweep such as `a.csv,b.csv` stay as they are.
    """
    quoted = []
    for override in overrides:
        key, equals, value = override.partition("=")
        sweep = "," in value and re.fullmatch(r"[\w./,-]*", value, re.ASCII)
        bare = sweep or re.fullmatch(r"""(['"]).*\1|\$\{.*|null|""", value, re.DOTALL)
        if equals and key.lstrip("+") in PATH_KEYS and not bare:
            value = _quoted(value)
        quoted.append(f"{key}{equals}{value}")
    return quoted


def sweep_points(overrides: Sequence[str]) -> list[list[str]]:
    """Return every combination of a sweep such as `privacy=strict,balanced seed=1,2`.

    Raises:
        ConfigError: if an override does not parse.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    points: list[list[str]] = [[]]
    try:
        parsed = OverridesParser.create().parse_overrides(quote_paths(overrides))
        for as_given, override in zip(overrides, parsed, strict=True):
            options = [as_given]
            if override.is_sweep_override():
                key = override.get_key_element()
                options = [f"{key}={value}" for value in override.sweep_string_iterator()]
            points = [[*point, option] for point in points for option in options]
    except HydraException as error:
        raise ConfigError(f"config: {_explain(error, [])}") from error
    return points


def compose(
    name: str, overrides: Sequence[str] = (), config_dir: Path | None = None
) -> dict[str, Any]:
    """Compose `configs/<name>.yaml` with the user's overrides into a plain, resolved dict.

    What was composed once is composed again only if an override, the content of a file in
    `configs/` or `config_dir`, or the environment is another.

    Args:
        name: a primary config, for instance `"simulate"`.
        overrides: Hydra overrides, `key=value` or `group=option`.
        config_dir: a folder of the user's own options; it adds to `configs/`.

    Raises:
        ConfigError: for an unknown key, option or file, with the nearest match.
    """
    folders = (config_root(), *([] if config_dir is None else [config_dir]))
    given = inputs_hash(name, overrides, folders)
    if given is None:
        return _composed(name, overrides, config_dir)
    if given in _COMPOSED:
        return copy.deepcopy(_COMPOSED[given])
    values = _composed(name, overrides, config_dir)
    if inputs_hash(name, overrides, folders) == given:  # no file changed meanwhile
        if len(_COMPOSED) >= MOST_COMPOSED:
            _COMPOSED.clear()
        _COMPOSED[given] = copy.deepcopy(values)
    return values


MOST_COMPOSED = 100  # that are remembered
_COMPOSED: dict[bytes, dict[str, Any]] = {}


def _composed(name: str, overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    extra = []
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: no such folder.")
        extra = [f"hydra.searchpath=[{_quoted(f'file://{config_dir.resolve()}')}]"]
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_root()), version_base="1.3"):
            try:
                config = hydra.compose(name, overrides=[*quote_paths(overrides), *extra])
            except HydraException as error:
                known: list[str] = []
                if _UNKNOWN_KEY.search(str(error)):
                    known = list(_flat_keys(OmegaConf.to_container(hydra.compose(name))))
                raise ConfigError(f"config: {_explain(error, known)}") from error
        values = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, HydraException, YAMLError, ValueError) as error:
        raise ConfigError(f"config: {_reason(error, config_dir or config_root())}") from error
    assert_dict = dict(values) if isinstance(values, dict) else {}
    return {str(key): value for key, value in assert_dict.items()}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def _reason(error: BaseException, folder: Path) -> str:
    """Say in one line why nothing could be composed, and what mends it."""
    from omegaconf.errors import GrammarParseError, InterpolationResolutionError
    from yaml import YAMLError

    if isinstance(error, YAMLError):
        return _yaml_problem(error)
    if isinstance(error, UnicodeDecodeError):
        return f"a YAML file in {folder} is not UTF-8 text."
    if isinstance(error, InterpolationResolutionError | GrammarParseError):
        return rf"{_one_line(error)}. For a text that holds '${{' write '\${{'."
    return _one_line(error)


def _yaml_problem(error: BaseException) -> str:
    """Say where a YAML file is broken, and what the parser says of it."""
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else getattr(error, "name", "a file")
    problem = getattr(error, "problem", None) or getattr(error, "reason", "")
    return f"{place}: not valid YAML ({problem}). A text with signs in it needs quotes."


def _explain(error: BaseException, known: Sequence[str]) -> str:
    """Shorten Hydra's message for a key or option that does not exist; add the nearest match."""
    option = re.search(
        r"Could not find '(.*)'\s+Available options in '(.*)':\n(.*)\nConfig search path",
        str(error),
        re.DOTALL,
    )
    if option is not None:
        path, group, names = option.groups()
        name = path.removeprefix(f"{group}/")
        options = [line.strip() for line in names.splitlines() if not line.strip().startswith("_")]
        return (
            f"there is no {group}={name}.{nearest(name, options)} Known: {', '.join(options)}. "
            f"{group}=NAME with --config-dir DIR reads DIR/{group}/NAME.yaml."
        )
    text = _one_line(error)
    match = _UNKNOWN_KEY.search(text)
    if match is None:
        told = text.partition(" See https:")[0].partition(" Config search path")[0]
        return f"{told.rstrip('.')}{_remedy(text)}"
    key = match.group(1)
    if key.rpartition(".")[2] in REFUSED_KEYS:
        return f"{key}: {REFUSED_KEYS[key.rpartition('.')[2]]}"
    near = nearest(key, known) or nearest(key.rpartition(".")[2], known)
    return f"unknown key '{key}'.{near} `fedcc simulate --help` lists the keys."


def _remedy(text: str) -> str:
    """Return what mends one of the faults that Hydra and OmegaConf word for programmers."""
    if "missing EQUAL" in text:
        return ". Settings are written KEY=VALUE without spaces around the sign: sites=5."
    if "Cannot merge DictConfig with ListConfig" in text:
        return ". This file must hold `key: value` lines, not a list."
    if "raised while composing" in text or "Could not load" in text:
        return ". Name only files that exist in its `defaults:`, or leave `defaults:` out."
    if "no viable alternative" in text or "mismatched input" in text:
        return ". A value with commas, brackets or spaces needs quotes: 'key=\"a, b\"'."
    return ""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file outside `configs/` holds; a key given twice is refused.

    Raises:
        ConfigError: if it cannot be read or is no mapping.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except YAMLError as error:
        raise ConfigError(_yaml_problem(error)) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or 'no such file'}.") from error
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path} is not a readable YAML file in UTF-8.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold `key: value` lines, not a list.")
    return {str(key): value for key, value in values.items()}


def build(schema: type[Schema], values: object, where: str) -> Schema:
    """Turn plain values into a frozen dataclass, recursively, and check every key and type.

    Args:
        schema: a dataclass; nested dataclasses, `Literal`, `X | None`, `tuple[X, ...]` and
            `dict[str, X]` are understood.
        values: what YAML gave, usually a mapping.
        where: the name of the mapping in messages, for instance `"privacy"`.

    Raises:
        ConfigError: names the key, what was expected and the nearest match.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping of keys, got {_shape(values)}.")
    hints = get_type_hints(schema)
    fields = {field.name: field for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            if key in REFUSED_KEYS:
                raise ConfigError(f"{where}.{key}: {REFUSED_KEYS[key]}")
            near = nearest(str(key), list(fields))
            raise ConfigError(
                f"{where}: unknown key '{key}'.{near} Known keys: {', '.join(sorted(fields))}."
            )
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = convert(hints[name], values[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: the key '{name}' is missing.")
    try:
        return schema(**arguments)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _shape(value: object) -> str:
    """Describe a value of the configuration for a message."""
    return "nothing" if value is None else repr(value)[:80]


def convert(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its type; integers become floats where a float is expected."""
    if value == "???":
        raise ConfigError(f"{where} must be given, for instance {where}=VALUE.")
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(inner, value, where)
    if origin is Literal:
        if value in inner and not isinstance(value, bool):
            return inner[inner.index(value)]
        names = ", ".join(map(str, inner))
        near = nearest(str(value), [str(option) for option in inner])
        raise ConfigError(f"{where} must be one of {names}; got {_shape(value)}.{near}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {_shape(value)}.")
        return tuple(convert(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping, got {_shape(value)}.")
        return {
            convert(inner[0], key, f"{where}, a key"): convert(inner[1], item, f"{where}.{key}")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    lists = [option for option in rest if get_origin(option) is tuple]
    others = [option for option in rest if option not in lists]
    errors: list[ConfigError] = []
    # The first message is shown, so the options of the value's own shape come first.
    for option in [*lists, *others] if isinstance(value, list) else [*others, *lists]:
        try:
            return convert(option, value, where)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, bool) and hint is str:
        raise ConfigError(
            f"{where}: got a yes/no value; YAML reads Yes, No, On and Off without quotes as one. "
            'Put it in quotes, for instance "No".'
        )
    wrong_bool = isinstance(value, bool) and hint in (int, float)
    if hint is float and isinstance(value, int) and not wrong_bool:
        return float(value)
    if hint is Any or (isinstance(hint, type) and isinstance(value, hint) and not wrong_bool):
        return value
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    remedy = " Put it in quotes." if hint is str and isinstance(value, int | float) else ""
    raise ConfigError(f"{where} must be {names.get(hint, hint)}; got {_shape(value)}.{remedy}")
