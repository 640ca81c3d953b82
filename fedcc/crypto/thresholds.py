"""How many sites must answer, how many may vanish and how many may collude in a masked sum.

Pure arithmetic on public numbers. Whether the sites of a coalition are counted one by one or by the
organisation that runs them is the caller's business: here a site is whatever colludes on its own.
"""


def least_threshold(n: int) -> int:
    """Return floor(2n/3) + 1, the fewest of `n` sites that may open a round.

    Raises:
        ValueError: if `n` is below 3: with two sites, each reads the other's update from the sum.
    """
    if n < 3:
        raise ValueError(f"a masked sum needs at least 3 sites, got {n}")
    return 2 * n // 3 + 1


def threshold(n: int, min_sites: int) -> int:
    """Return t, the number of signatures and of shares that a round needs.

    Args:
        n: sites that share the one-time secrets of the epoch; frozen in their signatures.
        min_sites: fewest survivors that the signed plan admits.

    Raises:
        ValueError: if `n` is below 3, or `min_sites` is not in 1..n.
    """
    if not 1 <= min_sites <= n:
        raise ValueError(f"min_sites must be in 1..{n}, got {min_sites}")
    return max(min_sites, least_threshold(n))


def tolerated_dropouts(n: int, t: int) -> int:
    """Return how many sites may vanish while the sum of the others is still opened.

    Raises:
        ValueError: if `t` is not in `least_threshold(n)`..n.
    """
    _check(n, t)
    return n - t


def tolerated_collusion_bound(n: int, t: int) -> int:
    """Return c, the most sites that may collude with the aggregator and see no single update.

    Two things would open one site's update, and c is the largest coalition that can do neither:

    1. *Two survivor sets in one attempt*, one that counts a site as a survivor (its self-mask seed
       is opened) and one that counts it as dropped (its mask key is rebuilt). Each set needs t
       signatures. The coalition signs both, an honest site only one, so two sets need
       2 (t - c) <= n - c honest signatures. Impossible while c <= 2t - n - 1.
    2. *A sum with one honest addend*: at least t sites survive, at most c of them collude, so
       t - c >= 2 honest addends remain while c <= t - 2.

    Raises:
        ValueError: if `t` is not in `least_threshold(n)`..n.

    Source: the first condition is the one of Bonawitz et al., "Practical Secure Aggregation for
    Privacy-Preserving Machine Learning", CCS 2017 (ePrint 2017/281), for an active server.
    """
    _check(n, t)
    return min(2 * t - n - 1, t - 2)


def _check(n: int, t: int) -> None:
    if not least_threshold(n) <= t <= n:
        raise ValueError(f"the threshold of {n} sites must be in {least_threshold(n)}..{n}: {t}")
