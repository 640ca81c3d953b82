"""What travels between aggregator and sites, as plain fields and byte chunks in Flower records.

Small public values go into one `ConfigRecord`. Byte chunks go into `ArrayRecord`s: chunks of one
length, as ciphertexts are, into one array of shape (chunks, bytes), since Flower takes tens of
microseconds an array; others into one array each. The wire contract (`SITE_FIELDS`) names every
field that a site may send; the aggregator refuses a reply that holds anything else and logs each
value that reached it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedcc.crypto.keys import Advert
from fedcc.errors import ProtocolError
from fedcc.training.checkpoints import cut_unfinished_line

Value = str | int | bytes
Exchange = Literal[
    "join",
    "advertise",
    "share",
    "deal",
    "begin",
    "upload",
    "sign",
    "verify",
    "unmask",
    "recover",
    "finish",
    "behind",
    "vouch",
    "restore",
    "verdict",
    "release",
]
Kind = Literal["ciphertext", "plaintext", "public", "metric"]

SETUP: tuple[Exchange, ...] = ("join", "advertise", "share", "deal", "begin")
ROUND: tuple[Exchange, ...] = ("upload", "sign", "verify", "unmask", "recover")
CATCH_UP: tuple[Exchange, ...] = ("behind", "vouch", "restore")
RELEASE: tuple[Exchange, ...] = ("verdict", "release")  # of installations alone
MAX_CHUNKS = 1 << 20  # of a list; those of no bytes would otherwise cost nothing to send
UNAVAILABLE = "unavailable"  # the one code of every refusal

SITE_FIELDS: Mapping[Exchange, frozenset[str]] = {
    "join": frozenset({"advert", "rounds_applied", "epoch"}),
    "advertise": frozenset({"advert", "rounds_applied"}),
    "share": frozenset({"shares"}),
    "deal": frozenset({"parameters", "key_id", "sealed_keys"}),
    "begin": frozenset({"key_id"}),
    "upload": frozenset({"header", "signature", "update"}),
    "sign": frozenset({"signature"}),
    "verify": frozenset({"signature"}),
    "unmask": frozenset({"seed", "excess", "shares"}),
    "recover": frozenset({"shares"}),
    "finish": frozenset({"rounds_applied"}),
    "behind": frozenset({"request"}),
    "vouch": frozenset({"channel", "sealed_state"}),
    "restore": frozenset({"rounds_applied"}),
    "verdict": frozenset({"verdict"}),
    "release": frozenset({"released"}),
}


@dataclass(frozen=True)
class Parcel:
    """The content of one message: named small values and named lists of byte chunks."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    chunks: Mapping[str, list[bytes]] = field(default_factory=dict)

    def to_record(self) -> RecordDict:
        """Return Flower records."""
        record = RecordDict({"fields": ConfigRecord(dict(self.fields))})
        for name, chunks in self.chunks.items():
            record[f"chunks.{name}"] = _to_array_record(chunks)
        return record

    @classmethod
    def from_record(cls, record: RecordDict) -> "Parcel":
        """Read Flower records.

        Raises:
            ProtocolError: if they have another shape.
        """
        fields: dict[str, Value] = {}
        chunks: dict[str, list[bytes]] = {}
        for name, part in record.items():
            if isinstance(part, ConfigRecord) and name == "fields":
                for key, value in part.items():
                    if isinstance(value, bool) or not isinstance(value, str | int | bytes):
                        raise ProtocolError("a message holds a field of an unknown type")
                    fields[key] = value
            elif isinstance(part, ArrayRecord) and name.startswith("chunks."):
                chunks[name.removeprefix("chunks.")] = _from_array_record(part)
            else:
                raise ProtocolError("a message holds an unknown record")
        return cls(fields, chunks)

    def text(self, name: str) -> str:
        """Return a text field.

        Raises:
            ProtocolError: if it is missing or not text.
        """
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise ProtocolError(f"a message lacks the text '{name}'")
        return value

    def number(self, name: str) -> int:
        """Return a whole number >= 0.

        Raises:
            ProtocolError: if it is missing or not one.
        """
        value = self.fields.get(name)
        if not isinstance(value, int) or value < 0:
            raise ProtocolError(f"a message lacks the number '{name}'")
        return value

    def raw(self, name: str) -> bytes:
        """Return a bytes field.

        Raises:
            ProtocolError: if it is missing or not bytes.
        """
        value = self.fields.get(name)
        if not isinstance(value, bytes):
            raise ProtocolError(f"a message lacks the bytes '{name}'")
        return value

    def parts(self, name: str) -> list[bytes]:
        """Return a list of byte chunks.

        Raises:
            ProtocolError: if it is missing, or a field has its name.
        """
        if name not in self.chunks:
            raise ProtocolError(f"a message lacks the chunks '{name}'")
        return self.chunks[name]

    @property
    def n_bytes(self) -> int:
        """Size of all values, without Flower's own framing."""
        small = sum(len(_as_bytes(value)) for value in self.fields.values())
        return small + sum(len(chunk) for chunks in self.chunks.values() for chunk in chunks)


def _to_array_record(chunks: Sequence[bytes]) -> ArrayRecord:
    sizes = {len(chunk) for chunk in chunks}
    if len(sizes) == 1:
        return ArrayRecord({"joined": _array((len(chunks), *sizes), b"".join(chunks))})
    return ArrayRecord({f"{i:06d}": _array((len(c),), c) for i, c in enumerate(chunks)})


def _array(shape: tuple[int, ...], content: bytes) -> Array:
    return Array("uint8", shape, "fedcc.bytes", content)


def _from_array_record(record: ArrayRecord) -> list[bytes]:
    """Return the chunks of a list; a peer chose names, shapes and content.

    Raises:
        ProtocolError: if they do not fit each other, or there are too many.
    """
    if list(record) != ["joined"]:
        return [array.data for _, array in sorted(record.items())]
    data, shape = record["joined"].data, record["joined"].shape
    if len(shape) != 2 or not 0 <= shape[0] <= MAX_CHUNKS or len(data) != shape[0] * shape[1]:
        raise ProtocolError("a message holds chunks of an unknown shape")
    count, size = shape
    return [data[i * size : (i + 1) * size] for i in range(count)]


def _as_bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def check_reply(exchange: Exchange, parcel: Parcel) -> None:
    """Refuse a reply that holds anything but what the wire contract names.

    Raises:
        ProtocolError: without naming what was found.
    """
    if {*parcel.fields, *parcel.chunks} != SITE_FIELDS[exchange]:
        raise ProtocolError(f"a reply to '{exchange}' does not keep the wire contract")


class WireLog:
    """Writes `wire.jsonl`: one line per value that reached the aggregator."""

    def __init__(self, path: Path, *, update_kind: Kind) -> None:
        """Open the log for appending.

        Args:
            path: of the log.
            update_kind: what an upload's chunks are in this run, `ciphertext` or `plaintext`.
        """
        cut_unfinished_line(path)
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._update_kind = update_kind

    def note(self, site: str, round_number: int, exchange: Exchange, parcel: Parcel) -> None:
        """Log every value of a reply, known or not, before it is checked."""
        for name, value in parcel.fields.items():
            self._line(site, round_number, f"{exchange}.{name}", len(_as_bytes(value)), "public")
        for name, chunks in parcel.chunks.items():
            sealed = name in ("sealed_keys", "shares", "sealed_state")
            kind: Kind = "ciphertext" if sealed else self._update_kind
            for index, chunk in enumerate(chunks):
                field_name = f"{exchange}.{name}.{index}"
                self._line(site, round_number, field_name, len(chunk), kind)

    def _line(self, site: str, round_number: int, name: str, size: int, kind: Kind) -> None:
        line = {"site": site, "round": round_number, "field": name, "bytes": size, "kind": kind}
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Flush and close the log."""
        self._file.close()


def roster_to_json(roster: tuple[Advert, ...]) -> str:
    """Return adverts as JSON."""
    return f"[{', '.join(advert_to_json(advert) for advert in roster)}]"


def roster_from_json(text: str) -> tuple[Advert, ...]:
    """Read adverts.

    Raises:
        ProtocolError: if the text has another shape.
    """
    try:
        return tuple(_advert(parts) for parts in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("a roster cannot be read") from None


def advert_to_json(advert: Advert) -> str:
    """Return one advert as JSON."""
    return json.dumps([advert.site, advert.identity.hex(), advert.signature.hex()])


def advert_from_json(text: str) -> Advert:
    """Read one advert.

    Raises:
        ProtocolError: if the text has another shape.
    """
    try:
        return _advert(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("an advert cannot be read") from None


def _advert(parts: list[str]) -> Advert:
    site, identity, signature = parts
    key, signed = bytes.fromhex(identity), bytes.fromhex(signature)
    if (len(key), len(signed)) != (32, 64):
        raise ValueError("a key has the wrong length")
    return Advert(str(site), key, signed)


def hex_map(values: Mapping[str, bytes]) -> str:
    """Return a mapping from sites to bytes as JSON."""
    return json.dumps({site: value.hex() for site, value in values.items()})


def bytes_map(text: str) -> dict[str, bytes]:
    """Read a mapping from sites to bytes.

    Raises:
        ProtocolError: if the text has another shape.
    """
    try:
        return {str(site): bytes.fromhex(value) for site, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ProtocolError("a mapping of sites cannot be read") from None


def names(text: str) -> tuple[str, ...]:
    """Read a list of site names.

    Raises:
        ProtocolError: if the text has another shape or repeats a name.
    """
    try:
        listed = tuple(str(name) for name in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("a list of sites cannot be read") from None
    if len(set(listed)) != len(listed):
        raise ProtocolError("a list names a site twice")
    return listed


def hex_list(text: str) -> list[bytes]:
    """Read a list of byte strings.

    Raises:
        ProtocolError: if the text has another shape.
    """
    try:
        return [bytes.fromhex(part) for part in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("a list of hashes cannot be read") from None
