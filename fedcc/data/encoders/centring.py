"""The public centre of each encoder: the mean vector of a generated corpus, shipped as a file.

The corpus comes from the generated contact-centre world, so the centre holds nothing of anybody's
texts. It is made, and checked, by `python simulations/public_centre.py`; each vector is kept under
the fingerprint of its encoder, so a vector never meets an encoder that it was not made with.
With `centre=labels` no file is needed: the mean is that of the labels' names in the data YAML.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fedcc.data.encoders.base import Encoder
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.errors import ConfigError

CENTRES = Path(__file__).resolve().parent / "public_centres.safetensors"
CORPUS_SENTENCES = 5_000
CORPUS_SEED = 20260101
CORPUS_LANGUAGE = "en"  # MiniLM was trained on English


def public_centre(encoder: Encoder, settings: EncoderSettings) -> NDArray[np.float32]:
    """Return the public mean vector of an encoder, shape `(dimension,)`; zeros for `centre=none`.

    Raises:
        ConfigError: if no centre ships for this encoder.
    """
    if settings.centre == "none":
        return np.zeros(encoder.dimension, dtype=np.float32)
    centres = load_file(CENTRES)
    name = _key(encoder)
    if name not in centres:
        raise ConfigError(
            f"encoder={encoder.name}: no public centre ships for this version or width. Install "
            "the version of constraints.txt, use the width of configs/encoder/, or set "
            "encoder.centre=none."
        )
    return np.asarray(centres[name], dtype=np.float32)


def write_centres(centres: dict[str, NDArray[np.float32]], path: Path) -> None:
    """Write the vectors of `compute_centre` under their keys."""
    metadata = {
        "corpus": f"{CORPUS_SENTENCES} generated sentences ({CORPUS_LANGUAGE}), seed {CORPUS_SEED}"
    }
    save_file(centres, path, metadata=metadata)


def compute_centre(encoder: Encoder, corpus: list[str]) -> tuple[str, NDArray[np.float32]]:
    """Return the key and the mean vector of a public corpus, rounded to multiples of 2^-20.

    The rounding keeps the last bits of a machine's arithmetic out of the file.
    """
    vectors = encoder.encode(corpus, lambda done, total: None).vectors
    mean = vectors.astype(np.float64).mean(axis=0)
    return _key(encoder), (np.rint(mean * 2**20) / 2**20).astype(np.float32)


def _key(encoder: Encoder) -> str:
    return f"{encoder.name}-{encoder.fingerprint[:16]}"
