"""Tiny wheels, written by hand, for tests of bundles."""

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    licence: str | None = "License-Expression: MIT",
    code: str = "",
) -> Path:
    """Write a wheel of one module (PEP 427) and return its path."""
    headers = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    headers += [licence] if licence else []
    headers += [f"Requires-Dist: {text}" for text in requires]
    place = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code or f"NAME = {name!r}\n",
        f"{place}/METADATA": "\n".join(headers) + "\n",
        f"{place}/WHEEL": "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.append(f"{path},sha256={digest.decode()},{len(text.encode())}")
    files[f"{place}/RECORD"] = "\n".join([*record, f"{place}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
