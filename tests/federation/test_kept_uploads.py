"""Uploads of an attempt: as they came, on disk without a name, gone with the attempt."""

import gc
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from fedcc.crypto.envelopes import Envelope
from fedcc.federation.kept_uploads import KeptUploads

CHUNKS = [bytes([7]) * 3000, b"", bytes(range(256)) * 20]


def envelope(number: int) -> Envelope:
    return Envelope(b"header %d" % number, b"signature %d" % number, [*CHUNKS, b"%d" % number])


@pytest.mark.parametrize("in_memory", [1, 20_000, 1 << 20])
def test_what_was_kept_comes_back_in_any_order(tmp_path: Path, in_memory: int) -> None:
    with KeptUploads(tmp_path, in_memory) as kept:
        for number in range(5):
            kept.keep(f"site-{number}", envelope(number))
            assert kept.get("site-0") == envelope(0)  # between two writings, too

        assert [kept.get(f"site-{n}") for n in (4, 0, 2)] == [envelope(n) for n in (4, 0, 2)]


def test_nothing_has_a_name_on_disk(tmp_path: Path) -> None:
    with KeptUploads(tmp_path, in_memory=1) as kept:
        kept.keep("site-1", envelope(1))

        assert list(tmp_path.iterdir()) == []


def test_the_file_does_not_hold_the_ciphertexts_in_clear(tmp_path: Path) -> None:
    with KeptUploads(tmp_path, in_memory=1) as kept:
        kept.keep("site-1", envelope(1))
        kept._file.seek(0)
        on_disk = kept._file.read()

    assert len(on_disk) > sum(map(len, CHUNKS))
    assert bytes([7]) * 16 not in on_disk


def test_a_file_that_was_changed_is_noticed(tmp_path: Path) -> None:
    with KeptUploads(tmp_path, in_memory=1) as kept:
        kept.keep("site-1", envelope(1))
        kept._file.seek(5)
        kept._file.write(b"x")

        with pytest.raises(InvalidTag):
            kept.get("site-1")


def test_a_second_upload_of_a_site_is_refused(tmp_path: Path) -> None:
    with KeptUploads(tmp_path) as kept:
        kept.keep("site-1", envelope(1))

        with pytest.raises(ValueError, match="site-1 is kept already"):
            kept.keep("site-1", envelope(2))


def test_memory_does_not_grow_with_the_number_of_sites(tmp_path: Path) -> None:
    import tracemalloc

    def peak(sites: int) -> int:
        gc.collect()
        tracemalloc.start()
        with KeptUploads(tmp_path, in_memory=1 << 20) as kept:
            for number in range(sites):
                kept.keep(str(number), Envelope(b"h", b"s", [bytes(500_000)]))
            held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(40) < peak(10) + 500_000  # one upload; all of them would be 15 MB more
