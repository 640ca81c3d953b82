"""What the aggregator knows and does between messages: it checks, adds and remembers ciphertexts.

Nothing reachable from here is a key or a model. The aggregate of each closed round is kept on disk
until every site has applied it, so that an interrupted run can be resumed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedcc.crypto.envelopes import Envelope, Header, open_upload
from fedcc.crypto.keys import Advert
from fedcc.crypto.masks import MaskEntry
from fedcc.errors import ProtocolError, RecordError
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.kept_uploads import KeptUploads
from fedcc.federation.membership import session_hash
from fedcc.federation.messages import Parcel, roster_from_json, roster_to_json
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import AggregateSum, expected_upload
from fedcc.training.checkpoints import read_tensors, tensor_bytes, write_json, write_whole


class RoundStore:
    """Closed rounds and the count of attempts, on the aggregator's disk."""

    def __init__(self, folder: Path) -> None:
        """Open or create the folder and read what an earlier part of the run left.

        Raises:
            RecordError: if a file is damaged.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.closed: dict[int, ClosedRound] = {}
        self.attempts_used = 0
        self.last_closed = 0
        self.epochs_used = 0
        self.roster: tuple[Advert, ...] = ()  # of the run, once all its sites have joined
        self.parts: dict[int, tuple[str, ...]] = {}  # epoch to the sites that began it
        self.holds: dict[str, int] = {}  # last round that each site is known to hold
        self._place = (0, 0)  # round and attempt that were started last
        self._read()

    def _read(self) -> None:
        state = self._folder / "state.json"
        try:
            if state.exists():
                values = json.loads(state.read_text())
                self.attempts_used = int(values["attempts_used"])
                self.last_closed = int(values["last_closed"])
                self.epochs_used = int(values["epochs_used"])
                self._place = (int(values["round"]), int(values["attempt"]))
                self.parts = {int(n): tuple(sites) for n, sites in values["parts"].items()}
                self.holds = {site: int(number) for site, number in values["holds"].items()}
            roster = self._folder / "roster.json"
            if roster.exists():
                self.roster = roster_from_json(roster.read_text())
            for path in sorted(self._folder.glob("round-*.json")):
                number = int(path.stem.removeprefix("round-"))
                tensors = read_tensors(path.with_suffix(".safetensors"))
                chunks = [tensors[name].tobytes() for name in sorted(tensors)]
                self.closed[number] = ClosedRound.from_proof(path.read_text(), chunks)
                self.last_closed = max(self.last_closed, number)
        except (ValueError, KeyError, TypeError, AttributeError, ProtocolError):
            raise RecordError(f"{self._folder} does not hold the state of a run.") from None

    def keep_roster(self, roster: tuple[Advert, ...]) -> None:
        """Keep who takes part in the run; from now on it can go on without some of them."""
        write_whole(self._folder / "roster.json", roster_to_json(roster).encode())
        self.roster = roster

    def begin_epoch(self, number: int, sites: tuple[str, ...]) -> None:
        """Note which sites can apply the rounds that will be closed in an epoch."""
        oldest = min((closed.epoch for closed in self.closed.values()), default=number)
        self.parts = {n: names for n, names in self.parts.items() if n >= oldest}
        self.parts[number] = sites
        self._write()

    def note_holds(self, applied: Mapping[str, int]) -> None:
        """Note the last round that each site holds."""
        self.holds = dict(applied)
        self._write()

    def start_epoch(self) -> int:
        """Count an epoch, on disk before any message of it leaves; return its number."""
        self.epochs_used += 1
        self._write()
        return self.epochs_used

    def next_attempt(self, round_number: int) -> int:
        """Return the number, within its round, of the attempt that would start now."""
        last_round, last_attempt = self._place
        return last_attempt + 1 if last_round == round_number else 1

    def start_attempt(self, round_number: int) -> tuple[int, int]:
        """Count an attempt, on disk before any message of it leaves.

        Returns:
            Its number within the round, and within the run: that of the entry that it uses.
        """
        attempt = self.next_attempt(round_number)
        self.attempts_used += 1
        self._place = (round_number, attempt)
        self._write()
        return attempt, self.attempts_used

    def _write(self) -> None:
        counts: dict[str, object] = {
            "attempts_used": self.attempts_used,
            "last_closed": self.last_closed,
            "epochs_used": self.epochs_used,
            "round": self._place[0],
            "attempt": self._place[1],
            "parts": self.parts,
            "holds": self.holds,
        }
        write_json(self._folder / "state.json", counts)

    def close_round(self, closed: ClosedRound) -> None:
        """Keep a closed round; the proof is written last and makes it count."""
        stem = self._folder / f"round-{closed.round_number:06d}"
        tensors = {
            f"{index:06d}": np.frombuffer(chunk, dtype=np.uint8)
            for index, chunk in enumerate(closed.aggregate)
        }
        write_whole(stem.with_suffix(".safetensors"), tensor_bytes(tensors))
        write_whole(stem.with_suffix(".json"), closed.proof_json().encode())
        self.closed[closed.round_number] = closed
        self.last_closed = closed.round_number

    def room_for_uploads(self) -> KeptUploads:
        """Return an empty place for the uploads of one attempt."""
        return KeptUploads(self._folder)

    def forget(self, up_to: int) -> None:
        """Remove rounds that every site has applied."""
        for number in [number for number in self.closed if number <= up_to]:
            del self.closed[number]
            stem = self._folder / f"round-{number:06d}"
            stem.with_suffix(".json").unlink(missing_ok=True)
            stem.with_suffix(".safetensors").unlink(missing_ok=True)


@dataclass
class Aggregator:
    """The aggregator's whole state during a run."""

    plan: RunPlan
    store: RoundStore
    roster: tuple[Advert, ...]
    nodes: dict[str, int]  # Flower node of each site that joined in this session
    applied: dict[str, int]  # last round that each site of the roster is known to have applied
    present: set[str]  # sites that answered last
    record: EpochRecord | None = None  # of the epoch that has begun; without its key
    epoch_from: int = 1  # the first round of that epoch
    took_part: set[str] = field(default_factory=set)  # members of any epoch of this session
    declined: set[str] = field(default_factory=set)  # sites that answered, and began no epoch
    adder: AggregateSum = field(init=False)
    seconds_adding: float = 0.0
    session: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Fix the hash of roster and plan."""
        self.session = session_hash(self.roster, self.plan)

    @property
    def identities(self) -> dict[str, bytes]:
        """Identity key of each site."""
        return {advert.site: advert.identity for advert in self.roster}

    @property
    def epoch(self) -> EpochRecord:
        """The epoch that has begun.

        Raises:
            ProtocolError: if none has.
        """
        if self.record is None:
            raise ProtocolError("no epoch has begun")
        return self.record

    def missing_rounds(self, site: str) -> list[ClosedRound]:
        """Return the closed rounds that a site has not applied yet, in order."""
        after = self.applied[site]
        return [self.store.closed[n] for n in sorted(self.store.closed) if n > after]

    def can_follow(self, site: str) -> bool:
        """Tell whether a site can apply all that it misses by itself, from what is kept here."""
        wanted = range(self.applied[site] + 1, self.store.last_closed + 1)
        closed = [self.store.closed.get(number) for number in wanted]
        return all(
            one is not None and site in self.store.parts.get(one.epoch, ()) for one in closed
        )

    def take_upload(self, site: str, entry: MaskEntry, reply: Parcel) -> tuple[Header, Envelope]:
        """Check an upload's envelope completely; no ciphertext is parsed.

        Raises:
            EnvelopeError: says no more than that.
            ProtocolError: if a part is missing or of the wrong type.
        """
        envelope = Envelope(reply.raw("header"), reply.raw("signature"), reply.parts("update"))
        expected = expected_upload(self.plan, site, entry, self.epoch.key_id)
        header = open_upload(envelope, self.identities[site], expected)
        self.applied[site] = max(self.applied[site], header.rounds_applied)
        return header, envelope

    def close(self, closed: ClosedRound) -> None:
        """Keep a closed round, and forget those that every site has applied."""
        self.store.close_round(closed)
        self.store.forget(min(self.applied[site] for site in self.took_part))
