"""Model files and checkpoints: safetensors, written whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from fedcc.errors import RecordError
from fedcc.hash_chain import sync_folder
from fedcc.models.update import ModelState


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file under a temporary name and rename it, so that it is never half there.

    Raises:
        OSError: if it cannot be written; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def cut_unfinished_line(path: Path) -> None:
    """Cut what follows the last line end of a file of lines: a full disk left half a line there."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def tensor_bytes(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return a safetensors file as bytes; equal tensors give equal bytes."""
    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    return bytes(save(ordered))


def read_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a model file.

    Raises:
        RecordError: if it is missing or not a safetensors file.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file. Is this a finished run?") from None
    except (SafetensorError, OSError):
        raise RecordError(f"{path} is not a readable safetensors file.") from None


def save_state(path: Path, state: ModelState) -> None:
    """Write a site's copy of the model between rounds (mode 0600)."""
    write_whole(path, state_bytes(state), mode=0o600)


def state_bytes(state: ModelState) -> bytes:
    """Return a copy of the model between rounds; equal copies give equal bytes."""
    counts = np.array([state.tail_count, state.rounds_applied], dtype=np.int64)
    tensors: dict[str, NDArray[np.generic]] = {
        "parameters": state.parameters,
        "velocity": state.velocity,
        "tail_sum": state.tail_sum,
        "counts": counts,
    }
    return tensor_bytes(tensors)


def load_state(path: Path) -> ModelState:
    """Read a checkpoint written by `save_state`.

    Raises:
        RecordError: if it is missing or unreadable.
    """
    return _state(read_tensors(path), str(path))


def state_of(content: bytes, source: str) -> ModelState:
    """Read what `state_bytes` returned.

    Raises:
        RecordError: if it is something else.
    """
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise RecordError(f"{source} is not a checkpoint of fedcc.") from None
    return _state(tensors, source)


def _state(tensors: Mapping[str, NDArray[np.generic]], source: str) -> ModelState:
    try:
        tail_count, rounds_applied = (int(value) for value in tensors["counts"])
        vectors = [tensors[n].astype(np.float64) for n in ("parameters", "velocity", "tail_sum")]
    except (KeyError, ValueError):
        raise RecordError(f"{source} is not a checkpoint of fedcc.") from None
    return ModelState(vectors[0], vectors[1], vectors[2], tail_count, rounds_applied)


def write_json(path: Path, value: object) -> None:
    """Write JSON with an indent, whole or not at all."""
    write_whole(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")
