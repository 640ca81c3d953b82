"""How an update is protected on its way and read back from the sum, for each scheme of the plan."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.contexts import AggregatorCipher, RunningSum, SiteCipher
from fedcc.crypto.envelopes import Expected
from fedcc.crypto.masks import MaskEntry, Slots, add_mod, subtract_mod
from fedcc.crypto.packing import pack, slot_count, unpack
from fedcc.crypto.parameters import (
    MODULI,
    ciphertext_bytes,
    parameter_fingerprint,
    parameter_line,
    slots_per_chunk,
)
from fedcc.errors import EnvelopeError
from fedcc.federation.run_plan import RunPlan


def chunk_count(plan: RunPlan) -> int:
    """Return how many byte chunks one upload has."""
    if plan.scheme == "none":
        return 1
    values = slot_count(plan.n_parameters, plan.lanes) if plan.masked else plan.n_parameters
    return -(-values // slots_per_chunk(plan.scheme))


def chunk_bytes(plan: RunPlan, *, aggregate: bool) -> tuple[int, int]:
    """Return the least and largest length of a chunk."""
    if plan.scheme == "none":
        return 8 * plan.n_parameters, 8 * plan.n_parameters
    return ciphertext_bytes(plan.scheme, aggregate=aggregate, seeded=plan.seeded)


def expected_upload(plan: RunPlan, site: str, entry: MaskEntry, key_name: str) -> Expected:
    """Return what the header of an upload must say; both sides derive it from the plan."""
    return Expected(
        run=plan.run,
        round_number=entry.round_number,
        attempt=entry.attempt,
        entry=entry.number,
        site=site,
        cohort_hash=hashlib.sha256(json.dumps(entry.cohort).encode()).hexdigest(),
        session=entry.session.hex(),
        key_id=key_name,
        parameters=parameter_fingerprint(plan.scheme),
        n_parameters=plan.n_parameters,
        n_chunks=chunk_count(plan),
        chunk_bytes=chunk_bytes(plan, aggregate=False),
    )


class UpdateCipher:
    """A site's side: integers to chunks, and the aggregate back to a gradient sum."""

    def __init__(self, plan: RunPlan, epoch_key: bytes | None) -> None:
        """Load the epoch key where the plan's scheme has one.

        Raises:
            EnvelopeError: if the key is missing or cannot be used.
        """
        self._plan = plan
        self._cipher: SiteCipher | None = None
        if plan.scheme != "none":
            if epoch_key is None:
                raise EnvelopeError("the epoch key cannot be used")
            self._cipher = SiteCipher(plan.scheme, epoch_key, seeded=plan.seeded)

    def protect(self, update: NDArray[np.int64], masks: Slots | None) -> list[bytes]:
        """Return the chunks that leave the site.

        Args:
            update: noised and rounded sum, shape `(n_parameters,)`.
            masks: one per slot, where the plan's scheme has masks.
        """
        plan = self._plan
        if self._cipher is None:
            return [update.astype("<i8").tobytes()]
        if not plan.masked:
            return self._cipher.encrypt(update / plan.steps_per_unit)
        if masks is None:
            raise ValueError("an upload of this scheme must be masked")
        slots = pack(update, plan.lanes, plan.scheme)
        return self._cipher.encrypt(add_mod(slots, masks, modulus=MODULI[plan.scheme]))

    def reveal(self, aggregate: Sequence[bytes], masks: Slots | None) -> NDArray[np.float64]:
        """Return the sum over the survivors in gradient units, shape `(n_parameters,)`.

        Args:
            aggregate: chunks of the sum.
            masks: what the sum still carries, where the plan's scheme has masks.

        Raises:
            EnvelopeError: whatever is wrong, the message is the same.
        """
        plan = self._plan
        low, high = chunk_bytes(plan, aggregate=True)
        sizes_fit = all(low <= len(chunk) <= high for chunk in aggregate)
        if len(aggregate) != chunk_count(plan) or not sizes_fit:
            raise EnvelopeError("an aggregate was refused")
        if self._cipher is None:
            total = np.frombuffer(aggregate[0], dtype="<i8").astype(np.int64)
        elif not plan.masked:
            return self._cipher.decrypt(aggregate, plan.n_parameters).astype(np.float64)
        elif masks is None:
            raise ValueError("the masks of this sum are missing")
        else:
            slots = self._cipher.decrypt(aggregate, masks.size).astype(np.uint64)
            unmasked = subtract_mod(slots, masks, modulus=MODULI[plan.scheme])
            total = unpack(unmasked, plan.n_parameters, plan.lanes, plan.scheme)
        return total / plan.steps_per_unit


def slots_of(plan: RunPlan) -> int:
    """Return how many slots one update takes."""
    return slot_count(plan.n_parameters, plan.lanes)


class AggregateSum:
    """The aggregator's side: checks and adds what it cannot read."""

    def __init__(self, plan: RunPlan, parameters: bytes | None) -> None:
        """Take up HE parameters, which must be those of the plan's scheme and hold no key.

        Raises:
            EnvelopeError: if they are missing, hold a key or are others.
        """
        self._cipher: AggregatorCipher | None = None
        if plan.scheme != "none":
            if parameters != parameter_line(plan.scheme):
                raise EnvelopeError("the HE parameters are not those of the plan")
            self._cipher = AggregatorCipher(parameters, seeded=plan.seeded)

    def start(self) -> "RunningSum | PlainSum":
        """Return an empty sum, to which uploads are added as they come."""
        return self._cipher.start() if self._cipher is not None else PlainSum()

    def add(self, uploads: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return the sum of uploads.

        Raises:
            EnvelopeError: if one is unsound.
        """
        total = self.start()
        for chunks in uploads:
            total.take(chunks)
        return total.chunks()


class PlainSum:
    """The sum of uploads that nothing protects."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._total: NDArray[np.int64] | None = None

    def take(self, chunks: Sequence[bytes]) -> None:
        """Add an upload; its length was checked with its header."""
        values = np.frombuffer(chunks[0], dtype="<i8").astype(np.int64)
        self._total = values if self._total is None else self._total + values

    def chunks(self) -> list[bytes]:
        """Return the sum as bytes."""
        total = np.zeros(0, dtype=np.int64) if self._total is None else self._total
        return [total.astype("<i8").tobytes()]
