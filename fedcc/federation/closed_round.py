"""A closed round: the aggregate, and everything that lets a site check it before decrypting."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedcc.errors import ProtocolError
from fedcc.federation.messages import Parcel, bytes_map, hex_map, names


@dataclass(frozen=True, kw_only=True)
class ClosedRound:
    """The outcome of an attempt of which enough sites signed one survivor set and aggregate."""

    epoch: int
    entry: int  # number of the one-time entry that it used
    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    aggregate: list[bytes]
    uploads: Mapping[str, bytes]  # hash of each survivor's header
    commitments: Mapping[str, bytes]  # to each survivor's self-mask seed
    signatures: Mapping[str, bytes]  # of at least the threshold of survivors
    verification: bytes  # by the site that added the uploads again; empty where there is none
    seeds: Mapping[str, bytes]  # of each survivor's self mask
    mask_keys: Mapping[str, bytes]  # recovered, of each site of the cohort that dropped out
    excess: Mapping[str, bytes]  # opened seeds of each survivor's excess noise, joined

    @property
    def survivors(self) -> tuple[str, ...]:
        """The sites whose uploads are in the sum, in the order of the cohort."""
        return tuple(site for site in self.cohort if site in self.uploads)

    def proof_json(self) -> str:
        """Return everything but the aggregate as JSON."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        maps = {name: hex_map(getattr(self, name)) for name in _MAPS}
        parts = {"cohort": self.cohort, "verification": self.verification.hex()}
        return json.dumps({**numbers, **parts, **maps})

    @classmethod
    def from_proof(cls, text: str, aggregate: list[bytes]) -> "ClosedRound":
        """Join a proof and its aggregate.

        Raises:
            ProtocolError: if the proof has another shape.
        """
        try:
            values = json.loads(text)
            return cls(
                epoch=int(values["epoch"]),
                entry=int(values["entry"]),
                round_number=int(values["round_number"]),
                attempt=int(values["attempt"]),
                cohort=names(json.dumps(values["cohort"])),
                aggregate=aggregate,
                uploads=bytes_map(values["uploads"]),
                commitments=bytes_map(values["commitments"]),
                signatures=bytes_map(values["signatures"]),
                verification=bytes.fromhex(values["verification"]),
                seeds=bytes_map(values["seeds"]),
                mask_keys=bytes_map(values["mask_keys"]),
                excess=bytes_map(values["excess"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ProtocolError("a closed round cannot be read") from None


_NUMBERS = ("epoch", "entry", "round_number", "attempt")
_MAPS = ("uploads", "commitments", "signatures", "seeds", "mask_keys", "excess")


def closed_parcel(
    rounds: Sequence[ClosedRound],
    fields: Mapping[str, str | int | bytes],
    chunks: Mapping[str, list[bytes]] | None = None,
) -> Parcel:
    """Return a request that carries closed rounds beside its own fields and chunks."""
    proofs = json.dumps([closed.proof_json() for closed in rounds])
    aggregates = {f"aggregate-{closed.round_number}": closed.aggregate for closed in rounds}
    return Parcel({**fields, "closed": proofs}, {**(chunks or {}), **aggregates})


def closed_parcels(
    rounds: Mapping[str, Sequence[ClosedRound]], fields: Mapping[str, str | int | bytes]
) -> dict[str, Parcel]:
    """Return such a request for each site; sites that are given the same rounds share one.

    Args:
        rounds: for each site.
        fields: of all requests.
    """
    made: dict[tuple[int, ...], Parcel] = {}
    found = {}
    for site, given in rounds.items():
        numbers = tuple(closed.round_number for closed in given)
        if numbers not in made:
            made[numbers] = closed_parcel(given, fields)
        found[site] = made[numbers]
    return found


def closed_rounds(request: Parcel) -> list[ClosedRound]:
    """Read the closed rounds of a request, in the order in which they are to be applied.

    Raises:
        ProtocolError: if they have another shape.
    """
    try:
        proofs = [str(proof) for proof in json.loads(request.text("closed"))]
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("the closed rounds cannot be read") from None
    rounds = [ClosedRound.from_proof(proof, []) for proof in proofs]
    return [
        replace(closed, aggregate=request.chunks.get(f"aggregate-{closed.round_number}", []))
        for closed in rounds
    ]
