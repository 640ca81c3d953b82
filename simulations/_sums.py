"""Whether every sum that a site applied is that of what the sites added, to the last integer."""

from pathlib import Path

import numpy as np


def wrong_sum(folder: Path, steps_per_unit: float) -> str:
    """Return what is wrong with the sums that `_site_hooks` kept, or an empty text.

    Args:
        folder: with `added.ROUND.ATTEMPT.SITE.npz` and `applied.ROUND.ATTEMPT.SITE.npz`.
        steps_per_unit: integers for 1.0 of a gradient, from the plan.
    """
    applied = sorted(folder.glob("applied.*.npz"))
    if not applied:
        return "no sum was seen"
    for path in applied:
        _, number, attempt, site, _ = path.name.split(".")
        with np.load(path) as kept:
            found, survivors = kept["values"] * steps_per_unit, kept["survivors"]
        total = np.zeros(found.shape, dtype=np.int64)
        for name in survivors:
            part = folder / f"added.{number}.{attempt}.{name}.npz"
            if not part.exists():
                return f"round {number}: {name} is in the sum and added nothing"
            with np.load(part) as kept:
                total += kept["values"]
        # What is left are the roundings of float64 in the way back from integers.
        if not np.array_equal(np.rint(found), total) or np.abs(found - total).max() > 1e-3:
            return f"round {number}: {site} applied a wrong sum"
    return ""
