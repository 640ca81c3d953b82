"""`fedcc keys`, as a site's operator and a consortium's admin type it."""

import getpass
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedcc.cli.main import build_parser, main
from fedcc.crypto.statements import fingerprint

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a passphrase file and a key file, which is also the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("pass", f"{PASSPHRASE}\n".encode()), ("secret", bytes(range(32)))):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


Keys = Callable[..., dict[str, Any]]


@pytest.fixture
def keys(here: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    """Run `fedcc keys ... --json` that must succeed, and return what it printed."""

    def run(*arguments: str) -> dict[str, Any]:
        code = main(["keys", *arguments, "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return dict(json.loads(printed.out))

    return run


Fails = Callable[..., str]


@pytest.fixture
def fails(here: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run `fedcc keys ...` that must end with a code, and return its one line of error."""

    def run(code: int, *arguments: str) -> str:
        assert main(["keys", *arguments]) == code
        printed = capsys.readouterr()
        assert printed.out == "" and PASSPHRASE not in printed.err
        assert "Traceback" not in printed.err
        return printed.err

    return run


SECRET = ("--key-file", "secret")
ADMIN = ("--admin-key", "keys/telco.key.json", *SECRET)


@pytest.fixture
def consortium(keys: Keys) -> dict[str, Any]:
    """An admin, a site lisbon in its roster, and a site porto beside it."""
    keys("create", "keys", "--admin", "telco", *SECRET)
    sites = {name: keys("create", "keys", "--site", name, *SECRET) for name in ("lisbon", "porto")}
    keys("roster", "init", "roster.json", "--consortium", "telco-group", *ADMIN)
    lisbon = ("keys/lisbon.card.json", "--organisation", "north")
    mark = ("--fingerprint", sites["lisbon"]["fingerprint"])
    return keys("roster", "add", "roster.json", *lisbon, *mark, *ADMIN)


# An identity


def test_a_new_identity_shows_its_public_parts_only(keys: Keys, here: Path) -> None:
    made = keys("create", "keys", "--site", "lisbon", "--passphrase-file", "pass")

    assert sorted(made) == ["card", "fingerprint", "key", "name", "role"]
    assert (here / made["key"]).stat().st_mode & 0o777 == 0o600
    assert PASSPHRASE not in (here / made["key"]).read_text()
    shown = keys("show", made["key"])
    assert (
        shown["fingerprint"] == made["fingerprint"] == fingerprint(bytes.fromhex(shown["identity"]))
    )
    assert shown["proven"] is False and keys("show", made["card"])["proven"] is True


def test_the_fingerprint_of_a_key_comes_from_the_unlocked_key(keys: Keys, fails: Fails) -> None:
    made = keys("create", "keys", "--site", "lisbon", *SECRET)
    path = Path(made["key"])

    assert keys("fingerprint", made["key"], *SECRET) == {"fingerprint": made["fingerprint"]}
    # The twin: somebody writes a public key of his own into the file that is to be read aloud.
    values = json.loads(path.read_text())
    values["identity"] = "11" * 32
    path.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n")
    assert keys("show", made["key"])["identity"] == "11" * 32
    assert "does not open" in fails(6, "fingerprint", made["key"], *SECRET)


def test_a_rotation_leaves_a_key_a_hand_over_and_the_old_key(keys: Keys, here: Path) -> None:
    before = keys("create", "keys", "--site", "lisbon", *SECRET)

    made = keys("rotate", "keys/lisbon.key.json", *SECRET)

    assert made["old_fingerprint"] == before["fingerprint"] != made["fingerprint"]
    assert keys("show", made["revoked"])["fingerprint"] == before["fingerprint"]
    assert keys("fingerprint", made["key"], *SECRET)["fingerprint"] == made["fingerprint"]
    assert keys("show", made["card"])["fingerprint"] == made["fingerprint"]


def test_a_rotated_key_is_locked_like_the_old_one(keys: Keys, fails: Fails) -> None:
    keys("create", "keys", "--site", "lisbon", "--passphrase-file", "pass")
    keys("rotate", "keys/lisbon.key.json", "--passphrase-file", "pass")

    assert "locked by a passphrase" in fails(2, "fingerprint", "keys/lisbon.key.json", *SECRET)


def test_an_existing_key_is_not_overwritten(keys: Keys, fails: Fails) -> None:
    keys("create", "keys", "--site", "lisbon", *SECRET)

    assert "rotate" in fails(2, "create", "keys", "--site", "lisbon", *SECRET)


# Passphrases


def typed(*answers: str) -> Callable[[str], str]:
    waiting = iter(answers)
    return lambda prompt: next(waiting)


def test_a_passphrase_is_typed_twice_for_a_new_key_and_once_for_an_old_one(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getpass", typed(PASSPHRASE, PASSPHRASE, PASSPHRASE))

    made = keys("create", "keys", "--site", "lisbon")

    assert keys("fingerprint", made["key"]) == {"fingerprint": made["fingerprint"]}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((PASSPHRASE, PASSPHRASE + "!"), "differ"),
        (("short",), "at least 12"),
        (("",), "at least 12"),
    ],
)
def test_a_passphrase_that_is_short_or_not_repeated_makes_no_key(
    fails: Fails, here: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(getpass, "getpass", typed(*answers))

    assert words in fails(2, "create", "keys", "--site", "lisbon")
    assert not (here / "keys").exists()


def test_without_a_terminal_nothing_is_asked_and_nothing_is_read_from_a_pipe(here: Path) -> None:
    # A process of its own, without a controlling terminal; Python would read the pipe instead.
    found = subprocess.run(
        [sys.executable, "-m", "fedcc", "keys", "create", "keys", "--site", "lisbon"],
        input=f"{PASSPHRASE}\n{PASSPHRASE}\n",
        capture_output=True,
        text=True,
        start_new_session=True,
    )

    assert found.returncode == 2 and "no terminal" in found.stderr
    assert not (here / "keys").exists()


def options_of(parser: Any) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, dict):
            for part in action.choices.values():
                yield from options_of(part)


def test_no_option_of_any_command_takes_a_secret_itself() -> None:
    taking = {o for o in options_of(build_parser()) if "pass" in o or "secret" in o or "key" in o}

    assert taking == {"--passphrase-file", "--key-file", "--admin-key"}  # all of them name files


BAD_SECRETS: dict[str, tuple[int, str, bytes, int, str]] = {
    "readable by others": (6, "--passphrase-file", PASSPHRASE.encode(), 0o644, "mode 0644"),
    "short": (2, "--passphrase-file", b"short\n", 0o600, "at least 12"),
    "empty": (2, "--passphrase-file", b"", 0o600, "at least 12"),
    "two lines": (2, "--passphrase-file", b"one long passphrase\ntwo\n", 0o600, "one line"),
    "not UTF-8": (2, "--passphrase-file", b"\xff" * 20, 0o600, "not UTF-8"),
    "a short key": (2, "--key-file", bytes(range(31)), 0o600, "32 random bytes"),
    "a key for all": (6, "--key-file", bytes(range(32)), 0o660, "mode 0660"),
}


@pytest.mark.parametrize("case", BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_a_secret_that_is_open_or_none_makes_no_key(
    fails: Fails, here: Path, case: tuple[int, str, bytes, int, str]
) -> None:
    code, option, content, mode, words = case
    (here / "bad").write_bytes(content)
    (here / "bad").chmod(mode)

    assert words in fails(code, "create", "keys", "--site", "lisbon", option, "bad")
    assert not (here / "keys").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (3, ("show", "nowhere.json"), "nowhere.json cannot be read"),
        (3, ("show", "pass"), "neither a key nor a card"),
        (3, ("fingerprint", "pass", *SECRET), "neither a key nor a card"),
        (3, ("rotate", "pass", *SECRET), "not a key file"),
        (2, ("create", "keys", "--site", "../lisbon", *SECRET), "--site"),
        (3, ("create", "keys", "--site", "lisbon", "--key-file", "nowhere"), "nowhere"),
        (2, ("roster", "verify", "r.json", "--admin-fingerprint", "A", "--keep"), "--held"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_code_of_the_contract(
    fails: Fails, code: int, arguments: tuple[str, ...], words: str
) -> None:
    assert words in fails(code, *arguments)


def test_a_key_that_others_can_read_is_refused(keys: Keys, fails: Fails) -> None:
    made = keys("create", "keys", "--site", "lisbon", *SECRET)
    Path(made["key"]).chmod(0o640)

    for part in ("show", "fingerprint", "rotate"):
        given = () if part == "show" else SECRET
        assert "mode 0640" in fails(6, part, made["key"], *given)


# The roster


def test_a_roster_from_its_first_site_to_a_revocation(
    keys: Keys, consortium: dict[str, Any]
) -> None:
    assert (consortium["serial"], consortium["organisations"]) == (2, {"lisbon": "north"})
    admin = ("--admin-fingerprint", keys("show", "keys/telco.card.json")["fingerprint"])
    held = ("--held", "held.json", "--keep")
    keys("roster", "verify", "roster.json", *admin, *held)

    rotated = keys("rotate", "keys/lisbon.key.json", *SECRET)
    renewed = keys("roster", "renew", "roster.json", rotated["hand_over"], *ADMIN)
    keys("roster", "verify", "roster.json", *admin, *held)
    revoked = keys("roster", "revoke", "roster.json", "lisbon", *ADMIN)

    assert renewed["sites"][0]["fingerprint"] == rotated["fingerprint"]
    assert [one["fingerprint"] for one in renewed["revoked"]] == [rotated["old_fingerprint"]]
    assert (revoked["serial"], revoked["sites"], len(revoked["revoked"])) == (4, [], 2)
    assert keys("roster", "show", "roster.json") == revoked


def test_a_site_goes_back_to_no_roster_and_follows_no_other_admin(
    keys: Keys, fails: Fails, consortium: dict[str, Any], here: Path
) -> None:
    old = (here / "roster.json").read_bytes()
    admin = ("--admin-fingerprint", consortium["admin_fingerprint"])
    keys("roster", "revoke", "roster.json", "lisbon", *ADMIN)
    keys("roster", "verify", "roster.json", *admin, "--held", "held.json", "--keep")
    held = (here / "held.json").read_bytes()
    (here / "old.json").write_bytes(old)
    stranger = ("--admin-fingerprint", keys("show", "keys/porto.card.json")["fingerprint"])

    for given, words in ((admin, "old roster"), (stranger, "fingerprint is not")):
        verify = ("roster", "verify", "old.json", *given, "--held", "held.json", "--keep")
        assert words in fails(6, *verify)

    assert (here / "held.json").read_bytes() == held


def test_no_site_is_added_without_the_fingerprint_read_aloud(
    fails: Fails, consortium: dict[str, Any], here: Path
) -> None:
    before = (here / "roster.json").read_bytes()
    add = ("roster", "add", "roster.json", "keys/porto.card.json", "--organisation", "north")

    wrong = ("--fingerprint", consortium["sites"][0]["fingerprint"])

    assert "not that of the card of porto" in fails(6, *add, *ADMIN, *wrong)
    with pytest.raises(SystemExit, match="2"):
        main(["keys", *add, *ADMIN])

    assert (here / "roster.json").read_bytes() == before


def test_a_site_cannot_sign_the_roster(
    fails: Fails, consortium: dict[str, Any], here: Path
) -> None:
    before = (here / "roster.json").read_bytes()
    site = ("--admin-key", "keys/lisbon.key.json", *SECRET)

    assert "not that of the admin" in fails(6, "roster", "revoke", "roster.json", "lisbon", *site)
    assert "that of a site" in fails(2, "roster", "init", "r.json", "--consortium", "c", *site)

    assert (here / "roster.json").read_bytes() == before and not (here / "r.json").exists()


def test_a_roster_is_not_begun_where_one_is(
    fails: Fails, consortium: dict[str, Any], here: Path
) -> None:
    before = (here / "roster.json").read_bytes()

    assert "exists" in fails(2, "roster", "init", "roster.json", "--consortium", "c", *ADMIN)

    assert (here / "roster.json").read_bytes() == before


def test_the_plain_words_name_what_the_json_does(
    consortium: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "roster", "show", "roster.json"]) == 0

    printed = capsys.readouterr().out
    for text in ("telco-group, serial 2", consortium["admin_fingerprint"], "lisbon", "north"):
        assert text in printed


@pytest.mark.parametrize("part", [[], ["create"], ["roster"], ["roster", "add"]])
def test_the_help_shows_examples_and_what_a_code_means(
    part: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["keys", *part, "--help"])

    assert "examples" in capsys.readouterr().out
