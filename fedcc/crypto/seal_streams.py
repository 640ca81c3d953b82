"""What SEAL reads and writes: parameters, keys and ciphertexts of a fixed length, headers of ours.

SEAL's own reader is not safe against hostile bytes: some damaged streams end the process, and
TenSEAL's reads past its buffers. So nothing that another party wrote is ever parsed by either:

* parameters are built from constants; a peer's copy is compared with them, never read;
* the epoch key is 32 random bytes; the ternary polynomial is drawn from them here;
* a ciphertext is coefficients as words of one length, and perhaps the 64-byte seed that its second
  polynomial is drawn from. Its length is checked first; every header that SEAL reads is written
  here, so no size, count, flag or compression mode that SEAL acts on comes from outside. What is
  left to a peer is the value of coefficients, which SEAL compares with the modulus, and of a seed,
  of which every value is one.

That is why no child process is needed to read what peers send. SEAL saves to and loads from paths
only, hence the anonymous memory file. Galois and relinearisation keys are never made.
"""

import os
import struct
from functools import cache

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from fedcc.crypto.parameters import (
    A_SEED_BYTES,
    PLAIN_MODULUS,
    POLY_DEGREE,
    PRIMES,
    SCALES,
    Scheme,
    ciphertext_bytes,
    word_bytes,
)
from fedcc.errors import EnvelopeError, ProtocolError

REFUSED = "a ciphertext was refused"
_AT_NO_LEVEL = (0, 0, 0, 0)  # parms_id of a plaintext that is plain coefficients


@cache
def seal_context(scheme: Scheme) -> "seal.SEALContext":
    """Return the context of a scheme, built from constants alone.

    Raises:
        ProtocolError: if this build of SEAL does not take the parameters.
    """
    return _context(scheme == "bfv", PRIMES[scheme])


@cache
def _context(exact: bool, primes: tuple[int, int]) -> "seal.SEALContext":
    kind = seal.SCHEME_TYPE.BFV if exact else seal.SCHEME_TYPE.CKKS
    parameters = seal.EncryptionParameters(kind)
    parameters.set_poly_modulus_degree(POLY_DEGREE)
    parameters.set_coeff_modulus([seal.Modulus(prime) for prime in primes])
    if exact:
        parameters.set_plain_modulus(seal.Modulus(PLAIN_MODULUS))
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise ProtocolError("this build of TenSEAL refuses the parameters; install 0.3.18")
    return context


class _MemoryFile:
    """An anonymous file that lives as long as this object."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("fedcc-seal")
        self.path = f"/proc/self/fd/{self._fd}"

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def write(self, body: bytes) -> None:
        """Hold SEAL's header and this body."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, _seal_header(len(body)) + body, 0)

    def saved(self, sealed: object) -> bytes:
        """Return what an object of SEAL saves."""
        os.ftruncate(self._fd, 0)
        sealed.save(self.path)  # type: ignore[attr-defined]
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)


def secret_key(scheme: Scheme, ternary: NDArray[np.int64]) -> "seal.SecretKey":
    """Return SEAL's form of a secret polynomial with coefficients in {-1, 0, 1}.

    SEAL keeps it transformed mod each prime. The transform is that of an exact context with the
    same primes, which every scheme here can have.
    """
    exact, memory = _context(True, PRIMES[scheme]), _MemoryFile()
    plain, key = seal.Plaintext(), seal.SecretKey()
    memory.write(_plain_body(_AT_NO_LEVEL, np.mod(ternary, PLAIN_MODULUS).astype("<u8")))
    plain.load(exact, memory.path)
    seal.Evaluator(exact).transform_to_ntt_inplace(plain, exact.key_parms_id())
    array = plain.dyn_array()
    words = np.fromiter((array.at(i) for i in range(array.size())), dtype="<u8")
    context = seal_context(scheme)
    memory.write(_plain_body(context.key_parms_id(), words))
    key.load(context, memory.path)
    return key


def _plain_body(level: tuple[int, ...], words: NDArray[np.uint64]) -> bytes:
    return struct.pack("<4QQd", *level, words.size, 1.0) + _array_head(words.size) + words.tobytes()


class Ciphertexts:
    """Ciphertexts of one scheme, to and from bytes of a fixed length.

    What travels is coefficients as 64-bit words (`ckks`: their 7 low bytes) and, where seeded, the
    seed of the second polynomial.
    """

    def __init__(self, scheme: Scheme) -> None:
        """Fix the headers of a scheme."""
        self._context = seal_context(scheme)
        is_ntt, scale = scheme != "bfv", SCALES.get(scheme, 1.0)
        level = self._context.first_parms_id()
        members = struct.pack("<4Q?QQQdQ", *level, is_ntt, 2, POLY_DEGREE, 1, scale, 1)
        self._width = word_bytes(scheme)
        self._seeded_bytes, _ = ciphertext_bytes(scheme, aggregate=False)
        self._whole_bytes, _ = ciphertext_bytes(scheme, aggregate=True)
        self._seeded_head = members + _array_head(POLY_DEGREE)
        self._seed_head = _seal_header(1 + A_SEED_BYTES) + b"\x01"  # 1: Blake2xb
        self._whole_head = members + _array_head(2 * POLY_DEGREE)
        self._memory = _MemoryFile()

    def dump(self, ciphertext: "seal.Ciphertext") -> bytes:
        """Return the words of a whole ciphertext."""
        saved, size = self._memory.saved(ciphertext), 2 * POLY_DEGREE
        # SEAL compresses 54-bit words and stores 60-bit words as they are: nothing would be gained.
        if saved[: -8 * size].endswith(self._whole_head):
            words = np.frombuffer(saved[-8 * size :], dtype="<u8")
        else:
            array = ciphertext.dyn_array()
            words = np.fromiter((array.at(i) for i in range(size)), dtype="<u8", count=size)
        return words.view(np.uint8).reshape(-1, 8)[:, : self._width].tobytes()

    def dump_seeded(self, serializable: object) -> bytes:
        """Return words and seed of a fresh ciphertext.

        Raises:
            ProtocolError: if SEAL did not write a seed.
        """
        saved, words = self._memory.saved(serializable), 8 * POLY_DEGREE
        body, seed = saved[:-A_SEED_BYTES], saved[-A_SEED_BYTES:]
        polynomial = body.removesuffix(self._seed_head)
        if body == polynomial or not polynomial[:-words].endswith(self._seeded_head):
            raise ProtocolError(
                "this build of TenSEAL does not write seeds; install 0.3.18, or set "
                "crypto.unseeded=true, which sends twice the bytes"
            )
        return polynomial[-words:] + seed

    def load(self, content: bytes, *, seeded: bool) -> "seal.Ciphertext":
        """Return a ciphertext whose second polynomial is not zero.

        Raises:
            EnvelopeError: if it is not sound; says no more than that.
        """
        if len(content) != (self._seeded_bytes if seeded else self._whole_bytes):
            raise EnvelopeError(REFUSED)
        if seeded:
            end = len(content) - A_SEED_BYTES
            self._memory.write(self._seeded_head + content[:end] + self._seed_head + content[end:])
        else:
            words = np.zeros((2 * POLY_DEGREE, 8), dtype=np.uint8)
            words[:, : self._width] = np.frombuffer(content, np.uint8).reshape(-1, self._width)
            self._memory.write(self._whole_head + words.tobytes())
        ciphertext = seal.Ciphertext()
        try:
            ciphertext.load(self._context, self._memory.path)
            sound = seal.is_valid_for(ciphertext, self._context)
            sound = sound and not ciphertext.is_transparent()
        except (RuntimeError, ValueError):
            sound = False
        if not sound:
            raise EnvelopeError(REFUSED)
        return ciphertext


def _seal_header(size: int) -> bytes:
    """Return SEAL's header of `size` bytes that follow uncompressed."""
    version = seal.Serialization.SEALHeader()
    numbers = (0xA15E, 16, version.version_major, version.version_minor, 0, 0, 16 + size)
    return struct.pack("<HBBBBHQ", *numbers)


def _array_head(words: int) -> bytes:
    return _seal_header(8 + 8 * words) + struct.pack("<Q", words)
