"""The papers of a bundle: bill of materials (CycloneDX), licences, locked requirements."""

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from packaging.utils import canonicalize_name

from fedcc.crypto.statements import when
from fedcc.deployment.wheels import Wheel, needs

SPEC_VERSION = "1.6"
UNKNOWN = "not named by the package"


def bill_of_materials(wheels: Sequence[Wheel], root: Wheel, now: datetime) -> bytes:
    """Return a CycloneDX document of a bundle, with hashes, licences and what needs what.

    Source: CycloneDX 1.6, JSON (ECMA-424).
    """
    others = [one for one in wheels if one.name != root.name]
    held = {one.name: one for one in wheels}
    marks = "".join(sorted(one.sha256 for one in wheels))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'fedcc:{marks}')}",
        "version": 1,
        "metadata": {"timestamp": when(now), "component": _component(root, "application")},
        "components": [_component(one, "library") for one in others],
        "dependencies": [
            {
                "ref": one.purl,
                "dependsOn": sorted(
                    {
                        held[name].purl
                        for name in map(canonicalize_name, _names(one))
                        if name in held
                    }
                ),
            }
            for one in wheels
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _names(wheel: Wheel) -> Iterable[str]:
    return (wanted.name for wanted in needs(wheel.requires, ()))


def _component(wheel: Wheel, kind: str) -> dict[str, object]:
    licences = [] if wheel.licence is None else [{"license": {"name": wheel.licence}}]
    return {
        "type": kind,
        "bom-ref": wheel.purl,
        "name": wheel.name,
        "version": wheel.version,
        "purl": wheel.purl,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": licences,
    }


def licences(wheels: Iterable[Wheel]) -> bytes:
    """Return the licence of each wheel, one a line; what needs a look comes first."""
    wheels = sorted(wheels, key=lambda one: (one.licence is not None, not one.copyleft, one.name))
    lines = ["# name, version, licence as the package itself names it", ""]
    for one in wheels:
        mark = "LOOK  " if one.licence is None or one.copyleft else "      "
        lines.append(f"{mark}{one.name} {one.version}: {one.licence or UNKNOWN}")
    return "\n".join(lines).encode() + b"\n"


def locked(wheels: Iterable[Wheel]) -> bytes:
    """Return a requirements file that admits these wheels and no other bytes."""
    ordered = sorted(wheels, key=lambda one: one.name)
    lines = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}" for one in ordered]
    return "\n".join(lines).encode() + b"\n"
