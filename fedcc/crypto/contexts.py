"""TenSEAL keys and the three things done with them: a site encrypts, the aggregator adds, a site
decrypts.

The secret key never leaves `SiteCipher`; `AggregatorCipher` is built from parameter bytes that hold
no key at all. Peers' bytes go to `Ciphertext.load` alone, after signature and length were checked,
never to TenSEAL's own vector parsers. No Galois or relinearisation keys are ever written.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence

import numpy as np
import tenseal
import tenseal.sealapi as seal
from numpy.typing import NDArray

from fedcc.crypto.masks import expand
from fedcc.crypto.parameters import (
    BFV_CHAIN,
    CKKS_CHAIN,
    CKKS_SCALE,
    PLAIN_MODULUS,
    POLY_DEGREE,
    Scheme,
    slots_per_chunk,
)
from fedcc.errors import EnvelopeError, ProtocolError

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


def _holds_public_key(context: "tenseal.Context") -> bool:
    try:
        return bool(context.has_public_key())
    except ValueError:  # a symmetric context never has one
        return False


def parameter_bytes(epoch_key: bytes) -> bytes:
    """Return the parameters alone (under 100 bytes, no key), for the aggregator."""
    context = tenseal.context_from(epoch_key, n_threads=1)
    return _serialise(context, public_key=False, secret_key=False)


def key_id(epoch_key: bytes) -> str:
    """Return the public name of a key: an HMAC under the key itself, so a dealer cannot give two
    sites different keys of one name."""
    return hmac.new(epoch_key, b"fedcc/key-id/v1", hashlib.sha256).hexdigest()[:32]


class _MemoryFile:
    """An anonymous memory file: SEAL's own API saves to and loads from paths only."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("fedcc-seal")
        self._path = f"/proc/self/fd/{self._fd}"

    def dump(self, sealed: object) -> bytes:
        os.ftruncate(self._fd, 0)
        sealed.save(self._path)  # type: ignore[attr-defined]
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)

    def load(self, context: object, content: bytes) -> object:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, content, 0)
        ciphertext = seal.Ciphertext()
        try:
            ciphertext.load(context, self._path)
            sound = (
                ciphertext.size() == 2
                and ciphertext.parms_id() == context.first_parms_id()  # type: ignore[attr-defined]
                and seal.is_valid_for(ciphertext, context)
                and not ciphertext.is_transparent()
            )
        except (RuntimeError, ValueError):
            sound = False
        if not sound:
            raise EnvelopeError(_REFUSED)
        return ciphertext

    def __del__(self) -> None:
        os.close(self._fd)


def check_seed_compression() -> None:
    """Check once that this TenSEAL build writes seed-compressed ciphertexts.

    Raises:
        ProtocolError: if it does not; there is no silent fallback to twice the bytes.
    """
    cipher = SiteCipher("bfv", create_epoch_key("bfv"))
    [chunk] = cipher.encrypt(np.zeros(1, dtype=np.uint64))
    if len(chunk) > POLY_DEGREE * 8 + 1024:
        raise ProtocolError("this build of TenSEAL does not compress ciphertexts; install 0.3.18")


class SiteCipher:
    """Encrypts and decrypts with the epoch key; lives at a site."""

    def __init__(self, scheme: Scheme, epoch_key: bytes) -> None:
        """Load the key.

        Raises:
            EnvelopeError: if the bytes are not a private context.
        """
        try:
            context = tenseal.context_from(epoch_key, n_threads=1)
            secret = context.secret_key().data
        except (RuntimeError, ValueError) as error:
            raise EnvelopeError("the epoch key cannot be used") from error
        self._scheme = scheme
        self._seal = context.seal_context().data
        self._file = _MemoryFile()
        self._decryptor = seal.Decryptor(self._seal, secret)
        if scheme == "bfv":
            self._encoder = seal.BatchEncoder(self._seal)
            self._encryptor = seal.Encryptor(self._seal, secret)
        else:
            self._encoder = seal.CKKSEncoder(self._seal)
            self._encryptor = seal.Encryptor(self._seal, context.public_key().data)

    def encrypt(self, values: NDArray[np.uint64] | NDArray[np.float64]) -> list[bytes]:
        """Return ciphertext chunks of slots (BFV: uint64 in [0, t)) or of floats (CKKS).

        The last chunk is filled with random slots (BFV) or zeros (CKKS).
        """
        slots = slots_per_chunk(self._scheme)
        filling = -values.size % slots
        if self._scheme == "bfv":
            tail = expand(os.urandom(32), filling)
            padded = np.concatenate([values.astype(np.uint64), tail])
            return [self._encrypt_bfv(padded[i : i + slots]) for i in range(0, padded.size, slots)]
        floats = np.concatenate([values.astype(np.float64), np.zeros(filling)])
        return [self._encrypt_ckks(floats[i : i + slots]) for i in range(0, floats.size, slots)]

    def _encrypt_bfv(self, slots: NDArray[np.uint64]) -> bytes:
        plain = seal.Plaintext()
        self._encoder.encode(slots.tolist(), plain)
        return self._file.dump(self._encryptor.encrypt_symmetric(plain))

    def _encrypt_ckks(self, values: NDArray[np.float64]) -> bytes:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        self._encoder.encode(values.tolist(), CKKS_SCALE, plain)
        self._encryptor.encrypt(plain, ciphertext)
        return self._file.dump(ciphertext)

    def decrypt(self, chunks: Sequence[bytes], size: int) -> NDArray[np.generic]:
        """Return the first `size` slots: uint64 in [0, t) for BFV, float64 for CKKS.

        Raises:
            EnvelopeError: if a chunk is not a sound ciphertext; says no more than that.
        """
        parts = []
        plain = seal.Plaintext()
        for chunk in chunks:
            self._decryptor.decrypt(self._file.load(self._seal, chunk), plain)
            if self._scheme == "bfv":
                parts.append(np.asarray(self._encoder.decode_uint64(plain), dtype=np.uint64))
            else:
                parts.append(np.asarray(self._encoder.decode_double(plain), dtype=np.float64))
        slots: NDArray[np.generic] = np.concatenate(parts)
        if slots.size < size:
            raise EnvelopeError(_REFUSED)
        return slots[:size]


class AggregatorCipher:
    """Adds ciphertexts and can do nothing else: it is built without any key."""

    def __init__(self, parameters: bytes) -> None:
        """Load the parameters.

        Raises:
            EnvelopeError: if they hold a key, or cannot be loaded.
        """
        try:
            context = tenseal.context_from(parameters, n_threads=1)
        except (RuntimeError, ValueError) as error:
            raise EnvelopeError("the HE parameters cannot be used") from error
        if context.is_private() or _holds_public_key(context):
            raise EnvelopeError("the HE parameters hold a key; the aggregator must not have one")
        self._seal = context.seal_context().data
        self._evaluator = seal.Evaluator(self._seal)
        self._file = _MemoryFile()

    def check(self, chunks: Sequence[bytes]) -> None:
        """Refuse an upload that holds an unsound ciphertext.

        Raises:
            EnvelopeError: says no more than that.
        """
        for chunk in chunks:
            self._file.load(self._seal, chunk)

    def add(self, uploads: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return the chunk-wise sum of uploads of equal length, as bytes.

        Raises:
            EnvelopeError: if a ciphertext is unsound or the sum is transparent.
        """
        sums = []
        for column in zip(*uploads, strict=True):
            total = self._file.load(self._seal, column[0])
            for chunk in column[1:]:
                self._evaluator.add_inplace(total, self._file.load(self._seal, chunk))
            if total.is_transparent():  # type: ignore[attr-defined]
                raise EnvelopeError(_REFUSED)
            sums.append(self._file.dump(total))
        return sums
