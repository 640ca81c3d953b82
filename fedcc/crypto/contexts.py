"""TenSEAL keys and the three things done with them: a site encrypts, the aggregator adds, a site
decrypts.

The secret key never leaves `SiteCipher`; `AggregatorCipher` is built from parameter bytes that hold
no key at all. A peer's ciphertext is coefficients, and perhaps a seed, of one fixed length; every
header that SEAL parses is written here. Only the dealer's parameters and epoch key are parsed as
they come, once per run. No Galois or relinearisation keys are ever written.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Sequence

import numpy as np
import tenseal
import tenseal.sealapi as seal
from numpy.typing import NDArray

from fedcc.crypto.masks import expand
from fedcc.crypto.parameters import (
    A_SEED_BYTES,
    BFV_CHAIN,
    CKKS_CHAIN,
    CKKS_SCALE,
    PLAIN_MODULUS,
    POLY_DEGREE,
    Scheme,
    ciphertext_bytes,
    slots_per_chunk,
    word_bytes,
)
from fedcc.errors import EnvelopeError, ProtocolError

MAX_PARAMETER_BYTES = 100  # parameters take 92 (BFV) or 85 (CKKS); the smallest key takes 62 kB
_REFUSED = "a ciphertext was refused"


def create_epoch_key(scheme: Scheme) -> bytes:
    """Return a fresh secret HE context as bytes; about 62 kB, for `SiteCipher` alone."""
    if scheme == "bfv":
        context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV,
            POLY_DEGREE,
            PLAIN_MODULUS,
            coeff_mod_bit_sizes=list(BFV_CHAIN),
            encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
            n_threads=1,
        )
        return _serialise(context, public_key=False, secret_key=True)
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, POLY_DEGREE, coeff_mod_bit_sizes=list(CKKS_CHAIN), n_threads=1
    )
    context.global_scale = CKKS_SCALE
    return _serialise(context, public_key=True, secret_key=True)


def _serialise(context: "tenseal.Context", *, public_key: bool, secret_key: bool) -> bytes:
    return bytes(
        context.serialize(
            save_public_key=public_key,
            save_secret_key=secret_key,
            save_galois_keys=False,
            save_relin_keys=False,
        )
    )


def _scheme_of(context: "tenseal.Context") -> Scheme:
    """Tell which of the two fixed parameter sets a context has.

    Raises:
        ValueError: if it has neither.
    """
    parms = context.seal_context().data.key_context_data().parms()
    name, degree = parms.scheme().name, parms.poly_modulus_degree()
    chain = tuple(prime.bit_count() for prime in parms.coeff_modulus())
    if (name, degree, chain) == ("BFV", POLY_DEGREE, BFV_CHAIN):
        if parms.plain_modulus().value() == PLAIN_MODULUS:
            return "bfv"
    if (name, degree, chain) == ("CKKS", POLY_DEGREE, CKKS_CHAIN):
        return "ckks"
    raise ValueError("not the parameters of the profile")


def parameter_bytes(epoch_key: bytes) -> bytes:
    """Return the parameters alone (at most 100 bytes, no key), for the aggregator."""
    context = tenseal.context_from(epoch_key, n_threads=1)
    return _serialise(context, public_key=False, secret_key=False)


def key_id(epoch_key: bytes) -> str:
    """Return the public name of a key: an HMAC under the key itself, so a dealer cannot give two
    sites different keys of one name."""
    return hmac.new(epoch_key, b"fedcc/key-id/v1", hashlib.sha256).hexdigest()


class _Ciphertexts:
    """Ciphertexts of one context, to and from bytes of a fixed length.

    SEAL's own reader is not safe against hostile bytes: some damaged streams end the process. So a
    peer never writes what SEAL parses. What travels is coefficients as 64-bit words (CKKS: their 7
    low bytes) and, for a fresh BFV ciphertext, the seed that the second polynomial is drawn from;
    every header that SEAL reads around them is written here. SEAL saves to and loads from paths
    only, hence the anonymous memory file.
    """

    def __init__(self, context: "seal.SEALContext", scheme: Scheme) -> None:
        is_ntt, scale = (False, 1.0) if scheme == "bfv" else (True, CKKS_SCALE)
        members = struct.pack(
            "<4Q?QQQdQ", *context.first_parms_id(), is_ntt, 2, POLY_DEGREE, 1, scale, 1
        )
        self._context = context
        self._width = word_bytes(scheme)
        self._seeded_head = members + _array_head(POLY_DEGREE)
        self._seed_head = _seal_header(1 + A_SEED_BYTES) + b"\x01"  # 1: Blake2xb
        self._full_head = members + _array_head(2 * POLY_DEGREE)
        self._fd = os.memfd_create("fedcc-seal")
        self._path = f"/proc/self/fd/{self._fd}"

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def dump(self, ciphertext: "seal.Ciphertext") -> bytes:
        """Return the words of a whole ciphertext."""
        saved, size = self._save(ciphertext), 2 * POLY_DEGREE
        # SEAL compresses 54-bit words and stores 60-bit words as they are: nothing would be gained.
        if saved[: -8 * size].endswith(self._full_head):
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
        saved, words = self._save(serializable), 8 * POLY_DEGREE
        body, seed = saved[:-A_SEED_BYTES], saved[-A_SEED_BYTES:]
        polynomial = body.removesuffix(self._seed_head)
        if body == polynomial or not polynomial[:-words].endswith(self._seeded_head):
            raise ProtocolError("this build of TenSEAL does not write seeds; install 0.3.18")
        return polynomial[-words:] + seed

    def _save(self, sealed: object) -> bytes:
        os.ftruncate(self._fd, 0)
        sealed.save(self._path)  # type: ignore[attr-defined]
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)

    def load(self, content: bytes, *, seeded: bool) -> "seal.Ciphertext":
        """Return a ciphertext.

        Raises:
            EnvelopeError: if it is not sound; says no more than that.
        """
        size = POLY_DEGREE * self._width
        if len(content) != (size + A_SEED_BYTES if seeded else 2 * size):
            raise EnvelopeError(_REFUSED)
        if seeded:
            body = self._seeded_head + content[:size] + self._seed_head + content[size:]
        else:
            words = np.zeros((2 * POLY_DEGREE, 8), dtype=np.uint8)
            words[:, : self._width] = np.frombuffer(content, np.uint8).reshape(-1, self._width)
            body = self._full_head + words.tobytes()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, _seal_header(len(body)) + body, 0)
        ciphertext = seal.Ciphertext()
        try:
            ciphertext.load(self._context, self._path)
            sound = seal.is_valid_for(ciphertext, self._context)
            sound = sound and not ciphertext.is_transparent()
        except (RuntimeError, ValueError):
            sound = False
        if not sound:
            raise EnvelopeError(_REFUSED)
        return ciphertext


def _seal_header(size: int) -> bytes:
    """Return SEAL's header of `size` bytes that follow uncompressed."""
    version = seal.Serialization.SEALHeader()
    numbers = (0xA15E, 16, version.version_major, version.version_minor, 0, 0, 16 + size)
    return struct.pack("<HBBBBHQ", *numbers)


def _array_head(words: int) -> bytes:
    return _seal_header(8 + 8 * words) + struct.pack("<Q", words)


def check_seed_compression() -> None:
    """Check once that this TenSEAL build writes seed-compressed ciphertexts.

    Raises:
        ProtocolError: if it does not; there is no silent fallback to twice the bytes.
    """
    SiteCipher("bfv", create_epoch_key("bfv")).encrypt(np.zeros(1, dtype=np.uint64))


class SiteCipher:
    """Encrypts and decrypts with the epoch key; lives at a site."""

    def __init__(self, scheme: Scheme, epoch_key: bytes) -> None:
        """Load the key.

        Raises:
            EnvelopeError: if the bytes are not a private context with the parameters of `scheme`.
        """
        try:
            context = tenseal.context_from(epoch_key, n_threads=1)
            if _scheme_of(context) != scheme:
                raise ValueError("another scheme")
            secret = context.secret_key().data
            self._seal = context.seal_context().data
            self._decryptor = seal.Decryptor(self._seal, secret)
            if scheme == "bfv":
                self._encoder = seal.BatchEncoder(self._seal)
                self._encryptor = seal.Encryptor(self._seal, secret)
            else:
                self._encoder = seal.CKKSEncoder(self._seal)
                self._encryptor = seal.Encryptor(self._seal, context.public_key().data)
        except (RuntimeError, ValueError, TypeError) as error:
            raise EnvelopeError("the epoch key cannot be used") from error
        self._scheme = scheme
        self._fresh_bytes, _ = ciphertext_bytes(scheme, aggregate=False)
        self._ciphertexts = _Ciphertexts(self._seal, scheme)

    def encrypt(self, values: NDArray[np.uint64] | NDArray[np.float64]) -> list[bytes]:
        """Return ciphertext chunks of slots (BFV: uint64 in [0, t)) or of floats (CKKS).

        The last chunk is filled with random slots (BFV) or zeros (CKKS).

        Raises:
            ValueError: for a slot outside [0, t), or a float beyond what the scale leaves room for.
        """
        slots = slots_per_chunk(self._scheme)
        filling = -values.size % slots
        if self._scheme == "bfv":
            # SEAL would encode these without a word, as something else.
            if values.size and not 0 <= values.min() <= values.max() < PLAIN_MODULUS:
                raise ValueError("a slot lies outside [0, t)")
            tail = expand(os.urandom(32), filling)
            padded = np.concatenate([values.astype(np.uint64), tail])
            return [self._encrypt_bfv(padded[i : i + slots]) for i in range(0, padded.size, slots)]
        floats = np.concatenate([values.astype(np.float64), np.zeros(filling)])
        return [self._encrypt_ckks(floats[i : i + slots]) for i in range(0, floats.size, slots)]

    def _encrypt_bfv(self, slots: NDArray[np.uint64]) -> bytes:
        plain = seal.Plaintext()
        self._encoder.encode(slots.tolist(), plain)
        return self._ciphertexts.dump_seeded(self._encryptor.encrypt_symmetric(plain))

    def _encrypt_ckks(self, values: NDArray[np.float64]) -> bytes:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        self._encoder.encode(values.tolist(), CKKS_SCALE, plain)
        self._encryptor.encrypt(plain, ciphertext)
        return self._ciphertexts.dump(ciphertext)

    def decrypt(self, chunks: Sequence[bytes], size: int) -> NDArray[np.generic]:
        """Return the first `size` slots: uint64 in [0, t) for BFV, float64 for CKKS.

        Raises:
            EnvelopeError: if a chunk is not a sound ciphertext, or there are too few; says no more
                than that.
        """
        if len(chunks) * slots_per_chunk(self._scheme) < size or not chunks:
            raise EnvelopeError(_REFUSED)
        parts = []
        plain = seal.Plaintext()
        for chunk in chunks:
            seeded = self._scheme == "bfv" and len(chunk) == self._fresh_bytes
            self._decryptor.decrypt(self._ciphertexts.load(chunk, seeded=seeded), plain)
            if self._scheme == "bfv":
                parts.append(np.asarray(self._encoder.decode_uint64(plain), dtype=np.uint64))
            else:
                parts.append(np.asarray(self._encoder.decode_double(plain), dtype=np.float64))
        slots: NDArray[np.generic] = np.concatenate(parts)
        return slots[:size]


class AggregatorCipher:
    """Adds ciphertexts and can do nothing else: it is built without any key."""

    def __init__(self, parameters: bytes) -> None:
        """Load the parameters.

        Raises:
            EnvelopeError: if they hold a key, or cannot be loaded.
        """
        if len(parameters) > MAX_PARAMETER_BYTES:
            raise EnvelopeError("the HE parameters hold a key; the aggregator must not have one")
        try:
            context = tenseal.context_from(parameters, n_threads=1)
            scheme = _scheme_of(context)
        except (RuntimeError, ValueError) as error:
            raise EnvelopeError("the HE parameters cannot be used") from error
        if _serialise(context, public_key=False, secret_key=False) != parameters:
            raise EnvelopeError("the HE parameters hold more than parameters")
        self._seeded = scheme == "bfv"
        self._evaluator = seal.Evaluator(context.seal_context().data)
        self._ciphertexts = _Ciphertexts(context.seal_context().data, scheme)

    def check(self, chunks: Sequence[bytes]) -> None:
        """Refuse an upload that holds an unsound ciphertext.

        Raises:
            EnvelopeError: says no more than that.
        """
        for chunk in chunks:
            self._ciphertexts.load(chunk, seeded=self._seeded)

    def add(self, uploads: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return the chunk-wise sum of uploads of equal length, as bytes.

        Raises:
            EnvelopeError: if a ciphertext is unsound or the sum is transparent.
        """
        sums = []
        for column in zip(*uploads, strict=True):
            total, *others = (self._ciphertexts.load(c, seeded=self._seeded) for c in column)
            try:
                for ciphertext in others:
                    self._evaluator.add_inplace(total, ciphertext)
            except (RuntimeError, ValueError):  # SEAL refuses a transparent sum
                raise EnvelopeError(_REFUSED) from None
            sums.append(self._ciphertexts.dump(total))
        return sums
