"""Feeds hostile bytes to the ciphers and prints what came of each, as JSON.

Run by `test_hostile_ciphertexts.py` as a child process, so that a crash of native code is seen.
Usage: python hostile_ciphertexts.py SCHEME
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tenseal
import tenseal.sealapi as seal

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher, create_epoch_key, parameter_bytes

REPEATS = 50


def other_scheme(scheme: str) -> str:
    return "ckks" if scheme == "bfv" else "bfv"


def flipped(rng: random.Random, content: bytes, start: int = 0, end: int | None = None) -> bytes:
    altered = bytearray(content)
    for _ in range(rng.randrange(1, 8)):
        altered[rng.randrange(start, end or len(content))] ^= 1 << rng.randrange(8)
    return bytes(altered)


def stream_that_ends_seal(folder: Path) -> bytes:
    """Return a ciphertext in SEAL's own format whose inner array claims to be compressed and huge.

    SEAL 4.3 throws from a destructor when it reads this, which ends the process.
    """
    context = tenseal.context_from(create_epoch_key("bfv"))
    encryptor = seal.Encryptor(context.seal_context().data, context.secret_key().data)
    encryptor.encrypt_symmetric(seal.Plaintext("1")).save(str(folder / "ciphertext"))
    stream = bytearray((folder / "ciphertext").read_bytes())
    inner = stream.index(stream[:5], 5)  # each array has a header of its own, which starts alike
    stream[inner + 5] = 1  # zlib
    stream[inner + 11] = 1  # bit 24 of its size
    return bytes(stream)


def cases(scheme: str, upload: bytes, aggregate: bytes) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(1)
    stranger = SiteCipher(other_scheme(scheme), create_epoch_key(other_scheme(scheme)))
    [foreign] = stranger.encrypt(np.ones(5))
    with tempfile.TemporaryDirectory() as folder:
        stream = stream_that_ends_seal(Path(folder))
    yield "empty", b""
    yield "a stream of SEAL", stream
    yield "a stream of SEAL, cut to length", stream[: len(upload)]
    yield (
        "a stream of SEAL, filled to length",
        stream.ljust(len(aggregate), b"\0")[: len(aggregate)],
    )
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
    rng = random.Random(2)
    parameters = parameter_bytes(key)
    for _ in range(REPEATS):
        altered = flipped(rng, parameters)
        print(json.dumps(["parameters", "load", outcome(lambda a=altered: AggregatorCipher(a))]))
        altered = flipped(rng, key, 0, 200)
        print(json.dumps(["epoch key", "load", outcome(lambda a=altered: SiteCipher(scheme, a))]))


if __name__ == "__main__":
    main(sys.argv[1])
