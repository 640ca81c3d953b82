"""Files that only their owner may read are refused when anybody else could."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcc.crypto.private_files import MAX_PRIVATE_BYTES, create_new, read_private
from fedcc.errors import ConfigError, ProtocolError, RecordError

SECRET = b"a secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_new(tmp_path / "secret", SECRET, mode=0o600)
    return tmp_path / "secret"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(path: Path, mode: int) -> None:
    path.chmod(mode)

    assert read_private(path) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_file_that_is_open_to_others_is_refused_and_not_repaired(path: Path, mode: int) -> None:
    path.chmod(mode)

    with pytest.raises(ProtocolError, match=f"mode {mode:04o}.*chmod 600") as refusal:
        read_private(path)

    assert path.stat().st_mode & 0o777 == mode
    assert "a secret" not in str(refusal.value)


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(ProtocolError, match="symbolic link"):
        read_private(link)


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(ProtocolError, match=f"belongs to user {owner}"):
        read_private(path)


OTHER_THINGS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(mode=0o700),
    "a pipe": lambda path: os.mkfifo(path, 0o600),  # would otherwise be waited for
    "far too long": lambda path: create_new(path, bytes(MAX_PRIVATE_BYTES + 1), mode=0o600),
}


@pytest.mark.parametrize("make", OTHER_THINGS.values(), ids=OTHER_THINGS)
def test_what_is_no_private_file_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "other")

    with pytest.raises(RecordError, match="other"):
        read_private(tmp_path / "other")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_new_file_is_private_from_its_first_moment(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_new(tmp_path / "new", SECRET, mode=0o600)
    finally:
        os.umask(before)

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: path.write_bytes(b"older"),
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("make", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_nothing_that_is_there_is_overwritten_or_followed(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "new")

    with pytest.raises(ConfigError, match="exists"):
        create_new(tmp_path / "new", SECRET, mode=0o600)

    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_written_whole_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ConfigError, match="No space left"):
        create_new(tmp_path / "new", SECRET, mode=0o600)

    assert not (tmp_path / "new").exists()
