"""How a command comes by a passphrase: typed at a terminal or read from a private file.

Never from the command line or the environment, which other users and logs can see.
"""

import argparse
import getpass
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from fedcc.crypto.key_file import Identity, Passphrase, Unlocker


def add_unlock_options(parser: argparse.ArgumentParser) -> None:
    """Add the two options that stand for a person at a terminal."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="one line, mode 0600; default: ask"
    )
    choice.add_argument(
        "--key-file", type=Path, metavar="FILE", help="32 random bytes, mode 0600, no passphrase"
    )


def unlocked(path: Path, args: argparse.Namespace) -> "Identity":
    """Open a key file with what the options name, or with what is typed.

    Raises:
        FedccError: see `read_key`, `unlock` and `given_unlocker`.
    """
    from fedcc.crypto.key_file import read_key

    locked = read_key(path)
    unlocker = given_unlocker(args)
    if unlocker is None and locked.locked_by == "key_file":
        raise ConfigError(f"{path} is locked by a key file: name it with --key-file.")
    return locked.unlock(unlocker or _ask(f"Passphrase of {path}: "))


def ask_unlocker(path: Path, args: argparse.Namespace) -> "Unlocker":
    """Return what the options name, or the passphrase that is typed for a key file.

    Raises:
        FedccError: see `given_unlocker`.
    """
    return given_unlocker(args) or _ask(f"Passphrase of {path}: ")


def new_unlocker(args: argparse.Namespace) -> "Unlocker":
    """Return what a new key is to be locked with; a passphrase is typed twice.

    Raises:
        ConfigError: if it is too short, not typed the same twice, or nobody is there to type.
    """
    given = given_unlocker(args)
    if given is not None:
        return given
    first = _ask("New passphrase, at least 12 characters: ")
    if _ask("Again: ") != first:
        raise ConfigError("the two passphrases differ; nothing was made.")
    return first


def given_unlocker(args: argparse.Namespace) -> "Unlocker | None":
    """Return what the options name, or `None` if a person is to be asked.

    Raises:
        ConfigError: if a file does not hold what it should.
        RecordError, ProtocolError: if it cannot be read, or is open to others.
    """
    from fedcc.crypto.key_file import KeyFile, Passphrase
    from fedcc.crypto.private_files import read_private

    if args.key_file is not None:
        return KeyFile(read_private(args.key_file))
    if args.passphrase_file is None:
        return None
    try:
        text = read_private(args.passphrase_file).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"--passphrase-file {args.passphrase_file}: not UTF-8.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if "\n" in text:
        raise ConfigError(f"--passphrase-file {args.passphrase_file}: more than one line.")
    return Passphrase(text)


def _ask(prompt: str) -> "Passphrase":
    """Ask at the terminal, without showing what is typed.

    Raises:
        ConfigError: if there is none, for then Python would show it.
    """
    from fedcc.crypto.key_file import Passphrase

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Passphrase(getpass.getpass(prompt))
    except (getpass.GetPassWarning, EOFError, OSError):
        raise ConfigError(
            "there is no terminal to ask for the passphrase; name --passphrase-file or --key-file."
        ) from None
