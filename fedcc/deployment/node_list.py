"""The signed list of the node keys of a consortium, and the folder that the SuperLink is fed from.

The list names the roster it belongs to; the SuperLink is fed from it alone (`listed_nodes`). The
folder's files say the same once more, one key each in OpenSSH's format, for people and their tools;
`admitted_nodes` tells where they differ. A key dropped into the folder admits nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.consortium import Roster, read_roster
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import (
    VERSION,
    Fields,
    canonical,
    read_of_admin,
    read_public,
    when,
)
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.files import remove_file, replace_file
from fedcc.deployment.node_keys import parse_public
from fedcc.errors import EnvelopeError, ProtocolError, RecordError

KIND = "node-list"
_SIGNED = frozenset("consortium admin roster_serial roster_sha256 issued_at nodes".split())
_REMEDY = "Repeat the last `fedcc aggregator admit` or `revoke`: it makes these files anew."


@dataclass(frozen=True, kw_only=True)
class NodeList:
    """The node key of each site of one roster."""

    consortium: str
    admin: bytes
    roster_serial: int
    roster_sha256: bytes
    issued_at: str
    nodes: Mapping[str, str]  # site: public key, OpenSSH


def list_file(roster: Roster, nodes: Mapping[str, str], admin: Identity, now: datetime) -> bytes:
    """Return the content of a signed list."""
    body: dict[str, object] = {
        "consortium": roster.consortium,
        "admin": admin.public.hex(),
        "roster_serial": roster.serial,
        "roster_sha256": roster.sha256.hex(),
        "issued_at": when(now),
        "nodes": [{"site": site, "node": nodes[site]} for site in sorted(nodes)],
    }
    signature = admin.sign(KIND, body).hex()
    return canonical({**body, "kind": KIND, "version": VERSION, "signature": signature})


def read_list(path: Path, admin_fingerprint: str) -> NodeList:
    """Read a list and check that the trusted admin signed it.

    Raises:
        RecordError: if it cannot be read or is no such list.
        EnvelopeError: if it was altered or contradicts itself.
        ProtocolError: if another admin signed it.
    """
    source = str(path)
    values, fields, admin = read_of_admin(
        read_public(path), KIND, _SIGNED, source, admin_fingerprint=admin_fingerprint
    )
    nodes: dict[str, str] = {}
    for one in fields.objects("nodes"):
        entry = Fields(one, frozenset({"site", "node"}), f"{source}, nodes")
        node = one["node"] if isinstance(one, dict) else None
        parse_public(node, f"{source}, nodes")
        nodes[entry.name("site")] = str(node)
    if len(nodes) != len(fields.objects("nodes")) or len(set(nodes.values())) != len(nodes):
        raise EnvelopeError(f"{source} names a site or a key twice.")
    return NodeList(
        consortium=fields.name("consortium"),
        admin=admin,
        roster_serial=fields.count("roster_serial", 1),
        roster_sha256=fields.binary("roster_sha256", 32),
        issued_at=fields.time("issued_at"),
        nodes=nodes,
    )


def listed_nodes(home: AggregatorHome) -> tuple[dict[str, str], str]:
    """Return the node key of each site that may connect, and what is wrong, or an empty text.

    Where list and roster do not belong together, as after a crash, only sites of both count: who
    was revoked is out whatever else is wrong.

    Raises:
        RecordError: if a file cannot be read.
        EnvelopeError, ProtocolError: if one was altered, or is not under the admin's signature.
    """
    mark = home.values.admin.fingerprint
    roster, nodes = read_roster(home.roster, mark), read_list(home.node_list, mark)
    found = {site: key for site, key in nodes.nodes.items() if site in roster.identities()}
    if nodes.roster_sha256 != roster.sha256 or set(nodes.nodes) != set(roster.identities()):
        return found, f"{home.node_list} is not that of {home.roster}. {_REMEDY}"
    return found, ""


def admitted_nodes(home: AggregatorHome) -> dict[str, Path]:
    """Return the public key file of each admitted node, by site, if all files agree.

    Raises:
        RecordError: if a file cannot be read.
        EnvelopeError, ProtocolError: if roster, list and folder do not say the same under the
            admin's signature.
    """
    nodes, problem = listed_nodes(home)
    if problem:
        raise ProtocolError(problem)
    found = {path.stem: path for path in sorted(home.nodes.glob("*"))}
    strangers = sorted(set(found) - set(nodes))
    if strangers:
        raise ProtocolError(
            f"{found[strangers[0]]}: the signed list names no such node. Remove the file, and find "
            "out who put it there."
        )
    for site, key in nodes.items():
        path = home.nodes / f"{site}.pub"
        if found.get(site) != path or read_public(path) != f"{key}\n".encode():
            raise ProtocolError(f"{path} is not the key of the signed list. {_REMEDY}")
    return {site: home.nodes / f"{site}.pub" for site in nodes}


def write_nodes(
    home: AggregatorHome, roster: Roster, known: Mapping[str, str], admin: Identity, now: datetime
) -> dict[str, str]:
    """Write list and folder for a roster; return the node key of each of its sites.

    Args:
        home: the aggregator's folder.
        roster: the roster that was signed just now.
        known: node keys by site; sites that are not in the roster are left out.
        admin: who signs.
        now: when.

    Raises:
        ProtocolError: if the key of a site of the roster is not known, or two sites share one.
        ConfigError: if a file cannot be written.
    """
    missing = sorted(set(roster.identities()) - set(known))
    if missing:
        raise ProtocolError(
            f"the node key of {missing[0]} is not known. Admit that site's request again."
        )
    nodes = {site: known[site] for site in roster.identities()}
    if len(set(nodes.values())) != len(nodes):
        raise ProtocolError("two sites show the same node key. Each makes its own.")
    for path in home.nodes.glob("*"):
        if path.name not in {f"{site}.pub" for site in nodes}:
            remove_file(path)
    replace_file(home.node_list, list_file(roster, nodes, admin, now))
    for site, key in nodes.items():
        replace_file(home.nodes / f"{site}.pub", f"{key}\n".encode())
    return nodes


def known_nodes(home: AggregatorHome) -> dict[str, str]:
    """Return the node keys of the present list, which may be behind the roster after a crash.

    Raises:
        EnvelopeError, ProtocolError: see `read_list`.
    """
    try:
        return dict(read_list(home.node_list, home.values.admin.fingerprint).nodes)
    except RecordError:
        if home.node_list.exists():
            raise
        return {}
