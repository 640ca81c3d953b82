"""Hashed n-grams: the vectorised code does what a slow one with Python's integers does."""

import csv
import math
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.encoders.base import Encoder
from fedcc.data.encoders.hashing import HashingEncoder
from fedcc.data.encoders.settings import EncoderSettings

BANKING = Path(__file__).resolve().parents[4] / "shared/data/banking77"


def silent(done: int, total: int) -> None:
    """Show nothing."""


def mixed(value: int) -> int:
    """SplitMix64's finalizer on Python's integers, after its published C code."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


def slow_vector(text: str, dimension: int) -> list[float]:
    """Encode one text n-gram by n-gram; words of plain text only."""
    counts: Counter[str] = Counter()
    for word in unicodedata.normalize("NFKC", text).lower().replace("\0", " ").split():
        padded = f" {word} "
        for n in range(2, 6):
            counts.update(padded[i : i + n] for i in range(len(padded) - n + 1))
    sums = [0.0] * dimension
    for ngram, count in counts.items():
        value = ord(ngram[0])
        for character in ngram[1:]:
            value = mixed((value * 0x9E3779B97F4A7C15 + ord(character) + 1) % 2**64)
        sums[(value >> 32) * dimension >> 32] += 1 + math.log(count)
    norm = math.hypot(*sums)
    return [part / norm for part in sums] if norm else sums


@given(texts=st.lists(st.text(max_size=40), max_size=5), dimension=st.integers(1, 200))
@settings(deadline=None, max_examples=25)
def test_the_vectors_are_those_of_the_slow_recipe(texts: list[str], dimension: int) -> None:
    encoder = HashingEncoder(
        EncoderSettings(
            name="hashing", dimension=dimension, max_tokens=100, threads=1, centre="none"
        )
    )

    vectors = encoder.encode(texts, silent).vectors

    expected = np.array([slow_vector(text, dimension) for text in texts]).reshape(-1, dimension)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_case_width_and_spacing_do_not_matter(make_encoder: Callable[..., Encoder]) -> None:
    texts = ["where is my card", "  WHERE is\n my\tCARD ", "ｗｈｅｒｅ is my card"]

    vectors = make_encoder("hashing").encode(texts, silent).vectors

    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_a_misspelling_stays_nearer_than_another_word(make_encoder: Callable[..., Encoder]) -> None:
    texts = ["subscription", "subscribtion", "technician"]

    right, misspelt, other = make_encoder("hashing").encode(texts, silent).vectors

    assert right @ misspelt > 0.5 > 0.2 > right @ other


@pytest.mark.real_data
@pytest.mark.skipif(not BANKING.is_dir(), reason=f"the third-party {BANKING} is not here")
def test_intents_are_told_apart_as_well_as_with_another_librarys_hashing(
    make_encoder: Callable[..., Encoder],
) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.svm import LinearSVC

    def read(file: str) -> tuple[list[str], list[str]]:
        with (BANKING / file).open(newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["category"][0] < "d"]
        return [row["text"] for row in rows], [row["category"] for row in rows]

    train, labels = read("train.csv")
    test, answers = read("test.csv")
    ours = make_encoder("hashing")
    theirs = HashingVectorizer(
        n_features=ours.dimension, analyzer="char_wb", ngram_range=(2, 5), alternate_sign=False
    )

    ours_fit = LinearSVC(C=1).fit(ours.encode(train, silent).vectors, labels)
    theirs_fit = LinearSVC(C=1).fit(theirs.transform(train), labels)

    # The same n-grams in as many columns; two points are about three standard errors of 1,000 rows.
    reached = theirs_fit.score(theirs.transform(test), answers)
    assert reached > 0.85
    assert ours_fit.score(ours.encode(test, silent).vectors, answers) > reached - 0.02
