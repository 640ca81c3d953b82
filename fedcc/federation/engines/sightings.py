"""What the sites of a simulation show their simulator when they live in other processes.

In one process the simulator's hooks see uploads, applied rounds and refusals directly; here the
same things pass through small files below `secrets/` of the run folder. None of it is part of the
protocol: the aggregator's process neither reads nor names this folder. A file is moved into place
whole; it needs no fsync, because nothing that a resumed run takes up depends on it.
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc import errors
from fedcc.errors import FedccError
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.site_parts import AppliedNote, SiteSeconds, UploadNote, Watch
from fedcc.models.update import ModelState
from fedcc.training.checkpoints import read_tensors, tensor_bytes

_APPLIED = re.compile(r"applied-(\d{6})-")


class Sightings:
    """One folder of sightings: sites write, the simulator reads and removes."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched."""
        self._folder = folder

    def begin(self) -> None:
        """Create the folder (mode 0700), without what an earlier session may have left."""
        self.end()
        self._folder.mkdir(mode=0o700)

    def end(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # What sites write.

    def watch(self) -> Watch:
        """Return the hooks that write uploads and applied rounds."""
        return Watch(on_upload=self._show_upload, on_applied=self._show_applied)

    def _show_upload(self, note: UploadNote) -> None:
        tensors: dict[str, NDArray[np.generic]] = {
            "share": note.share,
            "noised": note.noised,
            "update": note.update,
            "place": np.array([note.round_number, note.attempt], dtype=np.int64),
        }
        name = f"upload-{note.round_number:06d}-{note.attempt:06d}-{note.site}"
        self._put(name, tensor_bytes(tensors))

    def _show_applied(self, note: AppliedNote) -> None:
        closed, state = note.closed, note.state
        tensors: dict[str, NDArray[np.generic]] = {
            "gradient_sum": note.gradient_sum,
            "opened_noise": note.opened_noise,
            "parameters": state.parameters,
            "velocity": state.velocity,
            "tail_sum": state.tail_sum,
            "counts": np.array([state.tail_count, state.rounds_applied], dtype=np.int64),
            "proof": np.frombuffer(closed.proof_json().encode(), dtype=np.uint8),
        }
        self._put(f"applied-{closed.round_number:06d}-{note.site}", tensor_bytes(tensors))

    def show_refusal(self, site: str, number: int, error: FedccError) -> None:
        """Write the reason of a site's refusal; `number` counts the site's refusals from 1."""
        content = {"error": type(error).__name__, "text": str(error)}
        self._put(f"refused-{number:06d}-{site}", json.dumps(content).encode())

    def show_seconds(self, site: str, seconds: SiteSeconds) -> None:
        """Write how long a site has spent in cryptography so far."""
        content = {"encrypt": seconds.encrypt, "decrypt": seconds.decrypt}
        self._put(f"seconds-{site}", json.dumps(content).encode())

    def claim(self, process: int) -> bool:
        """Note the one process that holds all sites; False if another one has done so."""
        path = self._folder / "process"
        try:
            with path.open("x") as file:
                file.write(str(process))
        except FileExistsError:
            return path.read_text() == str(process)
        return True

    def _put(self, name: str, content: bytes) -> None:
        partial = self._folder / f".{name}"
        partial.write_bytes(content)
        os.replace(partial, self._folder / name)

    # What the simulator reads.

    def applied_rounds(self) -> list[int]:
        """Return the numbers of the rounds that some site has applied, in order."""
        found = [_APPLIED.match(name) for name in os.listdir(self._folder)]
        return sorted({int(match[1]) for match in found if match is not None})

    def take_uploads(self) -> list[UploadNote]:
        """Return and remove all uploads, ordered by round, attempt and site."""
        notes = []
        for path in sorted(self._folder.glob("upload-*")):
            tensors = read_tensors(path)
            round_number, attempt = (int(value) for value in tensors["place"])
            share, noised = (tensors[name].astype(np.float64) for name in ("share", "noised"))
            update = tensors["update"].astype(np.int64)
            site = path.name.split("-", 3)[3]
            notes.append(UploadNote(site, round_number, attempt, share, noised, update))
            path.unlink()
        return notes

    def take_applied(self, round_number: int) -> AppliedNote:
        """Return what one site showed of an applied round, and remove all sites' files of it.

        The copies of the sites are equal: each checked the same signatures and sum.
        """
        first, *others = sorted(self._folder.glob(f"applied-{round_number:06d}-*"))
        tensors = read_tensors(first)
        closed = ClosedRound.from_proof(tensors["proof"].tobytes().decode(), [])
        tail_count, applied = (int(value) for value in tensors["counts"])
        names = ("gradient_sum", "opened_noise", "parameters", "velocity", "tail_sum")
        gradient_sum, opened_noise, *model = (tensors[name].astype(np.float64) for name in names)
        state = ModelState(model[0], model[1], model[2], tail_count, applied)
        for path in (first, *others):
            path.unlink()
        site = first.name.split("-", 2)[2]
        return AppliedNote(site, closed, gradient_sum, opened_noise, state)

    def take_refusals(self) -> list[FedccError]:
        """Return and remove the refusals, in the order in which they were written."""
        paths = sorted(self._folder.glob("refused-*"), key=lambda path: path.stat().st_mtime_ns)
        refusals = []
        for path in paths:
            content = json.loads(path.read_text())
            refusals.append(named_error(content["error"], content["text"]))
            path.unlink()
        return refusals

    def seconds(self, site: str) -> SiteSeconds:
        """Return the seconds that a site has shown last; zero if it has shown none."""
        path = self._folder / f"seconds-{site}"
        return SiteSeconds(**json.loads(path.read_text())) if path.exists() else SiteSeconds()


def named_error(name: str, text: str) -> FedccError:
    """Return an error of ours by the name of its class; an unknown name is a bug of ours."""
    kind = getattr(errors, name, None)
    known = isinstance(kind, type) and issubclass(kind, FedccError)
    return kind(text) if known and kind is not None else FedccError(text)
