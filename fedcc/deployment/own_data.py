"""The data YAMLs that a site names in its own file; no data is opened."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from fedcc import config
from fedcc.data.partition import PartitionSettings
from fedcc.data.spec import DataSpec
from fedcc.deployment.site_file import SiteFile

# Keys of a composed data YAML that say how a simulation deals out rows, or where a file lies.
LOCAL_KEYS = tuple(field.name for field in fields(PartitionSettings))


def data_spec(values: Mapping[str, Any]) -> DataSpec:
    """Return the data YAML in composed settings, without what a simulation does with it.

    Raises:
        ConfigError: if it is none.
    """
    kept = {key: value for key, value in values.items() if key not in LOCAL_KEYS}
    return config.build(DataSpec, kept, "data")


def own_data(values: SiteFile, folder: Path) -> dict[str, DataSpec]:
    """Return the data YAMLs that a site's file names, by name.

    Raises:
        ConfigError: if one cannot be composed.
    """
    found = {}
    for one in values.data:
        extra = None if one.config_dir is None else folder / one.config_dir
        composed = config.compose("simulate", [f"data={one.name}"], extra)
        found[one.name] = data_spec(composed["data"])
    return found
