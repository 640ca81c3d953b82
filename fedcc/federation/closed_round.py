"""A closed round: the aggregate, and everything that lets a site check it before decrypting."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcc.crypto.masks import MaskEntry
from fedcc.errors import ProtocolError
from fedcc.federation.messages import Parcel, bytes_map, hex_map, names


@dataclass(frozen=True)
class ClosedRound:
    """The outcome of an attempt in which every site of the cohort signed and opened its seed."""

    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    aggregate: list[bytes]
    commitments: Mapping[str, bytes]
    signatures: Mapping[str, bytes]
    seeds: Mapping[str, bytes]

    def entry(self, run: str, session: bytes, neighbours: int) -> MaskEntry:
        """Return the mask entry that this round used."""
        return MaskEntry(run, self.round_number, self.attempt, self.cohort, session, neighbours)

    def proof_json(self) -> str:
        """Return everything but the aggregate as JSON."""
        return json.dumps(
            {
                "round": self.round_number,
                "attempt": self.attempt,
                "cohort": self.cohort,
                "commitments": hex_map(self.commitments),
                "signatures": hex_map(self.signatures),
                "seeds": hex_map(self.seeds),
            }
        )

    @classmethod
    def from_proof(cls, text: str, aggregate: list[bytes]) -> "ClosedRound":
        """Join a proof and its aggregate.

        Raises:
            ProtocolError: if the proof has another shape.
        """
        try:
            values = json.loads(text)
            return cls(
                int(values["round"]),
                int(values["attempt"]),
                names(json.dumps(values["cohort"])),
                aggregate,
                bytes_map(values["commitments"]),
                bytes_map(values["signatures"]),
                bytes_map(values["seeds"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ProtocolError("a closed round cannot be read") from None


def closed_parcel(rounds: Sequence[ClosedRound], fields: Mapping[str, str | int | bytes]) -> Parcel:
    """Return a request that carries closed rounds beside its own fields."""
    proofs = json.dumps([closed.proof_json() for closed in rounds])
    chunks = {f"aggregate-{closed.round_number}": closed.aggregate for closed in rounds}
    return Parcel({**fields, "closed": proofs}, chunks)


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
        ClosedRound.from_proof(proof, request.chunks.get(f"aggregate-{closed.round_number}", []))
        for proof, closed in zip(proofs, rounds, strict=True)
    ]
