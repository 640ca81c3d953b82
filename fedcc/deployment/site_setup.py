"""A site's folder: its keys are made here and stay here; the admin's bundle completes it.

identity/NAME.key.json, NAME.card.json   who signs for the site
node.key                                 its Flower node
NAME.request.json                        public; to the admin
next/                                    the same three of a rotation that is not yet admitted
retired/FINGERPRINT/                     keys that were replaced, kept
site.yaml, policy.yaml, ca.pem, roster.json   written by the first bundle

A rotation makes new keys beside the old, which stay in force until a bundle names the new ones, so
a site never stands without a key that the roster knows.
"""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc import config
from fedcc.crypto.cards import hand_over_file
from fedcc.crypto.consortium import check_follows, read_roster
from fedcc.crypto.identity_files import create_identity, free_place
from fedcc.crypto.key_file import Identity, KeyFile, Unlocker, read_key
from fedcc.crypto.private_files import create_new, read_private
from fedcc.crypto.statements import fingerprint, read_public
from fedcc.deployment.bundles import SiteBundle, read_bundle
from fedcc.deployment.files import locked, move_file, replace_file
from fedcc.deployment.node_keys import NodeKey
from fedcc.deployment.reference_yaml import Value, fill
from fedcc.deployment.requests import request_file
from fedcc.deployment.site_file import NAME, SiteHome
from fedcc.errors import ConfigError, ProtocolError

NODE, NEXT, RETIRED, UNLOCK = "node.key", "next", "retired", "unlock.key"


@dataclass(frozen=True)
class SiteKeysMade:
    """New keys of a site, and what to send to the admin."""

    identity: Identity
    node: NodeKey
    request: Path


def init_site(folder: Path, name: str, unlocker: Unlocker, now: datetime) -> SiteKeysMade:
    """Make a new site's keys and its request.

    Raises:
        ConfigError: if the name cannot be used, a file exists or cannot be written.
    """
    free_place(folder / "identity", "site", name)
    if (folder / "identity").exists() and any((folder / "identity").iterdir()):
        raise ConfigError(f"{folder / 'identity'} holds the keys of a site; a folder has one.")
    return _make_keys(folder, name, unlocker, now, None)


def _make_keys(
    folder: Path, name: str, unlocker: Unlocker, now: datetime, old: Identity | None
) -> SiteKeysMade:
    """Make identity, node key and request below a folder; `old` hands over, after a rotation."""
    place = free_place(folder / "identity", "site", name)
    node, request = folder / NODE, folder / f"{name}.request.json"
    for path in (node, request):
        if path.exists():
            raise ConfigError(f"{path} exists, and is never overwritten.")
    identity, key = create_identity(place, unlocker, now), NodeKey.create()
    create_new(node, key.private_file, mode=0o600)
    hand_over = None if old is None else hand_over_file(old, identity, now)
    create_new(request, request_file(identity, key, now, hand_over), mode=0o644)
    return SiteKeysMade(identity, key, request)


def rotate_site(folder: Path, old: Identity, unlocker: Unlocker, now: datetime) -> SiteKeysMade:
    """Make new keys in `next/` and a request to which the old identity hands over.

    Raises:
        ConfigError: if an earlier rotation waits for its bundle, or a file cannot be written.
    """
    coming = folder / NEXT
    if coming.exists():
        raise ConfigError(
            f"{coming} holds the keys of a rotation that is not finished. Install the bundle that "
            "answers it; or, if its request was never sent, remove that folder and rotate again."
        )
    return _make_keys(coming, old.name, unlocker, now, old)


@dataclass(frozen=True)
class Installed:
    """What a bundle changed."""

    bundle: SiteBundle
    first: bool
    rotated: bool


def install(
    folder: Path, path: Path, *, read_aloud: str | None, unlock: Path | None, now: datetime
) -> Installed:
    """Check a bundle and take it over.

    Args:
        folder: of the site.
        path: of the bundle.
        read_aloud: the admin's fingerprint as heard over the phone; needed the first time, and
            afterwards held against the one that the site knows.
        unlock: the file that opens the identity at start, for the new `site.yaml`.
        now: when.

    Raises:
        ConfigError: if the fingerprint is missing, `unlock` comes too late, or a file cannot be
            written.
        RecordError: if bundle or keys cannot be read.
        EnvelopeError: if the bundle was altered.
        ProtocolError: if it is of another admin or site, names other keys, or its roster is older.
    """
    home = SiteHome.open(folder) if (folder / NAME).exists() else None
    if home is not None and unlock is not None:
        raise ConfigError(f"--unlock is for the first bundle: edit keys.unlock in {home.file}.")
    bundle = read_bundle(path, _trusted_mark(home, read_aloud), now)
    at = _keys_named(folder, bundle, path)
    if home is not None:
        if bundle.site != home.values.site:
            raise ProtocolError(f"{path} is the bundle of another site.")
        _check_roster(home, bundle, path)
    if at == folder / NEXT:
        _promote(folder, bundle.site)
    _drop_emptied(folder, bundle.site)
    first = home is None
    if home is None:
        home = _write_settings(folder, bundle, unlock)
    else:
        _update_address(home, bundle)
    replace_file(home.ca, bundle.ca)
    with locked(home.roster):  # an approval may have taken a newer one over meanwhile
        _check_roster(home, bundle, path)
        replace_file(home.roster, bundle.roster_file)
    return Installed(bundle, first=first, rotated=at == folder / NEXT)


def _check_roster(home: SiteHome, bundle: SiteBundle, path: Path) -> None:
    if home.roster.exists():
        held = read_roster(home.roster, home.values.aggregator.admin_fingerprint)
        check_follows(bundle.roster, held, str(path))


def _trusted_mark(home: SiteHome | None, read_aloud: str | None) -> str:
    if home is None:
        if read_aloud is None:
            raise ConfigError(
                "--admin-fingerprint is missing: have the admin read it to you over the phone. A "
                "bundle does not vouch for itself."
            )
        return read_aloud
    known = home.values.aggregator.admin_fingerprint
    if read_aloud is not None and _letters(read_aloud) != _letters(known):
        raise ProtocolError(
            f"--admin-fingerprint is not the one in {home.file}. A new admin means a new "
            "consortium, in a folder of its own."
        )
    return known


def _letters(mark: str) -> str:
    return "".join(mark.replace("-", "").split()).upper()


def _keys_named(folder: Path, bundle: SiteBundle, path: Path) -> Path:
    """Return the folder whose keys a bundle names: the site's own, or that of a rotation.

    Raises:
        ProtocolError: if neither has them.
        RecordError: if a key cannot be read.
    """
    for place in (folder / NEXT, folder):
        key = place / "identity" / f"{bundle.site}.key.json"
        if not key.exists():
            continue
        # A crash while a rotation is put in place may have moved the node key alone.
        file = place / NODE if (place / NODE).exists() else folder / NODE
        node = NodeKey.parse(read_private(file), str(file))
        if (read_key(key).public, node.public) == (bundle.identity, bundle.node):
            return place
    raise ProtocolError(
        f"{path} does not name the keys of this folder. It answers another request, or was made "
        "before a rotation: ask the admin for the newest."
    )


def _promote(folder: Path, site: str) -> None:
    """Put the keys of a rotation in place of the old ones, which are kept."""
    old = read_key(folder / "identity" / f"{site}.key.json").public
    retired = folder / RETIRED / fingerprint(old)[:9].lower()
    names = [f"identity/{site}.key.json", f"identity/{site}.card.json", NODE]
    names.append(f"{site}.request.json")
    for name in names:
        pending = (folder / name).exists() and (folder / NEXT / name).exists()
        if pending and not (retired / name).exists():
            create_new(retired / name, (folder / name).read_bytes(), mode=0o600)
    # The identity goes last: until then both folders still hold it, and a repeated install goes on.
    for name in reversed(names):
        if (folder / NEXT / name).exists():
            move_file(folder / NEXT / name, folder / name)


def _drop_emptied(folder: Path, site: str) -> None:
    """Remove the folder of a rotation whose keys are in place."""
    if (folder / NEXT).exists() and not (folder / NEXT / "identity" / f"{site}.key.json").exists():
        shutil.rmtree(folder / NEXT)


def _write_settings(folder: Path, bundle: SiteBundle, unlock: Path | None) -> SiteHome:
    """Write `site.yaml`, and beside it the reference policy where there is none yet."""
    root = config.config_root()
    if unlock is None and (folder / UNLOCK).exists():
        unlock = folder / UNLOCK
    if unlock is not None:
        unlock = unlock.resolve()
        read_key(folder / "identity" / f"{bundle.site}.key.json").unlock(
            KeyFile(read_private(unlock))
        )
        if unlock.is_relative_to(folder.resolve()):
            unlock = unlock.relative_to(folder.resolve())
    values: dict[str, Value] = {
        "consortium": bundle.roster.consortium,
        "site": bundle.site,
        "keys.identity": f"identity/{bundle.site}.key.json",
        "keys.unlock": None if unlock is None else str(unlock),
        "aggregator.host": bundle.host,
        "aggregator.port": bundle.port,
        "aggregator.admin_fingerprint": fingerprint(bundle.admin),
    }
    text = fill((root / "site" / "_reference.yaml").read_text(), values)
    if not (folder / "policy.yaml").exists():
        policy = (root / "site_policy" / "_reference.yaml").read_bytes()
        create_new(folder / "policy.yaml", policy, mode=0o644)
    create_new(folder / NAME, text.encode(), mode=0o644)
    return SiteHome.open(folder)


def _update_address(home: SiteHome, bundle: SiteBundle) -> None:
    """Write a new address of the aggregator into the site's own YAML, and nothing else.

    Raises:
        ConfigError: if the file was laid out in another way, so that it must be edited by hand.
    """
    dialled = home.values.aggregator
    if (dialled.host, dialled.port) == (bundle.host, bundle.port):
        return
    wanted: dict[str, Value] = {"aggregator.host": bundle.host, "aggregator.port": bundle.port}
    try:
        text = fill(home.file.read_text(), wanted)
    except KeyError:
        raise ConfigError(
            f"{home.file}: write aggregator.host: {bundle.host} and aggregator.port: {bundle.port} "
            "into it and install the bundle again; the file is not laid out as it was."
        ) from None
    replace_file(home.file, text.encode())


def request_of(folder: Path, site: str) -> bytes:
    """Return a site's own request, to send it again.

    Raises:
        RecordError: if it is not there.
    """
    return read_public(folder / f"{site}.request.json")
