"""Vectors that a site keeps on its own disk, so that no text is encoded twice.

One SQLite file per site, `<dir>/<site>/embeddings.sqlite`, folder 0700 and file 0600 whatever the
umask. Texts are never stored, but a vector says much about its text and a key can be compared with
guesses: the file is as sensitive as the transcripts and never leaves the site.

A stored vector is used only if it has the right length, is finite, has norm 1 (or is zero) and fits
its checksum; anything else counts as missing and is written anew, with a line in `notes`. That
finds accidents and clumsy forgery; whoever can write to a site's own folder can still forge one.
"""

import fcntl
import hashlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import ConfigError

FILE = "embeddings.sqlite"
LOCK = "embeddings.lock"
LAYOUT = 1  # of the table below; SQLite keeps it as user_version
TABLE = (
    "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, was_cut INTEGER NOT NULL, "
    "checksum BLOB NOT NULL)"
)
KEYS_PER_QUERY = 500  # below the 999 variables that the oldest SQLite allows
NORM_TOLERANCE = 1e-3
BUSY_SECONDS = 30.0  # how long one process waits for another one's reading or writing
BROKEN_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SOUND_FILES: set[tuple[int, int, int, int]] = set()  # as stat showed them when checked
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class StoredVector:
    """A vector, and whether its text was too long for the encoder."""

    vector: NDArray[np.float32]
    was_cut: bool


class _NotOurs(Exception):
    """The file is a database, but not as this module wrote it."""


class EmbeddingCache:
    """The vectors of one site. A cache that fails slows a run down and is noted; it never ends it.

    No file stays open between calls, so several processes may use one folder: each call on a
    writable cache holds a lock.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        """Take a folder that exists; see `of_site` and `read_only`."""
        self._path = folder / FILE
        self._lock = folder / LOCK
        self._writable = writable
        self._checked = False
        self.notes: list[str] = []  # what went wrong, in words for the user

    @classmethod
    def of_site(cls, directory: Path, site: str) -> "EmbeddingCache":
        """Open a site's own cache; its folder is created, or made private if it was not.

        Raises:
            ConfigError: if the folder cannot be created or belongs to someone else.
        """
        folder = _folder(directory, site)
        remedy = "Name another folder with cache.dir=, or keep no vectors with cache=none."
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                raise ConfigError(
                    f"cache.dir: {folder} is a link or belongs to another user. {remedy}"
                )
            folder.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"cache.dir: {folder} cannot be used ({error.strerror}). {remedy}"
            ) from None
        return cls(folder, writable=True)

    @classmethod
    def read_only(cls, directory: Path, site: str) -> "EmbeddingCache":
        """Open a cache that is only read; it may be missing, and no file of it is ever changed."""
        return cls(_folder(directory, site), writable=False)

    def read(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, StoredVector]:
        """Return the sound vectors among those asked for.

        Args:
            keys: from `cache_key`.
            dimension: what each vector must have.
        """
        rows: list[tuple[object, ...]] = []
        try:
            with self._open() as connection:
                for start in range(0, len(keys), KEYS_PER_QUERY):
                    some = keys[start : start + KEYS_PER_QUERY]
                    marks = ",".join("?" * len(some))
                    query = (
                        f"SELECT key, vector, was_cut, checksum FROM vectors WHERE key IN ({marks})"
                    )
                    rows += connection.execute(query, some).fetchall()
        except FileNotFoundError:
            return {}
        except (sqlite3.Error, OSError, _NotOurs) as error:
            self._note_failure("read", error)
            if self._writable and _is_broken(error):
                self._replace()
            return {}
        found = {row[0]: _sound(row, dimension) for row in rows}
        sound = {key: stored for key, stored in found.items() if stored and isinstance(key, bytes)}
        if len(sound) < len(found):
            self._note(f"{len(found) - len(sound)} stored vectors are damaged and are not used")
        return sound

    def write(self, vectors: Mapping[bytes, StoredVector]) -> None:
        """Store vectors, all or none of them."""
        rows = []
        for key, stored in vectors.items():
            blob = stored.vector.astype("<f4").tobytes()
            rows.append((key, blob, int(stored.was_cut), _checksum(key, blob, stored.was_cut)))
        try:
            with self._open() as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError, _NotOurs) as error:
            self._note_failure("written", error)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection to a file whose layout is ours.

        Raises:
            OSError: if the file is missing (read-only) or cannot be made private.
            sqlite3.Error: if it is no database, or is damaged.
            _NotOurs: if it holds other tables.
        """
        if not self._writable:
            with closing(_connect(self._path, "ro")) as connection:
                self._check(connection)
                yield connection
            return
        with self._locked():
            _make_private(self._path)
            with closing(_connect(self._path, "rw")) as connection:
                if self._path.stat().st_size == 0:
                    with connection:
                        connection.execute(TABLE)
                        connection.execute(f"PRAGMA user_version = {LAYOUT}")
                self._check(connection)
                yield connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Check the layout always, the pages once: SQLite overlooks some cuts while it reads."""
        _check_layout(connection)
        if self._checked:
            return
        status = self._path.stat()
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if state not in _SOUND_FILES:
            _check_pages(connection)
            _SOUND_FILES.add(state)
        self._checked = True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder.

        Raises:
            TimeoutError: if another process holds it for long.
        """
        descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            pause = 0.02
            for _ in range(round(BUSY_SECONDS / pause)):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(pause)
            else:
                raise TimeoutError(0, f"another run has held {self._lock} for {BUSY_SECONDS:g} s")
            yield
        finally:
            os.close(descriptor)

    def _replace(self) -> None:
        """Put an empty file where a damaged one is, unless another process has just done so."""
        try:
            with self._locked():
                try:
                    with closing(_connect(self._path, "ro")) as connection:
                        _check_layout(connection)
                        _check_pages(connection)
                except (sqlite3.Error, OSError, _NotOurs):
                    for name in (FILE, f"{FILE}-journal", f"{FILE}-wal", f"{FILE}-shm"):
                        self._path.with_name(name).unlink(missing_ok=True)
                    _make_private(self._path)
        except OSError as error:
            self._note_failure("replaced", error)

    def _note_failure(self, action: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else error
        self._note(f"cannot be {action} ({reason}); the vectors are computed")

    def _note(self, text: str) -> None:
        line = f"cache {self._path}: {text}."
        if line not in self.notes:
            self.notes.append(line)


def cache_key(fingerprint: str, text: str) -> bytes:
    """Return the key of a text under an encoder: SHA-256 over both."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()


def _folder(directory: Path, site: str) -> Path:
    if not _SITE.fullmatch(site):
        raise ConfigError(
            f"cache: the site name {site[:40]!r} cannot name a folder. "
            "Use letters, digits, '.', '_' and '-'."
        )
    return directory / site


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file", str(path))
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", BUSY_SECONDS, uri=True)


def _check_layout(connection: sqlite3.Connection) -> None:
    """Refuse any table, view or trigger beside the one table of this module."""
    connection.execute("PRAGMA trusted_schema = OFF")
    layout = connection.execute("PRAGMA user_version").fetchone()
    parts = connection.execute("SELECT type, sql FROM sqlite_schema").fetchall()
    # SQLite makes the index of the primary key itself, without a statement.
    if layout != (LAYOUT,) or parts != [("table", TABLE), ("index", None)]:
        raise _NotOurs("it is not a cache of this version of fedcc")


def _check_pages(connection: sqlite3.Connection) -> None:
    """Refuse a file whose pages do not fit together."""
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _NotOurs("it is damaged")


def _make_private(path: Path) -> None:
    """Make sure that a plain file of this user is at `path`, with mode 0600 from the start."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            path.unlink()
    except FileNotFoundError:
        pass
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _is_broken(error: Exception) -> bool:
    """Tell a damaged or foreign file from a disk that is full or a file that is busy."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _NotOurs) or (code is not None and code & 0xFF in BROKEN_FILE)


def _checksum(key: bytes, blob: bytes, was_cut: bool) -> bytes:
    return hashlib.blake2b(key + bytes([was_cut]) + blob, digest_size=16).digest()


def _sound(row: tuple[object, ...], dimension: int) -> StoredVector | None:
    """Return the vector of a row, or `None` if anything about it is wrong."""
    key, blob, was_cut, checksum = row
    if not isinstance(key, bytes) or not isinstance(blob, bytes) or was_cut not in (0, 1):
        return None
    if len(blob) != 4 * dimension or checksum != _checksum(key, blob, bool(was_cut)):
        return None
    vector = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    # NaN fails both comparisons.
    if not (abs(norm - 1) <= NORM_TOLERANCE or norm == 0):
        return None
    return StoredVector(vector, bool(was_cut))
