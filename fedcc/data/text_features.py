"""Free text as features of L2 norm 1: an encoder's vectors, centred at a public mean.

The mean is that of the labels' names, or of a generated corpus that ships with fedcc; nothing is
fitted on the texts of a site. The words of the labels' names pass through the same recipe, which
gives a head its public starting point. Texts arrive redacted; an empty one becomes the zero vector.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc.data.encoders.base import Encoder
from fedcc.data.encoders.cache import EmbeddingCache
from fedcc.data.encoders.cached_encoding import encode_with_cache
from fedcc.data.encoders.centring import public_centre
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec

LABELS = "label-names"  # owner of the vectors of the labels' words, which are public

OwnerProgress = Callable[[str, int, int], None]
"""Called with the owner of the texts, how many are encoded, and how many there are."""


def centred(vectors: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors minus the centre, scaled to L2 norm 1; zero vectors stay zero.

    Args:
        vectors: shape `(n, d)`.
        centre: shape `(d,)`.

    Source: Mu and Viswanath, "All-but-the-Top: Simple and Effective Postprocessing for Word
    Representations", 2018, section 2 (removing the mean).
    """
    moved = vectors.astype(np.float64) - centre
    lengths = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    present = np.any(vectors != 0, axis=1, keepdims=True)
    return np.where(present, moved / lengths, 0.0).astype(np.float32)


@dataclass(frozen=True)
class TextEncoding:
    """The public recipe from texts to features; equal at every site and kept with the model."""

    columns: tuple[str, ...]  # several text columns are joined by a line break
    label_words: tuple[str, ...]  # public names of the classes, in the order of their codes
    encoder: Encoder
    shipped_centre: NDArray[np.float32] | None  # shape (d,); None is the mean of the label words
    cache_dir: Path | None
    shared_caches: tuple[str, ...]  # owners whose caches are read too; only one machine's own
    progress: OwnerProgress
    notes: list[str] = field(default_factory=list)  # what the user should be told

    @classmethod
    def create(
        cls,
        spec: DataSpec,
        settings: EncoderSettings,
        *,
        cache_dir: Path | None,
        shared_caches: tuple[str, ...],
        progress: OwnerProgress,
    ) -> "TextEncoding":
        """Read the recipe off the data YAML.

        Raises:
            ConfigError: if the encoder's package is missing, or its public centre does not ship.
        """
        encoder = load_encoder(settings)
        return cls(
            columns=tuple(spec.with_role("text")),
            label_words=spec.label_words,
            encoder=encoder,
            shipped_centre=None
            if settings.centre == "labels"
            else public_centre(encoder, settings),
            cache_dir=cache_dir,
            shared_caches=shared_caches,
            progress=progress,
        )

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return self.encoder.dimension

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Nothing: the coordinates of a vector have no names."""
        return ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder, the centre, the columns and the label words."""
        centre = LABELS  # the words stand for their mean, whose last bits differ between machines
        if self.shipped_centre is not None:
            centre = hashlib.sha256(self.shipped_centre.tobytes()).hexdigest()
        text = json.dumps([self.encoder.fingerprint, centre, self.columns, self.label_words])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def centre(self) -> NDArray[np.float32]:
        """What is subtracted from every vector, shape `(d,)`."""
        if self.shipped_centre is not None:
            return self.shipped_centre
        mean = self._label_vectors.astype(np.float64).mean(axis=0)
        return np.asarray(mean, dtype=np.float32)

    @cached_property
    def _label_vectors(self) -> NDArray[np.float32]:
        return self._vectors(self.label_words, LABELS)

    @cached_property
    def label_features(self) -> NDArray[np.float64]:
        """Features of the labels' names, shape `(n_classes, d)`."""
        return centred(self._label_vectors, self.centre).astype(np.float64)

    def encode(self, table: Table, owner: str) -> NDArray[np.float32]:
        """Return the features of all rows, shape `(n_rows, d)`, L2 norm 1 or 0.

        Args:
            table: admitted rows with redacted texts.
            owner: whose cache keeps the vectors, for instance the site's name.
        """
        columns = [table.texts[name] for name in self.columns]
        texts = ["\n".join(cells) for cells in zip(*columns, strict=True)]
        return centred(self._vectors(texts, owner), self.centre)

    def _vectors(self, texts: Sequence[str], owner: str) -> NDArray[np.float32]:
        """Return the encoder's vectors, as far as possible from caches, and note what was odd."""
        own: EmbeddingCache | None = None
        further: list[EmbeddingCache] = []
        if self.cache_dir is not None:
            own = EmbeddingCache.of_site(self.cache_dir, owner)
            others = [name for name in self.shared_caches if name != owner]
            further = [EmbeddingCache.read_only(self.cache_dir, name) for name in others]
        encoded = encode_with_cache(
            self.encoder,
            texts,
            own,
            further,
            lambda done, total: self.progress(owner, done, total),
        )
        if encoded.n_cut:
            self.notes.append(f"{owner}: {encoded.n_cut} texts are longer than encoder.max_tokens")
        for cache in ([own] if own is not None else []) + further:
            self.notes.extend(cache.notes)
        return encoded.vectors
