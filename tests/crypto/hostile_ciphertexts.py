"""Feeds hostile bytes to the ciphers and prints what came of each, as JSON.

It holds every row of the fuzz table that the reference measured against TenSEAL and SEAL, two of
which end a process that parses them. Of that table only lengths, coefficients and seeds are left
to a peer here; the rest (sizes, counts, compression, levels, scales) is sent all the same.

Run by `test_hostile_ciphertexts.py` as a child process, so that a crash of native code is seen.
Usage: python hostile_ciphertexts.py SCHEME
"""

import json
import math
import random
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tenseal
import tenseal.sealapi as seal

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher, create_epoch_key, parameter_bytes
from fedcc.crypto.parameters import PLAIN_MODULUS, POLY_DEGREE

REPEATS = 50


# Of other primes. The two masked schemes share theirs, so the coefficients of one are sound under
# the other; each envelope names its parameters for that (test_envelopes.py).
OTHERS = {"bfv": "ckks", "ckks_packed": "ckks", "ckks": "bfv"}


def flipped(rng: random.Random, content: bytes, start: int = 0, end: int | None = None) -> bytes:
    altered = bytearray(content)
    for _ in range(rng.randrange(1, 8)):
        altered[rng.randrange(start, end or len(content))] ^= 1 << rng.randrange(8)
    return bytes(altered)


def stream_that_ends_seal(folder: Path) -> bytes:
    """Return a ciphertext in SEAL's own format whose inner array claims to be compressed and huge.

    SEAL 4.3 throws from a destructor when it reads this, which ends the process.
    """
    stream = bytearray(stream_of_seal(folder, POLY_DEGREE))
    inner = stream.index(stream[:5], 5)  # each array has a header of its own, which starts alike
    stream[inner + 5] = 1  # zlib
    stream[inner + 11] = 1  # bit 24 of its size
    return bytes(stream)


def textbook_context(degree: int) -> "tenseal.Context":
    chain = [60, 49] if degree == POLY_DEGREE else [60, 60]
    return tenseal.context(
        tenseal.SCHEME_TYPE.BFV, degree, PLAIN_MODULUS, coeff_mod_bit_sizes=chain
    )


def stream_of_seal(folder: Path, degree: int) -> bytes:
    context = textbook_context(degree)
    encryptor = seal.Encryptor(context.seal_context().data, context.secret_key().data)
    encryptor.encrypt_symmetric(seal.Plaintext("1")).save(str(folder / "ciphertext"))
    return (folder / "ciphertext").read_bytes()


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def vector_of_tenseal(sizes: list[int], ciphertexts: list[bytes], scale: float) -> bytes:
    """Return TenSEAL's CKKSVectorProto: sizes (1, packed), ciphertexts (2) and scale (3)."""
    packed = b"".join(map(varint, sizes))
    parts = [b"\x0a", varint(len(packed)), packed]
    for ciphertext in ciphertexts:
        parts += [b"\x12", varint(len(ciphertext)), ciphertext]
    return b"".join([*parts, b"\x19", struct.pack("<d", scale)])


def rows_of_the_reference(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the inputs of the reference's table that are more than random or damaged bytes."""
    stream = stream_of_seal(folder, POLY_DEGREE)
    yield "a stream of SEAL", stream
    yield "a stream of SEAL with N = 8192", stream_of_seal(folder, 2 * POLY_DEGREE)
    yield "a stream that ends SEAL", stream_that_ends_seal(folder)
    vectors = {
        "sizes without ciphertexts": ([2048, 1952], []),
        "ciphertexts without sizes": ([], [stream]),
        "a size of 4000 with one ciphertext": ([4000], [stream]),
        "a size of 3000 with one ciphertext": ([3000], [stream]),
        "a size of a million with one ciphertext": ([1_000_000], [stream]),
        "a size of 2^32 - 1": ([2**32 - 1], [stream]),
    }
    for name, (sizes, ciphertexts) in vectors.items():
        yield name, vector_of_tenseal(sizes, ciphertexts, 2.0**40)
    for scale in (0.0, math.nan, -math.inf):
        yield "a bogus scale", vector_of_tenseal([10], [stream], scale)
    bomb = zlib.compress(bytes(1 << 25), 9)
    for mode in (1, 2):
        head = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, mode, 0, 16 + len(bomb))
        yield "a bomb of zeros", head + bomb
    for place in (8, 12, 16 + 32 + 1, 16 + 32 + 9, 16 + 32 + 17):
        inflated = bytearray(stream)
        inflated[place : place + 4] = b"\xff\xff\xff\x7f"
        yield "an inflated size, degree or count", bytes(inflated)


def cases(scheme: str, upload: bytes, aggregate: bytes) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(1)
    other = OTHERS[scheme]
    [foreign] = SiteCipher(other, create_epoch_key(other)).encrypt(np.ones(5))
    yield "empty", b""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in rows_of_the_reference(Path(folder)):
            yield name, content
            for size in (len(upload), len(aggregate)):
                yield f"{name}, at the right length", content.ljust(size, b"\xff")[:size]
    for _ in range(REPEATS):
        valid = rng.choice([upload, aggregate])
        yield "random", rng.randbytes(rng.randrange(70_000))
        yield "random of the right length", rng.randbytes(len(valid))
        yield "truncated", valid[: rng.randrange(len(valid))]
        yield "trailing bytes", valid + rng.randbytes(rng.randrange(1, 100))
        yield "flipped bits", flipped(rng, valid)
        yield "flipped bits at the start", flipped(rng, valid, 0, 64)
        yield "flipped bits at the end", flipped(rng, valid, len(valid) - 64)
        yield "a whole chunk of another scheme", foreign
        yield "another scheme, cut to length", foreign.ljust(len(valid), b"\0")[: len(valid)]


def outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def main(scheme: str) -> None:
    key = create_epoch_key(scheme)
    site, aggregator = SiteCipher(scheme, key), AggregatorCipher(parameter_bytes(key))
    upload = site.encrypt(np.ones(5))
    aggregate = aggregator.add([upload, upload])
    for name, content in cases(scheme, upload[0], aggregate[0]):
        print(json.dumps([name, "check", outcome(lambda c=content: aggregator.check([c]))]))
        print(json.dumps([name, "add", outcome(lambda c=content: aggregator.add([upload, [c]]))]))
        print(json.dumps([name, "decrypt", outcome(lambda c=content: site.decrypt([c], 5))]))
    for name, content in contexts(key):
        print(json.dumps([name, "load", outcome(lambda c=content: AggregatorCipher(c))]))
        print(json.dumps([name, "load", outcome(lambda c=content: SiteCipher(scheme, c))]))


def contexts(key: bytes) -> Iterator[tuple[str, bytes]]:
    rng, parameters = random.Random(2), parameter_bytes(key)
    whole = textbook_context(POLY_DEGREE).serialize(save_secret_key=True)
    bare = whole[:100]
    for _ in range(REPEATS):
        yield "context", rng.randbytes(rng.choice([48, 76, 100, 62_000]))
        yield "context", whole[: rng.randrange(len(whole))]
        yield "context", flipped(rng, whole)
        yield "context", flipped(rng, bare)
        yield "context", flipped(rng, parameters)
        yield "context", flipped(rng, key, 0, 16)
        yield "context", key[: rng.randrange(len(key))]
        yield "context", key + rng.randbytes(rng.randrange(1, 40))


if __name__ == "__main__":
    main(sys.argv[1])
