"""DP-Newton, private whitening, pairs of columns, adaptive clipping: tried, failures included.

    python simulations/optimiser_trials.py --root DATA [--only pairs] [--sets mlc_churn] [--seeds 5]

Central training with the noise that a federation's sum carries (10 sites, f = 1); whatever a
variant releases beside its sums is paid from the same budget. A seed draws a quarter of the
*training* rows on which a variant is scored; test rows are never read. Numbers are the mean AUC for
churn and the accuracy for intents, per cent, over seeds; all variants meet the same draws.
"""

import argparse
import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _intent_trial import load
from _optimiser_rows import Pool, Trial, churn_pool, churn_table
from _optimiser_trial import score
from _tables import RESULTS, Table

HELD_OUT = 0.25
HINGE, COSINES = Trial(), Trial(cosines=500)
PAIRS = Trial(pairs=10, pick=0.1)
CHURN: dict[str, Trial] = {
    "hinge": HINGE,
    "fourier, as shipped": COSINES,
    "fourier, 1000 cosines": replace(COSINES, cosines=1000),
    "fourier, 2000 cosines": replace(COSINES, cosines=2000),
    "fourier, of 5 columns": replace(COSINES, columns=5),
    "fourier, of 12 columns": replace(COSINES, columns=12),
    "fourier, share 0.85": replace(COSINES, share=0.85),
    "fourier, scale 0.7": replace(COSINES, scale=0.7),
    "fourier, scale 1.4": replace(COSINES, scale=1.4),
    "fourier, scale 1.4, 2000 cosines": replace(COSINES, scale=1.4, cosines=2000),
    "fourier, scale 1.8, 2000 cosines": replace(COSINES, scale=1.8, cosines=2000),
    "fourier, 100 rounds": replace(COSINES, rounds=100),
    "fourier, 30 rounds, step x 2": replace(COSINES, rounds=30, rate=300.0),
    "fourier, step x 0.5": replace(COSINES, rate=75.0),
    "fourier, step x 2": replace(COSINES, rate=300.0),
    "fourier, clip 0.1, step x 2": replace(COSINES, clip=0.1, rate=300.0),
    "fourier, clip 0.6": replace(COSINES, clip=0.6),
    "fourier, momentum 0.95, step x 0.5": replace(COSINES, momentum=0.95, rate=75.0),
    "fourier, tail 0.25": replace(COSINES, tail=0.25),
    "fourier, whitened, power 0.25": replace(COSINES, whiten=0.25),
    "fourier, whitened, power 0.4": replace(COSINES, whiten=0.4),
    "fourier, whitened, power 0.25, a fifth": replace(COSINES, whiten=0.25, release=0.2),
    "fourier, DP-Newton, power 0.25": replace(COSINES, whiten=0.25, inside=True),
    "fourier, DP-Newton, power 0.5": replace(COSINES, whiten=0.5, inside=True, rate=50.0),
    "fourier, bound follows quantile 0.5": replace(COSINES, quantile=0.5),
    "fourier, bound follows quantile 0.8": replace(COSINES, quantile=0.8),
    "hinge, whitened, power 0.25": replace(HINGE, whiten=0.25),
    "hinge, whitened, power 0.4": replace(HINGE, whiten=0.4),
    "hinge, DP-Newton, power 0.5": replace(HINGE, whiten=0.5, inside=True, rate=50.0),
    "hinge, bound follows quantile 0.5": replace(HINGE, quantile=0.5),
    "hinge, bound follows quantile 0.8": replace(HINGE, quantile=0.8),
    "fourier, bound of 3": replace(COSINES, clip=3.0, rate=15.0),
    "fourier, bound of 3 follows quantile 0.5": replace(COSINES, clip=3.0, rate=15.0, quantile=0.5),
    "10 pairs, public order": replace(PAIRS, pick=0.0),
    "153 pairs, all": Trial(pairs=153),
    "5 pairs, picked privately": replace(PAIRS, pairs=5),
    "10 pairs, picked privately": PAIRS,
    "10 pairs, picked privately, a fifth": replace(PAIRS, pick=0.2),
    "5 pairs, picked, 8 bins": replace(PAIRS, pairs=5, bins=8),
    "10 pairs and 500 cosines": replace(PAIRS, cosines=500),
}
RATE = 18 / math.sqrt(0.3)
RECIPE = Trial(rounds=50, rate=RATE, most=6.0, least=0.25, tail=0.25, prior=10.0)
INTENTS: dict[str, Trial] = {
    "recipe": RECIPE,
    "whitened, power 0.1": replace(RECIPE, whiten=0.1),
    "whitened, power 0.25": replace(RECIPE, whiten=0.25),
    "whitened, power 0.1, a fiftieth": replace(RECIPE, whiten=0.1, release=0.02),
    "DP-Newton, power 0.1": replace(RECIPE, whiten=0.1, inside=True),
    "DP-Newton, power 0.25": replace(RECIPE, whiten=0.25, inside=True),
    "DP-Newton, power 0.5, step x 0.5": replace(RECIPE, whiten=0.5, inside=True, rate=RATE / 2),
    "bound follows quantile 0.3": replace(RECIPE, quantile=0.3),
    "bound follows quantile 0.5": replace(RECIPE, quantile=0.5),
    "bound follows quantile 0.8": replace(RECIPE, quantile=0.8),
}


@functools.cache
def intent_rows(root: Path, name: str) -> Pool:
    """Return the training rows of an intent set with the features of its labels' names."""
    rows = load(root, name)
    none = np.zeros((len(rows.labels), 0), dtype=np.int64)
    return Pool(rows.features, rows.labels, rows.names.T, none, 0)


def pool_of(root: Path, name: str, trial: Trial) -> Pool:
    """Return the rows of a set as the trial wants them."""
    if name.endswith("_churn"):
        return churn_pool(*churn_table(name), trial)
    rows = intent_rows(root, name)
    return replace(rows, start=trial.prior * rows.start)


def main() -> None:
    """Parse, try, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--only", default="", help="variants whose names hold this")
    parser.add_argument("--sets", default="mlc_churn,wa_churn")
    parser.add_argument("--epsilons", default="1,4,8")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sets, epsilons = args.sets.split(","), args.epsilons.split(",")
    trials = CHURN if sets[0].endswith("_churn") else INTENTS
    words = f"--sets {args.sets} --epsilons {args.epsilons} --seeds {args.seeds}"
    command = f"$ python simulations/optimiser_trials.py --root DATA {words}"
    table = Table(command, ["variant", *(f"{s}, epsilon {e}" for s in sets for e in epsilons)])
    for label, trial in trials.items():
        if args.only not in label:
            continue
        found = []
        for name in sets:
            pool = pool_of(args.root, name, trial)
            for epsilon in (None if e == "none" else float(e) for e in epsilons):
                right = [score(pool, trial, epsilon, s, HELD_OUT) for s in range(args.seeds)]
                found.append(f"{np.mean(right):.2f}")
        table.add(label, *found)
    if not args.only:
        kind = "churn" if trials is CHURN else "intents"
        table.write(
            args.out / f"optimiser_trials_{kind}.txt", ["Held-out training rows, per cent."]
        )


if __name__ == "__main__":
    main()
