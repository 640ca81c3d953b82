"""The cache is private, holds no text, and never hands out a vector that is not sound."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fedcc.data.encoders import cache as cache_module
from fedcc.data.encoders.cache import EmbeddingCache, StoredVector, cache_key
from fedcc.errors import ConfigError

SECRET = "ZZCANARYZZ"
KEYS = [cache_key("f" * 64, f"{SECRET} {i}") for i in range(3)]
UNIT = np.array([0.6, 0.0, 0.8], dtype=np.float32)
VECTORS = {key: StoredVector(UNIT, was_cut=i == 1) for i, key in enumerate(KEYS)}


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingCache:
    """A cache of one site that holds three vectors."""
    cache = EmbeddingCache.of_site(tmp_path, "lisbon")
    cache.write(VECTORS)
    return cache


@pytest.fixture
def file(store: EmbeddingCache, tmp_path: Path) -> Path:
    """The file of `store`."""
    return tmp_path / "lisbon" / cache_module.FILE


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def assert_whole(cache: EmbeddingCache) -> None:
    """Everything that was stored comes back."""
    found = cache.read(KEYS, 3)
    assert set(found) == set(KEYS)
    for key, stored in VECTORS.items():
        np.testing.assert_array_equal(found[key].vector, stored.vector)
        assert found[key].was_cut is stored.was_cut


def test_what_was_written_is_read_back_and_nothing_else(store: EmbeddingCache) -> None:
    other = cache_key("e" * 64, f"{SECRET} 0")

    assert_whole(store)
    assert store.read([other], 3) == {}
    assert store.notes == []


def test_more_keys_than_one_query_takes_are_read(tmp_path: Path) -> None:
    cache = EmbeddingCache.of_site(tmp_path, "lisbon")
    keys = [cache_key("f", str(i)) for i in range(2 * cache_module.KEYS_PER_QUERY + 1)]
    cache.write({key: StoredVector(UNIT, False) for key in keys})

    assert set(cache.read(keys, 3)) == set(keys)


def test_a_key_depends_on_the_encoder_and_on_the_whole_text() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("ab", "c "), ("ab", "")]

    assert len({cache_key(*pair) for pair in pairs}) == len(pairs)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let files be as open as they ask for."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_folder_and_files_are_private_whatever_the_umask(no_umask: None, tmp_path: Path) -> None:
    EmbeddingCache.of_site(tmp_path / "deep", "lisbon").write(VECTORS)

    folder = tmp_path / "deep" / "lisbon"
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert (folder / cache_module.FILE).is_file()


def test_a_cache_that_stood_open_is_closed(file: Path, tmp_path: Path) -> None:
    file.chmod(0o644)
    file.parent.chmod(0o755)

    assert_whole(EmbeddingCache.of_site(tmp_path, "lisbon"))

    assert (mode(file), mode(file.parent)) == (0o600, 0o700)


def test_no_text_is_on_disk(store: EmbeddingCache, tmp_path: Path) -> None:
    everything = b"".join(path.read_bytes() for path in (tmp_path / "lisbon").iterdir())

    assert len(everything) > 4096
    assert SECRET.encode() not in everything


def checksummed(key: bytes, vector: np.ndarray) -> tuple[bytes, bytes, int, bytes]:
    """A row that a forger would write, with a fitting checksum."""
    blob = vector.astype("<f4").tobytes()
    return key, blob, 0, cache_module._checksum(key, blob, False)


POISON = {
    "too long a vector": np.array([0.6, 0.0, 0.8, 0.0]),
    "too short a vector": np.array([0.6, 0.8]),
    "NaN": np.array([np.nan, 0.0, 1.0]),
    "infinity": np.array([np.inf, 0.0, 1.0]),
    "norm above one": np.array([0.6, 0.0, 0.8]) * 1.0011,
    "norm below one": np.array([0.6, 0.0, 0.8]) * 0.9989,
    "nothing": np.array([]),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_a_forged_vector_is_not_used_and_written_anew(
    store: EmbeddingCache, file: Path, poison: np.ndarray
) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("REPLACE INTO vectors VALUES (?, ?, ?, ?)", checksummed(KEYS[0], poison))

    found = store.read(KEYS, 3)

    assert KEYS[0] not in found and len(found) == 2
    assert len(store.notes) == 1 and "1 stored vectors are damaged" in store.notes[0]
    store.write(VECTORS)
    assert_whole(store)


def test_the_bounds_of_the_norm_are_where_they_are_said_to_be(
    store: EmbeddingCache, file: Path
) -> None:
    near = [UNIT.astype(np.float64) * factor for factor in (1.0009, 0.9991, 0.0)]
    with sqlite3.connect(file) as connection:
        rows = [checksummed(key, vector) for key, vector in zip(KEYS, near, strict=True)]
        connection.executemany("REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    assert len(store.read(KEYS, 3)) == 3


@pytest.mark.parametrize("column", ["vector", "was_cut", "checksum"])
@pytest.mark.parametrize("value", [7, "text", b"\x01"])
def test_a_row_of_other_content_is_not_used(
    store: EmbeddingCache, file: Path, column: str, value: object
) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE vectors SET {column} = ? WHERE key = ?", (value, KEYS[2]))

    assert set(store.read(KEYS, 3)) == set(KEYS[:2])


def test_every_flipped_bit_of_a_vector_is_found(store: EmbeddingCache, file: Path) -> None:
    whole = file.read_bytes()
    place = whole.index(UNIT.tobytes())
    for bit in range(8 * len(UNIT.tobytes())):
        broken = bytearray(whole)
        broken[place + bit // 8] ^= 1 << bit % 8
        file.write_bytes(broken)

        assert len(store.read(KEYS, 3)) == 2


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _cut_in_a_page(path: Path) -> None:
    os.truncate(path, 5000)


def _fill_with_noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(9000))


def _write_text(path: Path) -> None:
    path.write_text(f"{SECRET}\n" * 500)


def _scramble_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def _another_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE notes ({SECRET} TEXT)")


def _planted_trigger(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER planted AFTER INSERT ON vectors BEGIN DELETE FROM vectors; END"
        )


def _planted_view(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE vectors RENAME TO kept")
        connection.execute("CREATE VIEW vectors AS SELECT * FROM kept")


def _later_layout(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {cache_module.LAYOUT + 1}")


def _link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


DAMAGE = [
    _truncate,
    _cut_in_a_page,
    _fill_with_noise,
    _write_text,
    _scramble_pages,
    _another_program,
    _planted_trigger,
    _planted_view,
    _later_layout,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_file_counts_as_empty_and_is_replaced(
    file: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(file)
    store = EmbeddingCache.of_site(tmp_path, "lisbon")

    assert store.read(KEYS, 3) == {}

    assert len(store.notes) == 1 and str(file) in store.notes[0]
    assert SECRET not in store.notes[0]
    store.write(VECTORS)
    assert_whole(store)
    assert mode(file) == 0o600
    assert len(store.notes) == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_read_only_cache_that_is_damaged_is_left_as_it_is(
    file: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(file)
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    cache = EmbeddingCache.read_only(tmp_path, "lisbon")

    assert cache.read(KEYS, 3) == {}

    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before
    assert len(cache.notes) == 1


def test_a_link_in_place_of_the_file_is_replaced_and_its_target_stays(
    store: EmbeddingCache, file: Path
) -> None:
    _link(file)
    target = file.with_name("other").read_bytes()

    assert store.read(KEYS, 3) == {}
    store.write(VECTORS)

    assert not file.is_symlink() and file.with_name("other").read_bytes() == target
    assert_whole(store)


def test_an_empty_file_is_a_new_cache(store: EmbeddingCache, file: Path) -> None:
    file.write_bytes(b"")

    assert store.read(KEYS, 3) == {}
    assert store.notes == []


def test_a_read_only_cache_creates_and_changes_nothing(file: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in file.parent.iterdir()}

    assert_whole(EmbeddingCache.read_only(tmp_path, "lisbon"))
    assert EmbeddingCache.read_only(tmp_path, "porto").read(KEYS, 3) == {}

    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before
    assert not (tmp_path / "porto").exists()


@pytest.mark.parametrize("site", ["", ".", "..", "../porto", "a/b", "-x", "a\0b", "é", "x" * 101])
def test_a_site_name_that_could_leave_the_folder_is_refused(tmp_path: Path, site: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a folder"):
        EmbeddingCache.of_site(tmp_path / "cache", site)

    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_made_names_the_remedies(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(ConfigError, match=r"cache\.dir.*taken.*cache\.dir=.*cache=none"):
        EmbeddingCache.of_site(tmp_path / "taken", "lisbon")


def test_a_linked_site_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "lisbon").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="is a link or belongs to another user"):
        EmbeddingCache.of_site(tmp_path, "lisbon")

    assert mode(tmp_path / "elsewhere") == 0o755


def test_a_lock_that_is_held_for_long_is_noted_and_nothing_is_lost(
    store: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BUSY_SECONDS", 0.1)
    with store._locked():
        assert store.read(KEYS, 3) == {}
        store.write({KEYS[0]: StoredVector(-UNIT, False)})

    assert len(store.notes) == 2 and "another run has held" in store.notes[0]
    assert_whole(store)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from fedcc.data.encoders.cache import EmbeddingCache, StoredVector, cache_key

number = int(sys.argv[2])
cache = EmbeddingCache.of_site(Path(sys.argv[1]), "lisbon")
for step in range(30):
    if number == 0 and step == 10:  # one of the writers finds the file destroyed
        with cache._locked():
            cache._path.write_bytes(b"no database" * 1000)
    keys = [cache_key("f", f"{number} {step} {i}") for i in range(5)]
    cache.read(keys, 3)
    cache.write({key: StoredVector(np.eye(3, dtype=np.float32)[0], False) for key in keys})
print("\\n".join(cache.notes))
"""


def test_processes_that_share_a_cache_lose_nothing_but_what_was_destroyed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(3)
    ]
    ended = [writer.communicate() for writer in writers]

    assert [errors for _, errors in ended] == [b""] * 3
    noted = sum(notes.count(b"file is not a database") for notes, _ in ended)
    assert 1 <= noted <= 3
    # The last steps of the writer that saw the destruction came after it.
    keys = [cache_key("f", f"0 {step} {i}") for step in range(11, 30) for i in range(5)]
    cache = EmbeddingCache.of_site(tmp_path, "lisbon")
    assert set(cache.read(keys, 3)) == set(keys)
    assert cache.notes == []
