"""Second sources for the crypto core, in plain Python; fedcc is not imported.

AES-CTR block by block from AES-ECB, HKDF from HMAC, X25519 by the ladder of RFC 7748, GF(2^8) as on
paper, and every hashed text written out by hand. Writes the known answers of the protocol:

    python tests/crypto/by_hand.py > tests/vectors/protocol.json
"""

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

T = 70_368_743_669_761  # the plain modulus, a prime of 46 bits


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# AES-CTR and HKDF


def counter_blocks(key: bytes, counter: int) -> Iterator[bytes]:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    while True:
        yield encryptor.update(counter.to_bytes(16, "big"))
        counter += 1


def expand_by_hand(key: bytes, size: int) -> list[int]:
    numbers: list[int] = []
    for block in counter_blocks(key, 0):
        if len(numbers) >= size:
            break
        for half in (block[:8], block[8:]):
            number = int.from_bytes(half, "little") % 2**46
            if number < T:
                numbers.append(number)
    return numbers[:size]


def hkdf_by_hand(secret: bytes, salt: bytes, info: bytes, size: int = 32) -> bytes:
    pseudorandom_key = hmac.digest(salt, secret, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(pseudorandom_key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:size]


# X25519, RFC 7748 section 5

P = 2**255 - 19


def x25519_by_hand(private: bytes, public: bytes) -> bytes:
    k = int.from_bytes(private, "little")
    k = k & ~7 & ~(1 << 255) | 1 << 254
    x1 = int.from_bytes(public, "little") % 2**255
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for bit in reversed(range(255)):
        if swap != (k >> bit & 1):
            x2, z2, x3, z3, swap = x3, z3, x2, z2, 1 - swap
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public_by_hand(private: bytes) -> bytes:
    return x25519_by_hand(private, (9).to_bytes(32, "little"))


# GF(2^8) with the polynomial of AES, and Shamir's sharing over it


def product_by_hand(left: int, right: int) -> int:
    """Multiply as on paper: add shifted copies, reduce by x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(15, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


def inverse_by_hand(element: int) -> int:
    return next(other for other in range(1, 256) if product_by_hand(element, other) == 1)


def share_by_hand(coefficients: Sequence[bytes], point: int) -> bytes:
    """Evaluate; the secret is the first coefficient, and each byte has its own polynomial."""
    share = bytes(len(coefficients[0]))
    power = 1
    for coefficient in coefficients:
        terms = (product_by_hand(byte, power) for byte in coefficient)
        share = bytes(a ^ b for a, b in zip(share, terms, strict=True))
        power = product_by_hand(power, point)
    return share


def combine_by_hand(shares: Mapping[int, bytes]) -> bytes:
    """Interpolate at 0 by all the shares given."""
    secret = [0] * len(next(iter(shares.values())))
    for point, share in shares.items():
        weight = 1
        for other in shares.keys() - {point}:
            quotient = product_by_hand(other, inverse_by_hand(other ^ point))
            weight = product_by_hand(weight, quotient)
        secret = [s ^ product_by_hand(weight, b) for s, b in zip(secret, share, strict=True)]
    return bytes(secret)


# The known answers. Texts are written out: no JSON library stands between them and the hash.

SESSION, RUN, KEY_ID = sha256(b"session"), "run-1", "0123456789abcdef"
AVEIRO, EVORA, FARO = "aveiro", "\\u00e9vora", "faro"  # as JSON writes them, in ASCII


def epoch_vector() -> dict[str, object]:
    text = f'["fedcc/epoch/v1", "{SESSION.hex()}", 2, 5, 3, 2, true]'
    digest = sha256(text.encode())
    commitments = []
    for number, site, part in [(5, AVEIRO, 0), (7, EVORA, 0), (7, EVORA, 1), (7, EVORA, 2)]:
        seed = sha256(f"seed {number} {part}".encode())
        place = f'["fedcc/commitment/v1", "{digest.hex()}", {number}, "{site}", {part}]'
        commitments.append(
            {
                "number": number,
                "site": site.replace("\\u00e9", "é"),
                "part": part,
                "seed": seed.hex(),
                "commitment": sha256(place.encode(), seed).hex(),
            }
        )
    adverts, running = [], f'["fedcc/binding/v1", "{digest.hex()}", "{KEY_ID}"]'.encode()
    for site in (AVEIRO, EVORA):
        # Channel key, 3 mask keys, 3 entries of 3 commitments.
        parts = b"".join(sha256(f"{site} {place}".encode()) for place in range(1 + 3 + 9))
        signed = f'["fedcc/epoch-advert/v1", "{digest.hex()}", "{site}"]'.encode() + sha256(parts)
        signature = sha256(signed) * 2
        running += sha256(signed, signature)
        adverts.append(
            {
                "site": site.replace("\\u00e9", "é"),
                "parts": parts.hex(),
                "signed": signed.hex(),
                "signature": signature.hex(),
            }
        )
    return {
        "session": SESSION.hex(),
        "number": 2,
        "first_entry": 5,
        "n_entries": 3,
        "n_excess": 2,
        "digest": digest.hex(),
        "commitments": commitments,
        "adverts": adverts,
        "key_id": KEY_ID,
        "binding": sha256(running).hex(),
    }


def pads_vector() -> dict[str, object]:
    place = f'["{RUN}", 7, 6, 2, ["{AVEIRO}", "{EVORA}", "{FARO}"], "{SESSION.hex()}", 0]'
    digest = sha256(place.encode()).hex()
    private = {site: sha256(f"mask key {site}".encode()) for site in (AVEIRO, EVORA)}
    public = {site: public_by_hand(key) for site, key in private.items()}
    secret = x25519_by_hand(private[AVEIRO], public[EVORA])
    seed = sha256(b"self seed")
    # Names are sorted as text, so é comes last although JSON writes it as a backslash.
    pair_info = f'["fedcc", "pair", "v3", "{digest}", "{AVEIRO}", "{EVORA}"]'.encode()
    self_info = f'["fedcc", "self", "v3", "{digest}", "{EVORA}"]'.encode()
    pair_key = hkdf_by_hand(secret, SESSION, pair_info)
    self_key = hkdf_by_hand(seed, SESSION, self_info)
    # Of each pair the first by name adds and the second subtracts.
    with_faro = sha256(b"secret with faro")
    infos = [f'["fedcc", "pair", "v3", "{digest}", "{AVEIRO}", "{FARO}"]'.encode()]
    infos.append(f'["fedcc", "pair", "v3", "{digest}", "{FARO}", "{EVORA}"]'.encode())
    of_aveiro, of_evora = (
        expand_by_hand(hkdf_by_hand(with_faro, SESSION, info), 6) for info in infos
    )
    shared = expand_by_hand(pair_key, 6)
    return {
        "run": RUN,
        "number": 7,
        "round": 6,
        "attempt": 2,
        "cohort": [AVEIRO, "évora", FARO],
        "session": SESSION.hex(),
        "private": [private[AVEIRO].hex(), private[EVORA].hex()],
        "public": [public[AVEIRO].hex(), public[EVORA].hex()],
        "pair_secret": secret.hex(),
        "pair_info": pair_info.decode(),
        "pair_key": pair_key.hex(),
        "secret_with_faro": with_faro.hex(),
        "mask_of_aveiro": [(a + b) % T for a, b in zip(shared, of_aveiro, strict=True)],
        "mask_of_evora": [(-a - b) % T for a, b in zip(shared, of_evora, strict=True)],
        "self_seed": seed.hex(),
        "self_info": self_info.decode(),
        "self_key": self_key.hex(),
        "self_pad": expand_by_hand(self_key, 6),
        "transcript": transcript_vector(digest),
    }


def transcript_vector(digest: str) -> dict[str, object]:
    chunks, survivors = [sha256(b"chunk 0"), sha256(b"chunk 1")], (AVEIRO, FARO)
    headers = {site: sha256(b"header", site.encode()).hex() for site in survivors}
    commitments = {site: sha256(b"seed", site.encode()).hex() for site in survivors}
    listed = ", ".join(f'["{s}", "{headers[s]}", "{commitments[s]}"]' for s in survivors)
    content = f'[["{chunks[0].hex()}", "{chunks[1].hex()}"], [{listed}]]'
    quoted = content.replace('"', '\\"')
    info = f'["fedcc", "transcript", "v3", "{digest}", "{quoted}"]'
    return {
        "chunk_hashes": [chunk.hex() for chunk in chunks],
        "uploads": headers,
        "commitments": commitments,
        "hash": sha256(info.encode()).hex(),
    }


def shares_vector() -> dict[str, object]:
    secret, *drawn = (sha256(f"coefficient {power}".encode()) for power in range(4))
    points = [1, 2, 3, 5, 128, 255]
    shares = {point: share_by_hand([secret, *drawn], point) for point in points}
    return {
        "threshold": 4,
        "secret": secret.hex(),
        "drawn": b"".join(reversed(drawn)).hex(),  # the highest power is drawn first
        "shares": {str(point): share.hex() for point, share in shares.items()},
    }


def protocol_vectors() -> dict[str, object]:
    return {
        "made_by": "python tests/crypto/by_hand.py > tests/vectors/protocol.json",
        "epoch": epoch_vector(),
        "pads": pads_vector(),
        "shares": shares_vector(),
    }


if __name__ == "__main__":
    json.dump(protocol_vectors(), sys.stdout, ensure_ascii=False, indent=1)
    print()
