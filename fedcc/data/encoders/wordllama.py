"""wordllama vectors: the mean of static token vectors; light and over 100 times faster than MiniLM.

Only the weights and the tokenizer inside the installed package are read. The package itself is
never imported: it would load an HTTP library to download what it does not find, and it sets up the
logging of the whole process.

Licence: the package says MIT, but its vectors derive from the token embeddings of Llama 2, so the
Llama 2 Community License may reach them.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedcc.data.encoders.base import Encoded, EncodingProgress, FloatMatrix, unit_rows, well_formed
from fedcc.data.encoders.package_files import PinnedFile, locate, read_pinned, require_package
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = PinnedFile(
    package="wordllama",
    path="weights/l2_supercat_256.safetensors",
    size=16_384_096,
    sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
TOKENIZER = PinnedFile(
    package="wordllama",
    path="tokenizers/l2_supercat_tokenizer_config.json",
    size=1_842_796,
    sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)
RECIPE = 1  # counts up whenever a change of the code below changes a vector
DIMENSION = 256
TEXTS_PER_STEP = 1024  # bounds the memory for token vectors: about 1 kB a token


class WordLlamaEncoder:
    """Mean static token vectors; weights are read with the first text."""

    name = "wordllama"
    dimension = DIMENSION

    def __init__(self, settings: EncoderSettings) -> None:
        """Check that everything is installed; nothing is loaded yet.

        Raises:
            ConfigError: for another dimension, a missing package, or weights of another size.
        """
        if settings.dimension != DIMENSION:
            raise ConfigError(
                f"encoder.dimension: wordllama makes {DIMENSION} numbers a text; got "
                f"{settings.dimension}."
            )
        self._weights_path = locate(WEIGHTS, self.name)
        self._tokenizer_path = locate(TOKENIZER, self.name)
        require_package("tokenizers", self.name)
        self._settings = settings
        self._loaded: tuple[Tokenizer, FloatMatrix] | None = None

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
        tokenizer, table = self._load()
        means = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        was_cut = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), TEXTS_PER_STEP):
            step = [well_formed(text) for text in texts[start : start + TEXTS_PER_STEP]]
            encodings = tokenizer.encode_batch_fast(step, add_special_tokens=False)
            for row, (text, encoding) in enumerate(zip(step, encodings, strict=True), start):
                # The tokenizer makes a token of a blank as well.
                if text.strip() and encoding.ids:
                    means[row] = table[encoding.ids].mean(axis=0)
                was_cut[row] = bool(encoding.overflowing)
            progress(start + len(step), len(texts))
        return Encoded(unit_rows(means), was_cut)

    def _load(self) -> "tuple[Tokenizer, FloatMatrix]":
        if self._loaded is None:
            from safetensors.numpy import load
            from tokenizers import Tokenizer

            weights = load(read_pinned(WEIGHTS, self._weights_path))
            tokenizer = Tokenizer.from_str(read_pinned(TOKENIZER, self._tokenizer_path).decode())
            tokenizer.no_padding()
            tokenizer.enable_truncation(self._settings.max_tokens)
            self._loaded = tokenizer, weights["embedding.weight"].astype(np.float32)
        return self._loaded
