"""Node keys are what OpenSSH and Flower take them for, and nothing else is taken."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from fedcc.deployment.node_keys import NodeKey, node_fingerprint, parse_public, verify_node
from fedcc.errors import EnvelopeError, RecordError


def written(folder: Path, key: NodeKey) -> Path:
    path = folder / "node.key"
    path.write_bytes(key.private_file)
    path.chmod(0o600)
    return path


def test_openssh_reads_the_private_file_and_agrees_on_the_public_key(tmp_path: Path) -> None:
    key = NodeKey.create()

    # Second source: OpenSSH's own tool.
    told = subprocess.run(
        ["ssh-keygen", "-y", "-f", written(tmp_path, key)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split()[:2] == key.public.split()
    assert key.public.startswith("ecdsa-sha2-nistp384 ")


def test_openssh_prints_the_same_fingerprint(tmp_path: Path) -> None:
    key = NodeKey.create()
    (tmp_path / "node.pub").write_text(f"{key.public}\n")

    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "node.pub"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split()[1] == node_fingerprint(key.public)


def test_the_supernode_accepts_the_private_file() -> None:
    # What flower-supernode 1.41 asks of its --auth-supernode-private-key.
    loaded = load_ssh_private_key(NodeKey.create().private_file, None)

    assert isinstance(loaded, ec.EllipticCurvePrivateKey)


def test_a_signature_holds_for_its_key_and_message_alone() -> None:
    key, other = NodeKey.create(), NodeKey.create()
    proof = key.sign(b"message")

    verify_node(key.public, proof, b"message", "x")
    for public, message in ((key.public, b"other"), (other.public, b"message")):
        with pytest.raises(EnvelopeError, match="not proven"):
            verify_node(public, proof, message, "x")


def openssh(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> tuple[bytes, str]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, public


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()]
)
def test_keys_of_other_kinds_are_refused(
    key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey,
) -> None:
    private, public = openssh(key)

    with pytest.raises(RecordError, match="P-384"):
        NodeKey.parse(private, "node.key")
    with pytest.raises(EnvelopeError, match="P-384"):
        parse_public(public, "node")


@pytest.mark.parametrize("more", [" comment", " ", "\n", "\nssh-ed25519 AAAA"])
def test_a_public_key_has_one_spelling(more: str) -> None:
    with pytest.raises(EnvelopeError):
        parse_public(NodeKey.create().public + more, "node")
