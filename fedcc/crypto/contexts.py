"""The epoch key and the three things done with it: a site encrypts, the aggregator adds, a site
decrypts.

The secret key never leaves `SiteCipher`; `AggregatorCipher` is built from public constants. Native
code parses nothing that a peer wrote but coefficients and seeds of fixed lengths; the argument is
in `seal_streams`.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence

import numpy as np
import tenseal.sealapi as seal
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedcc.crypto.masks import expand
from fedcc.crypto.parameters import (
    ENCRYPTED,
    MASKED,
    MODULI,
    POLY_DEGREE,
    SCALES,
    Scheme,
    ciphertext_bytes,
    parameter_line,
    slots_per_chunk,
)
from fedcc.crypto.seal_streams import REFUSED, Ciphertexts, seal_context, secret_key
from fedcc.errors import EnvelopeError

EPOCH_KEY_BYTES = 48  # the name of the scheme, filled up to 16, and 32 secret bytes
_NAME_BYTES = 16
MAX_PARAMETER_BYTES = 100
# A decrypted integer lies this close to a whole number: 18 deviations of 128 sites' noise.
_ROUNDING_MARGIN = 0.25


def create_epoch_key(scheme: Scheme) -> bytes:
    """Return a fresh secret HE key, for `SiteCipher` alone: the operating system's randomness."""
    return scheme.encode().ljust(_NAME_BYTES, b"\0") + os.urandom(EPOCH_KEY_BYTES - _NAME_BYTES)


def _scheme_of(epoch_key: bytes) -> Scheme:
    """Tell which scheme a key is for.

    Raises:
        EnvelopeError: if it is not a key.
    """
    for scheme in ENCRYPTED:
        if epoch_key[:_NAME_BYTES] == scheme.encode().ljust(_NAME_BYTES, b"\0"):
            if len(epoch_key) == EPOCH_KEY_BYTES:
                return scheme
    raise EnvelopeError("the epoch key cannot be used")


def secret_polynomial(epoch_key: bytes) -> NDArray[np.int64]:
    """Return the secret polynomial of a key: coefficients uniform in {-1, 0, 1}, shape `(N,)`.

    That is the distribution of SEAL's own keys and of the security tables.

    Raises:
        EnvelopeError: if it is not a key.
    """
    info = b"fedcc/epoch-key/v1|" + parameter_line(_scheme_of(epoch_key))
    stream = HKDF(algorithm=SHA256(), length=32, salt=None, info=info)
    return expand(stream.derive(epoch_key), POLY_DEGREE, modulus=3).astype(np.int64) - 1


def parameter_bytes(epoch_key: bytes) -> bytes:
    """Return the parameters alone (at most 100 bytes, nothing of the key), for the aggregator.

    Raises:
        EnvelopeError: if it is not a key.
    """
    return parameter_line(_scheme_of(epoch_key))


def key_id(epoch_key: bytes) -> str:
    """Return the public name of a key: an HMAC under the key itself, so a dealer cannot give two
    sites different keys of one name."""
    return hmac.new(epoch_key, b"fedcc/key-id/v1", hashlib.sha256).hexdigest()


def check_seed_compression() -> None:
    """Check once that this TenSEAL build writes seed-compressed ciphertexts.

    Raises:
        ProtocolError: if it does not; there is no silent fallback to twice the bytes.
    """
    SiteCipher("bfv", create_epoch_key("bfv")).encrypt(np.zeros(1, dtype=np.uint64))


class SiteCipher:
    """Encrypts and decrypts with the epoch key; lives at a site."""

    def __init__(self, scheme: Scheme, epoch_key: bytes, *, seeded: bool = True) -> None:
        """Make the key of `scheme` ready.

        Args:
            scheme: of the plan.
            epoch_key: as dealt.
            seeded: whether fresh ciphertexts of a masked scheme travel as one polynomial and a
                seed.

        Raises:
            EnvelopeError: if the bytes are not a key of `scheme`.
        """
        if _scheme_of(epoch_key) != scheme:
            raise EnvelopeError("the epoch key cannot be used")
        context, secret = seal_context(scheme), secret_key(scheme, secret_polynomial(epoch_key))
        self._decryptor = seal.Decryptor(context, secret)
        self._encoder = seal.BatchEncoder(context) if scheme == "bfv" else seal.CKKSEncoder(context)
        if scheme in MASKED:
            self._encryptor = seal.Encryptor(context, secret)
        else:  # as textbooks do, under a public key
            public = seal.PublicKey()
            seal.KeyGenerator(context, secret).create_public_key(public)
            self._encryptor = seal.Encryptor(context, public)
        self._scheme = scheme
        self._seeded = seeded and scheme in MASKED
        self._seeded_bytes, _ = ciphertext_bytes(scheme, aggregate=False)
        self._ciphertexts = Ciphertexts(scheme)

    def encrypt(self, values: NDArray[np.uint64] | NDArray[np.float64]) -> list[bytes]:
        """Return ciphertext chunks of slots (uint64 in [0, modulus)) or, under `ckks`, of floats.

        The last chunk is filled with random slots, or with zeros.

        Raises:
            ValueError: for a slot outside [0, modulus), or a float beyond what the scale leaves
                room for.
        """
        slots = slots_per_chunk(self._scheme)
        filling = -values.size % slots
        if self._scheme in MASKED:
            modulus = MODULI[self._scheme]
            # SEAL would encode these without a word, as something else.
            if values.size and not 0 <= values.min() <= values.max() < modulus:
                raise ValueError("a slot lies outside [0, modulus)")
            tail = expand(os.urandom(32), filling, modulus=modulus)
            padded = np.concatenate([values.astype(np.uint64), tail])
            return [self._masked(padded[i : i + slots]) for i in range(0, padded.size, slots)]
        floats = np.concatenate([values.astype(np.float64), np.zeros(filling)])
        return [self._textbook(floats[i : i + slots]) for i in range(0, floats.size, slots)]

    def _masked(self, slots: NDArray[np.uint64]) -> bytes:
        plain = seal.Plaintext()
        if self._scheme == "bfv":
            self._encoder.encode(slots.tolist(), plain)
        else:
            modulus = MODULI[self._scheme]
            numbers = slots.astype(np.int64)
            centred = np.where(numbers >= modulus // 2, numbers - modulus, numbers)
            pairs = centred[: POLY_DEGREE // 2] + 1j * centred[POLY_DEGREE // 2 :]
            self._encoder.encode(pairs.tolist(), SCALES[self._scheme], plain)
        if self._seeded:
            return self._ciphertexts.dump_seeded(self._encryptor.encrypt_symmetric(plain))
        ciphertext = seal.Ciphertext()
        self._encryptor.encrypt_symmetric(plain, ciphertext)
        return self._ciphertexts.dump(ciphertext)

    def _textbook(self, values: NDArray[np.float64]) -> bytes:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        self._encoder.encode(values.tolist(), SCALES[self._scheme], plain)
        self._encryptor.encrypt(plain, ciphertext)
        return self._ciphertexts.dump(ciphertext)

    def decrypt(self, chunks: Sequence[bytes], size: int) -> NDArray[np.generic]:
        """Return the first `size` slots: uint64 in [0, modulus), under `ckks` float64.

        No approximate number leaves a masked scheme: `ckks_packed` is rounded here.

        Raises:
            EnvelopeError: if a chunk is not a sound ciphertext, if there are too few, or if a
                number is not near a whole one; says no more than that.
        """
        if len(chunks) * slots_per_chunk(self._scheme) < size or not chunks:
            raise EnvelopeError(REFUSED)
        first = self._open(chunks[0])
        slots: NDArray[np.generic] = np.empty(len(chunks) * first.size, dtype=first.dtype)
        slots[: first.size] = first
        for index, chunk in enumerate(chunks[1:], start=1):
            slots[index * first.size : (index + 1) * first.size] = self._open(chunk)
        return slots[:size]

    def _open(self, chunk: bytes) -> NDArray[np.generic]:
        plain = seal.Plaintext()
        seeded = self._scheme in MASKED and len(chunk) == self._seeded_bytes
        self._decryptor.decrypt(self._ciphertexts.load(chunk, seeded=seeded), plain)
        if self._scheme == "bfv":
            return np.fromiter(self._encoder.decode_uint64(plain), np.uint64, count=POLY_DEGREE)
        if self._scheme == "ckks":
            return np.asarray(self._encoder.decode_double(plain), dtype=np.float64)
        pairs = np.asarray(self._encoder.decode_complex(plain), dtype=np.complex128)
        numbers = np.concatenate([pairs.real, pairs.imag])
        whole = np.rint(numbers)
        if not np.abs(numbers - whole).max() < _ROUNDING_MARGIN:
            raise EnvelopeError(REFUSED)
        slots: NDArray[np.generic] = np.mod(whole, float(MODULI[self._scheme])).astype(np.uint64)
        return slots


class AggregatorCipher:
    """Adds ciphertexts and can do nothing else: it is built without any key."""

    def __init__(self, parameters: bytes, *, seeded: bool = True) -> None:
        """Take up parameters: they are compared with the known ones, and not parsed.

        Args:
            parameters: of the epoch, from the dealer.
            seeded: whether uploads of a masked scheme travel with a seed.

        Raises:
            EnvelopeError: if they are not exactly those of a scheme; a key is longer.
        """
        if len(parameters) > MAX_PARAMETER_BYTES:
            raise EnvelopeError("the HE parameters hold a key; the aggregator must not have one")
        known = {parameter_line(scheme): scheme for scheme in ENCRYPTED}
        if parameters not in known:
            raise EnvelopeError("the HE parameters cannot be used")
        scheme = known[parameters]
        self._seeded = seeded and scheme in MASKED
        self._evaluator = seal.Evaluator(seal_context(scheme))
        self._ciphertexts = Ciphertexts(scheme)

    def check(self, chunks: Sequence[bytes]) -> None:
        """Refuse an upload that holds an unsound ciphertext.

        Raises:
            EnvelopeError: says no more than that.
        """
        for chunk in chunks:
            self._ciphertexts.load(chunk, seeded=self._seeded)

    def add(self, uploads: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return the chunk-wise sum of uploads of equal length, as bytes; see `RunningSum`.

        Raises:
            EnvelopeError: if a ciphertext is unsound, or the sum is transparent.
        """
        total = self.start()
        for chunks in uploads:
            total.take(chunks)
        return total.chunks()

    def start(self) -> "RunningSum":
        """Return an empty sum."""
        return RunningSum(self._evaluator, self._ciphertexts, seeded=self._seeded)


class RunningSum:
    """The sum of the uploads so far: each is parsed once, and none is kept.

    Zero is not the only second polynomial that gives a sum away: without seeds, whoever sends last
    can steer it to any value. To do so a site must see the others' uploads first, so it helps only
    an aggregator to which that site could as well hand the key.
    """

    def __init__(
        self, evaluator: "seal.Evaluator", ciphertexts: Ciphertexts, *, seeded: bool
    ) -> None:
        """Start with nothing; see `AggregatorCipher.start`."""
        self._evaluator, self._ciphertexts, self._seeded = evaluator, ciphertexts, seeded
        self._total: list[seal.Ciphertext] = []

    def take(self, chunks: Sequence[bytes]) -> None:
        """Add an upload, or leave the sum as it was.

        Raises:
            EnvelopeError: if a ciphertext is unsound, or the second polynomial of the sum would be
                zero: its first one would be the sum in clear.
            ValueError: if there are more or fewer chunks than before; headers are checked first.
        """
        loaded = [self._ciphertexts.load(chunk, seeded=self._seeded) for chunk in chunks]
        if not self._total:
            self._total = loaded
            return
        if len(loaded) != len(self._total):
            raise ValueError("uploads of one sum have equally many chunks")
        for ciphertext, total in zip(loaded, self._total, strict=True):
            try:
                self._evaluator.add_inplace(ciphertext, total)
            except (RuntimeError, ValueError):  # SEAL refuses a transparent sum
                raise EnvelopeError(REFUSED) from None
            if ciphertext.is_transparent():
                raise EnvelopeError(REFUSED)
        self._total = loaded

    def chunks(self) -> list[bytes]:
        """Return the sum as bytes."""
        return [self._ciphertexts.dump(ciphertext) for ciphertext in self._total]
