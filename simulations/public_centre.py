"""Compute the public centres that ship with the sentence encoders, or check the shipped ones.

    python simulations/public_centre.py            # compare with the shipped file, about 3 minutes
    python simulations/public_centre.py --write    # compute and write it

The corpus is generated: see `fedcc.data.world`. Its sentences belong to nobody.
"""

import argparse
import sys

import numpy as np
from safetensors.numpy import load_file

from fedcc import config
from fedcc.data.encoders.centring import (
    CENTRES,
    CORPUS_LANGUAGE,
    CORPUS_SEED,
    CORPUS_SENTENCES,
    compute_centre,
    write_centres,
)
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.data.world.source import public_corpus

ENCODERS = "minilm,wordllama,hashing"


def main() -> int:
    """Compute all centres; write them, or compare them with the shipped file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the file that ships")
    parser.add_argument("--encoders", default=ENCODERS, help="checked; all are written")
    args = parser.parse_args()
    corpus = list(public_corpus(CORPUS_SENTENCES, CORPUS_SEED, CORPUS_LANGUAGE))
    centres = {}
    for name in (ENCODERS if args.write else args.encoders).split(","):
        values = config.compose("simulate", [f"encoder={name}"])["encoder"]
        encoder = load_encoder(config.build(EncoderSettings, values, "encoder"))
        key, centres_of = compute_centre(encoder, corpus)
        centres[key] = centres_of
        print(f"{key}: length {np.linalg.norm(centres_of):.4f} of {len(corpus)} sentences")
    if args.write:
        write_centres(centres, CENTRES)
        print(f"written to {CENTRES}")
        return 0
    shipped = load_file(CENTRES)
    worst = 0.0
    for key, centre in centres.items():
        if key not in shipped:
            print(f"{key} does not ship")
            return 1
        worst = max(worst, float(np.abs(shipped[key] - centre).max()))
    print(f"largest difference to the shipped file: {worst:.2g}")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
