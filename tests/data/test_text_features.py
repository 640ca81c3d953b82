"""Texts as centred features of norm 1, from caches where they are known, by a public recipe."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcc.data.encoders.settings import EncoderSettings
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec
from fedcc.data.text_features import LABELS, TextEncoding, centred
from fedcc.errors import ConfigError

HASHING = EncoderSettings(name="hashing", dimension=1024, max_tokens=64, threads=1, centre="none")
CENTRES = ("labels", "public", "none")
TEXTS = ["my card has not arrived", "what is my bill", "", "what is my bill"]


@pytest.fixture
def spec(make_spec: Callable[..., DataSpec]) -> DataSpec:
    label = {
        "role": "label",
        "values": ["card_arrival", "bill"],
        "label_names": {"bill": "explain my bill"},
    }
    return make_spec(columns={"churn": None, "said": {"role": "text"}, "wish": label})


def table(texts: list[str]) -> Table:
    return Table(
        source="calls.csv",
        row=np.arange(1, len(texts) + 1),
        numbers={},
        categories={"wish": np.zeros(len(texts), dtype=np.int64)},
        texts={"said": texts},
        from_test_file=np.zeros(len(texts), dtype=np.bool_),
    )


def recipe(spec: DataSpec, cache: Path | None = None, **changes: object) -> TextEncoding:
    seen: list[tuple[str, int, int]] = []
    made = TextEncoding.create(
        spec,
        replace(HASHING, **changes),  # type: ignore[arg-type]
        cache_dir=cache,
        shared_caches=("site-1", "site-2"),
        progress=lambda owner, done, total: seen.append((owner, done, total)),
    )
    made.notes.append("")  # a list of its own for every recipe
    made.notes.clear()
    object.__setattr__(made, "seen", seen)
    return made


def test_features_have_norm_one_and_an_empty_text_is_zero(spec: DataSpec) -> None:
    features = recipe(spec).encode(table(TEXTS), "site-1")

    assert features.shape == (4, 1024)
    # float32 rounding of a unit vector of 1024 numbers.
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), [1, 1, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(features[1], features[3])


def test_centring_subtracts_the_public_mean_and_scales_back() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    centre = np.array([0.2, 0.2], dtype=np.float32)

    # By hand: (0.8, -0.2) and (-0.2, 0.8) over sqrt(0.68); a zero vector stays zero.
    expected = np.array([[0.8, -0.2], [-0.2, 0.8], [0, 0]]) / np.sqrt(0.68)
    np.testing.assert_allclose(centred(vectors, centre), expected, atol=1e-6)


def test_the_labels_words_pass_through_the_same_recipe(spec: DataSpec) -> None:
    made = recipe(spec)

    words = made.encode(table(["card arrival", "explain my bill"]), "site-1")

    np.testing.assert_array_equal(made.label_features, words.astype(np.float64))


def test_a_row_that_moves_to_another_site_is_not_encoded_again(
    spec: DataSpec, tmp_path: Path
) -> None:
    first = recipe(spec, tmp_path)
    before = first.encode(table(TEXTS), "site-1")
    again = recipe(spec, tmp_path)

    after = again.encode(table(TEXTS), "site-2")

    np.testing.assert_array_equal(before, after)
    assert first.seen and not again.seen  # type: ignore[attr-defined]


def test_each_owner_has_a_private_folder_without_any_text(spec: DataSpec, tmp_path: Path) -> None:
    made = recipe(spec, tmp_path)
    made.encode(table(TEXTS), "site-1")
    assert made.label_features is not None

    folders = sorted(path for path in tmp_path.iterdir())
    assert [path.name for path in folders] == [LABELS, "site-1"]
    for folder in folders:
        assert folder.stat().st_mode & 0o777 == 0o700
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600
            assert b"arrived" not in file.read_bytes()


def test_texts_that_are_cut_are_noted(spec: DataSpec) -> None:
    made = recipe(spec, max_tokens=3)
    made.encode(table(TEXTS), "site-1")

    assert made.notes == ["site-1: 3 texts are longer than encoder.max_tokens"]


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 65},
        {"dimension": 512},
    ],
)
def test_the_fingerprint_follows_the_encoder(spec: DataSpec, change: dict[str, object]) -> None:
    assert recipe(spec).fingerprint != recipe(spec, **change).fingerprint
    assert recipe(spec).fingerprint == recipe(spec).fingerprint


def test_the_fingerprint_follows_the_label_words(
    spec: DataSpec, make_spec: Callable[..., DataSpec]
) -> None:
    column = replace(spec.columns["wish"], label_names={"bill": "explain the bill"})
    other = replace(spec, columns={**spec.columns, "wish": column})

    assert recipe(spec).fingerprint != recipe(other).fingerprint


def test_the_centre_may_be_the_mean_of_the_labels_names_and_needs_no_row(spec: DataSpec) -> None:
    plain, made = recipe(spec), recipe(spec, centre="labels")

    # Raw vectors of the hashing encoder have norm 1, so without a centre they are the features.
    words = plain.label_features
    moved = words - words.mean(axis=0)
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(made.label_features, expected, atol=1e-6)
    rows = plain.encode(table(TEXTS), "site-1") - words.mean(axis=0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found = made.encode(table(TEXTS), "site-1")
    np.testing.assert_allclose(found[[0, 1, 3]], (rows / lengths)[[0, 1, 3]], atol=1e-6)
    assert not found[2].any()


def test_the_fingerprint_tells_the_centres_apart(spec: DataSpec) -> None:
    made = [recipe(spec, centre=name, max_tokens=2048) for name in CENTRES]
    found = {each.fingerprint for each in made}

    assert len(found) == len(CENTRES)


def test_an_encoder_without_a_public_centre_is_refused(spec: DataSpec) -> None:
    with pytest.raises(ConfigError, match="encoder.centre=none"):
        recipe(spec, centre="public", dimension=77)
