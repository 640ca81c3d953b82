"""Encoding through caches gives the same bits, and encodes nothing twice."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fedcc import config
from fedcc.data.encoders import cached_encoding
from fedcc.data.encoders.base import Encoded, Encoder, EncodingProgress
from fedcc.data.encoders.cache import FILE, EmbeddingCache
from fedcc.data.encoders.cached_encoding import encode_with_cache
from fedcc.data.encoders.settings import CacheSettings

Make = Callable[..., Encoder]


def silent(done: int, total: int) -> None:
    """Show nothing."""


class Counting:
    """The hashing encoder; it remembers the texts it was given and can break off."""

    def __init__(self, encoder: Encoder, fail_after: int = 10**9) -> None:
        self.name, self.dimension = encoder.name, encoder.dimension
        self.fingerprint = encoder.fingerprint
        self._encoder, self._fail_after = encoder, fail_after
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], progress: EncodingProgress) -> Encoded:
        if len(self.seen) >= self._fail_after:
            raise KeyboardInterrupt
        self.seen += texts
        return self._encoder.encode(texts, progress)


@pytest.fixture
def counting(make_encoder: Make) -> Counting:
    return Counting(make_encoder("hashing", dimension=64, max_tokens=20))


def test_cold_warm_and_no_cache_give_the_same_bits(
    name: str, make_encoder: Make, awkward: list[str], tmp_path: Path
) -> None:
    encoder = make_encoder(name, max_tokens=64)
    plain = encoder.encode(awkward, silent)
    caches = [None, EmbeddingCache.of_site(tmp_path, "a"), EmbeddingCache.of_site(tmp_path, "a")]

    for cache in caches:  # none, cold, warm
        encoded = encode_with_cache(encoder, awkward, cache, [], silent)

        np.testing.assert_array_equal(encoded.vectors, plain.vectors)
        np.testing.assert_array_equal(encoded.was_cut, plain.was_cut)
        assert encoded.n_cut > 0
        assert cache is None or cache.notes == []


def test_equal_texts_are_encoded_once_and_known_ones_not_at_all(
    counting: Counting, tmp_path: Path
) -> None:
    own = EmbeddingCache.of_site(tmp_path, "a")

    encode_with_cache(counting, ["b", "a", "b", "a", "b"], own, [], silent)
    assert sorted(counting.seen) == ["a", "b"]
    encode_with_cache(counting, ["c", "b", "a"], own, [], silent)

    assert counting.seen[2:] == ["c"]


def test_further_caches_are_read_and_never_written(counting: Counting, tmp_path: Path) -> None:
    encode_with_cache(counting, ["a", "b"], EmbeddingCache.of_site(tmp_path, "a"), [], silent)
    encode_with_cache(counting, ["c"], EmbeddingCache.of_site(tmp_path, "b"), [], silent)
    before = [(tmp_path / site / FILE).read_bytes() for site in "ab"]
    further = [EmbeddingCache.read_only(tmp_path, site) for site in ("a", "b", "missing")]
    counting.seen.clear()

    encoded = encode_with_cache(counting, ["d", "c", "b", "a"], None, further, silent)

    assert counting.seen == ["d"]
    assert [(tmp_path / site / FILE).read_bytes() for site in "ab"] == before
    plain = counting.encode(["d", "c", "b", "a"], silent)
    np.testing.assert_array_equal(encoded.vectors, plain.vectors)


def test_a_cache_of_another_encoder_is_not_used(make_encoder: Make, tmp_path: Path) -> None:
    own = EmbeddingCache.of_site(tmp_path, "a")
    long, short = (make_encoder("hashing", dimension=64, max_tokens=m) for m in (20, 1))
    text = ["card lost today"]

    encode_with_cache(long, text, own, [], silent)
    encoded = encode_with_cache(short, text, own, [], silent)

    np.testing.assert_array_equal(encoded.vectors, short.encode(text, silent).vectors)
    assert (encoded.vectors != long.encode(text, silent).vectors).any()


@pytest.mark.parametrize("noise", [b"", b"no database", bytes(9000)])
def test_a_destroyed_cache_changes_no_bit_and_is_warm_again_afterwards(
    counting: Counting, tmp_path: Path, noise: bytes
) -> None:
    texts = [f"text {i}" for i in range(10)]
    whole = encode_with_cache(counting, texts, EmbeddingCache.of_site(tmp_path, "a"), [], silent)
    (tmp_path / "a" / FILE).write_bytes(noise)

    own = EmbeddingCache.of_site(tmp_path, "a")
    again = encode_with_cache(counting, texts, own, [], silent)
    counting.seen.clear()
    warm = encode_with_cache(counting, texts, EmbeddingCache.of_site(tmp_path, "a"), [], silent)

    np.testing.assert_array_equal(again.vectors, whole.vectors)
    np.testing.assert_array_equal(warm.vectors, whole.vectors)
    assert counting.seen == []
    assert len(own.notes) == (1 if noise else 0)


def test_an_interrupted_run_keeps_what_it_has_encoded(
    make_encoder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_encoding, "TEXTS_PER_STEP", 4)
    texts = [f"text {i}" for i in range(10)]
    breaking = Counting(make_encoder("hashing"), fail_after=8)
    with pytest.raises(KeyboardInterrupt):
        encode_with_cache(breaking, texts, EmbeddingCache.of_site(tmp_path, "a"), [], silent)

    going_on = Counting(make_encoder("hashing"))
    encode_with_cache(going_on, texts, EmbeddingCache.of_site(tmp_path, "a"), [], silent)

    assert sorted(breaking.seen + going_on.seen) == sorted(texts)


def test_progress_counts_the_missing_texts(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_encoding, "TEXTS_PER_STEP", 4)
    own = EmbeddingCache.of_site(tmp_path, "a")
    encode_with_cache(counting, ["a", "b"], own, [], silent)
    steps: list[tuple[int, int]] = []

    texts = ["a", "b", *(f"text {i}" for i in range(10))]
    encode_with_cache(counting, texts, own, [], lambda done, total: steps.append((done, total)))
    encode_with_cache(counting, texts, own, [], lambda *step: pytest.fail("nothing is missing"))

    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_no_text_at_all_is_no_work(counting: Counting, tmp_path: Path) -> None:
    own = EmbeddingCache.of_site(tmp_path, "a")

    encoded = encode_with_cache(counting, [], own, [], silent)

    assert encoded.vectors.shape == (0, 64)
    assert counting.seen == []


WARM = """
import sys
from pathlib import Path
from fedcc.data.encoders.cache import EmbeddingCache
from fedcc.data.encoders.cached_encoding import encode_with_cache
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings

settings = dict(name=%r, dimension=%d, max_tokens=%d, threads=1, centre="none")
encoder = load_encoder(EncoderSettings(**settings))
own = EmbeddingCache.of_site(Path(%r), "a")
encode_with_cache(encoder, ["my card", "my bill"], own, [], lambda done, total: None)
print(sorted({"torch", "tokenizers", "safetensors"} & set(sys.modules)), own.notes)
"""


def test_a_warm_cache_loads_neither_weights_nor_libraries(
    packaged: tuple[str, str], make_encoder: Make, tmp_path: Path
) -> None:
    encoder = make_encoder(packaged[0], max_tokens=64)
    code = WARM % (encoder.name, encoder.dimension, 64, str(tmp_path))

    def loaded() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    own = EmbeddingCache.of_site(tmp_path, "a")
    encode_with_cache(encoder, ["my card", "my bill"], own, [], silent)
    warm = loaded()
    shutil.rmtree(tmp_path / "a")
    cold = loaded()

    assert warm.strip() == "[] []"
    assert "'tokenizers'" in cold  # the same process with nothing known does load them


def test_the_cache_on_disk_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def folder() -> str | None:
        values = config.compose("simulate", ["cache=disk"])["cache"]
        return config.build(CacheSettings, values, "cache").dir

    monkeypatch.setenv("XDG_CACHE_HOME", "/x/cache")
    assert folder() == "/x/cache/fedcc/embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert folder() == "/h/.cache/fedcc/embeddings"


def test_the_cache_can_be_switched_off() -> None:
    values = config.compose("simulate", ["cache=none"])["cache"]

    assert config.build(CacheSettings, values, "cache").dir is None
