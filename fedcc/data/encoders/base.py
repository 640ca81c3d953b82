"""What every sentence encoder promises, and the few steps that all of them share.

An encoder is a pure function of one text: its vector depends neither on the other texts of a call,
nor on their order, nor on the number of threads. Vectors have L2 norm 1, or are zero where a text
holds nothing to encode. Equal bits are promised for one machine and one set of library versions;
another CPU or another torch may move MiniLM by about 1e-7.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float32]
EncodingProgress = Callable[[int, int], None]  # texts done, texts in all


@dataclass(frozen=True)
class Encoded:
    """The vectors of some texts, row by row, and which of the texts were too long."""

    vectors: FloatMatrix  # shape (n_texts, dimension); each row has L2 norm 1 or is zero
    was_cut: NDArray[np.bool_]  # shape (n_texts,); true where tokens beyond max_tokens were lost

    @property
    def n_cut(self) -> int:
        """Number of texts of which the end was not read."""
        return int(self.was_cut.sum())


class Encoder(Protocol):
    """Turns texts into vectors; nothing heavy is loaded before the first text is encoded."""

    @property
    def name(self) -> str:
        """The name in `configs/encoder/`."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer and recipe; equal fingerprints mean equal vectors."""

    def encode(self, texts: Sequence[str], progress: EncodingProgress) -> Encoded:
        """Encode texts.

        Args:
            texts: any Unicode text; should be redacted.
            progress: called now and then with the number of texts done and of all texts.

        Raises:
            ConfigError: if the weights are missing, or are not those that the fingerprint names.
        """


def well_formed(text: str) -> str:
    """Replace lone surrogates (JSON can hold them), which tokenizers refuse, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def unit_rows(rows: NDArray[np.floating]) -> FloatMatrix:
    """Scale every row to L2 norm 1; a zero row stays zero.

    Args:
        rows: shape `(n_rows, dimension)`, finite.

    Returns:
        A new float32 matrix; the norms are computed in float64, so that each differs from 1 by the
        rounding to float32 alone (at most 2**-24).
    """
    precise = rows.astype(np.float64)
    norms = np.linalg.norm(precise, axis=1, keepdims=True)
    return (precise / np.where(norms > 0, norms, 1.0)).astype(np.float32)
