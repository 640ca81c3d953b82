"""Parcels over Flower's records: the same bytes back, and nothing of an odd shape."""

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedcc.errors import ProtocolError
from fedcc.federation.messages import MAX_CHUNKS, Parcel


def record_of(array: Array, name: str = "joined") -> RecordDict:
    return RecordDict({"fields": ConfigRecord({}), "chunks.update": ArrayRecord({name: array})})


def array_of(content: bytes, *shape: int) -> Array:
    return Array("uint8", shape, "fedcc.bytes", content)


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""], [b"abc"], [b"abc", b"def"], [b"a", b""]])
def test_chunks_come_back_as_they_were(chunks: list[bytes]) -> None:
    parcel = Parcel({"text": "a", "number": 3, "raw": b"\0"}, {"update": chunks, "other": []})

    assert Parcel.from_record(parcel.to_record()) == parcel


def test_chunks_of_one_length_take_one_array() -> None:
    record = Parcel({}, {"update": [b"ab"] * 300, "odd": [b"ab", b"c"]}).to_record()

    assert len(record.array_records["chunks.update"]) == 1
    assert len(record.array_records["chunks.odd"]) == 2


@pytest.mark.parametrize(
    "record",
    [
        record_of(array_of(b"abcd", 4)),
        record_of(array_of(b"abcd", 2, 2, 1)),
        record_of(array_of(b"abcd", 2, 3)),
        record_of(array_of(b"abcd", 1, 3)),
        record_of(array_of(b"abcd", -2, -2)),
        record_of(array_of(b"", -1, 0)),
        record_of(array_of(b"", MAX_CHUNKS + 1, 0)),
        record_of(array_of(b"", 1 << 62, 0)),
    ],
)
def test_chunks_of_an_odd_shape_are_refused(record: RecordDict) -> None:
    with pytest.raises(ProtocolError, match="shape"):
        Parcel.from_record(record)


def test_unknown_records_and_fields_are_refused() -> None:
    with pytest.raises(ProtocolError, match="unknown record"):
        Parcel.from_record(RecordDict({"more": ConfigRecord({})}))
    with pytest.raises(ProtocolError, match="unknown type"):
        Parcel.from_record(RecordDict({"fields": ConfigRecord({"a": 1.5})}))
