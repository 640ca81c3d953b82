"""The uploads of one attempt at the aggregator, until a site has added them again.

Beyond a few megabytes they lie in a file without a name, under a key that only this process has, so
that memory does not grow with the number of sites and nothing of an attempt outlives it, whatever
ends the process.
"""

import tempfile
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fedcc.crypto.envelopes import Envelope

IN_MEMORY = 8 << 20  # bytes


class KeptUploads:
    """Envelopes by site, in the order in which they came; a context manager that drops them."""

    def __init__(self, folder: Path, in_memory: int = IN_MEMORY) -> None:
        """Begin empty.

        Args:
            folder: on whose disk they may lie.
            in_memory: bytes that never touch the disk.
        """
        self._file = tempfile.SpooledTemporaryFile(in_memory, dir=str(folder))  # noqa: SIM115
        self._cipher = ChaCha20Poly1305(ChaCha20Poly1305.generate_key())
        self._kept: dict[str, tuple[int, bytes, bytes, list[int]]] = {}
        self._end = 0

    def __enter__(self) -> "KeptUploads":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop everything."""
        self._file.close()

    def keep(self, site: str, envelope: Envelope) -> None:
        """Keep the envelope of a site, once.

        Raises:
            ValueError: if there is one already.
            OSError: if the disk takes no more.
        """
        if site in self._kept:
            raise ValueError(f"an upload of {site} is kept already")
        sealed = self._cipher.encrypt(_nonce(self._end), b"".join(envelope.chunks), None)
        self._file.seek(self._end)
        self._file.write(sealed)
        sizes = [len(chunk) for chunk in envelope.chunks]
        self._kept[site] = (self._end, envelope.header, envelope.signature, sizes)
        self._end += len(sealed)

    def get(self, site: str) -> Envelope:
        """Return the envelope of a site, as it came.

        Raises:
            KeyError: if none is kept.
            cryptography.exceptions.InvalidTag: if the file was changed.
        """
        start, header, signature, sizes = self._kept[site]
        self._file.seek(start)
        sealed = self._file.read(sum(sizes) + 16)
        joined = self._cipher.decrypt(_nonce(start), sealed, None)
        chunks, offset = [], 0
        for size in sizes:
            chunks.append(joined[offset : offset + size])
            offset += size
        return Envelope(header, signature, chunks)


def _nonce(start: int) -> bytes:
    """Return the nonce of what begins at a place of the file; nothing is written there twice."""
    return start.to_bytes(12, "big")
