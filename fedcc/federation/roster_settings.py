"""Organisations of a simulation from a consortium's signed roster.

Which sites belong to one organisation decides how much collusion a plan tolerates, so a plan for a
real consortium takes it from the roster that all its sites trust and not from a hand-written list.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcc.crypto.consortium import read_roster
from fedcc.errors import ConfigError


def fill_organisations(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config with `federation.organisations` as the roster says, if any.

    The roster's sites are played by those of the simulation: by their names if these are the same,
    and otherwise in the roster's order. The config of a run keeps what was filled in, so a resumed
    run does not read the roster again.

    Raises:
        ConfigError: if organisations are given as well, the fingerprint is missing, or the roster
            has another number of sites.
        RecordError, ProtocolError: if the roster cannot be read or is not signed by that admin.
    """
    federation = dict(values.get("federation") or {})
    path, mark = federation.get("roster"), federation.get("admin_fingerprint")
    if path is None:
        return dict(values)
    if federation.get("organisations") is not None:
        raise ConfigError("give federation.roster or federation.organisations, not both.")
    if not isinstance(mark, str):
        raise ConfigError(
            "federation.roster needs federation.admin_fingerprint, as the consortium's admin read "
            "it over the phone: a roster that anybody signed says nothing."
        )
    roster = read_roster(Path(str(path)), mark).organisations()
    if len(roster) != values.get("sites"):
        raise ConfigError(
            f"federation.roster: {path} has {len(roster)} sites, and sites={values.get('sites')}. "
            f"Use sites={len(roster)}."
        )
    names = [f"site-{number}" for number in range(1, len(roster) + 1)]
    if set(names) != set(roster):
        roster = dict(zip(names, roster.values(), strict=True))
    return {**values, "federation": {**federation, "organisations": roster}}
