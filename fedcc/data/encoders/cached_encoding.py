"""Encoding through caches: every distinct text once, whatever is known already not at all."""

from collections.abc import Sequence

import numpy as np

from fedcc.data.encoders.base import Encoded, Encoder, EncodingProgress
from fedcc.data.encoders.cache import EmbeddingCache, StoredVector, cache_key

TEXTS_PER_STEP = 2048  # read or encoded and stored at once; an interrupted run loses no more


def encode_with_cache(
    encoder: Encoder,
    texts: Sequence[str],
    own: EmbeddingCache | None,
    further: Sequence[EmbeddingCache],
    progress: EncodingProgress,
) -> Encoded:
    """Encode texts, taking every vector from a cache that has it.

    The result has the same bits as `encoder.encode(texts)`. When nothing is missing the encoder is
    asked for its fingerprint only, so its weights are not read.

    Args:
        encoder: makes the missing vectors.
        texts: redacted texts; equal ones are encoded once.
        own: the site's cache; what is missing in all caches is stored here. `None` stores nothing.
        further: caches that are only read, asked in order after `own`.
        progress: called while missing texts are encoded: texts done, texts missing.

    Raises:
        ConfigError: if the weights are missing, or are not those of the fingerprint.
    """
    distinct = list(dict.fromkeys(texts))
    keys = [cache_key(encoder.fingerprint, text) for text in distinct]
    vectors = np.zeros((len(distinct), encoder.dimension), dtype=np.float32)
    was_cut = np.zeros(len(distinct), dtype=np.bool_)
    missing = list(range(len(distinct)))
    for cache in ([own] if own else []) + list(further):
        missing = _fill(cache, keys, missing, vectors, was_cut)
    # Texts of like length stand together, so that few rows of a batch are filler.
    missing.sort(key=lambda place: len(distinct[place]), reverse=True)
    for start in range(0, len(missing), TEXTS_PER_STEP):
        step = missing[start : start + TEXTS_PER_STEP]
        encoded = encoder.encode(
            [distinct[place] for place in step], _from(start, len(missing), progress)
        )
        vectors[step], was_cut[step] = encoded.vectors, encoded.was_cut
        if own is not None:
            pairs = zip(encoded.vectors, encoded.was_cut, strict=True)
            stored = [StoredVector(vector, bool(cut)) for vector, cut in pairs]
            own.write(dict(zip([keys[place] for place in step], stored, strict=True)))
    place_of = {text: place for place, text in enumerate(distinct)}
    rows = np.array([place_of[text] for text in texts], dtype=np.int64)
    return Encoded(vectors[rows], was_cut[rows])


def _from(start: int, total: int, progress: EncodingProgress) -> EncodingProgress:
    """Report the texts of one step as a part of all."""
    return lambda done, _: progress(start + done, total)


def _fill(
    cache: EmbeddingCache,
    keys: Sequence[bytes],
    missing: Sequence[int],
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    was_cut: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> list[int]:
    """Copy what a cache knows into the result; return the places that it does not know."""
    unknown = []
    for start in range(0, len(missing), TEXTS_PER_STEP):
        step = missing[start : start + TEXTS_PER_STEP]
        found = cache.read([keys[place] for place in step], vectors.shape[1])
        for place in step:
            stored = found.get(keys[place])
            if stored is None:
                unknown.append(place)
            else:
                vectors[place], was_cut[place] = stored.vector, stored.was_cut
    return unknown
