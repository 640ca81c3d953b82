"""The parts of a site's noise: one that always stays, and parts for sites that may drop out.

A claim needs the variance T = sigma^2 D^2 from honest sites. If every site adds T / (n_min - f), so
that it holds with n_min survivors, the sum of all n sites carries more than it needs. So a site
adds n_0 + n_1 + ... + n_L, each drawn from a seed of its own. Once the survivors of an attempt are
fixed, the seeds of what is not needed are opened, and everybody subtracts that part of the noise.

With levels d_0 < d_1 < ... < d_L = n - n_min of dropped sites, T / (n - d_0 - f) is the variance of
n_0 and T (1 / (n - d_j - f) - 1 / (n - d_(j-1) - f)) that of n_j. If d sites dropped, n_j with
d_(j-1) >= d is opened. What each survivor keeps telescopes to T / (n - d_l - f), d_l being the
lowest level that is at least d.

The claim holds for every d: of n - d survivors at most f collude, so the others carry at least
(n - d - f) T / (n - d_l - f) >= T, because d <= d_l. With d = d_0 = 0 it is exactly T: nothing
remains of what was added for dropouts that did not happen.

Accounting counts the variance v_0 = T / (n - d_0 - f) at n - d_0 sites: n_0 is never opened, and
against c <= f colluding sites (c = 0 is the outsider) every d leaves at least that. With d <= d_0
there are n - d - c >= n - d_0 - c such shares. Beyond, with d_l >= d the level that serves d,
(n - d - c) / (n - d_l - f) >= (n - d_l - c) / (n - d_l - f) = 1 + (f - c) / (n - d_l - f)
>= 1 + (f - c) / (n - d_0 - f) = (n - d_0 - c) / (n - d_0 - f).

Source: XNoise in Jiang, Wang, Chen, "Dordis: Efficient Federated Learning with Dropout-Resilient
Differential Privacy", EuroSys 2024 (arXiv:2209.12528), with levels instead of single dropouts.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NoiseComponents:
    """The parts of one site's noise, all with mean 0 and independent."""

    levels: tuple[int, ...]  # (d_0, ..., d_L): n_j serves more than d_(j-1) dropped sites
    variances: tuple[float, ...]  # v_0 ... v_L per coordinate, gradient units squared

    def __post_init__(self) -> None:
        """Check levels and variances.

        Raises:
            ValueError: names what is wrong.
        """
        check_levels(self.levels)
        if len(self.variances) != len(self.levels):
            raise ValueError("variances and levels must be as many as each other")
        if not all(0 <= variance < math.inf for variance in self.variances):
            raise ValueError(f"variances must be finite and >= 0, got {self.variances}")

    @property
    def n_excess(self) -> int:
        """L: parts that may be opened."""
        return len(self.levels) - 1

    @property
    def total(self) -> float:
        """Variance of all that a site adds."""
        return math.fsum(self.variances)

    def opened(self, dropped: int) -> tuple[int, ...]:
        """Return the numbers (from 1) of the parts to open when so many planned sites dropped.

        Raises:
            ValueError: if more dropped than the noise was planned for.
        """
        if not 0 <= dropped <= self.levels[-1]:
            raise ValueError(f"dropped must be from 0 to {self.levels[-1]}, got {dropped}")
        below = enumerate(self.levels[:-1], start=1)
        return tuple(part for part, level in below if level >= dropped)

    def kept(self, dropped: int) -> float:
        """Return the variance that stays in the sum of each survivor.

        Raises:
            ValueError: if more dropped than the noise was planned for.
        """
        opened = self.opened(dropped)
        parts = enumerate(self.variances)
        return math.fsum(variance for part, variance in parts if part not in opened)


def check_levels(levels: tuple[int, ...]) -> None:
    """Refuse levels that are not whole numbers from 0 on, each above the one before.

    Raises:
        ValueError: names the levels.
    """
    rising = all(low < high for low, high in zip(levels, levels[1:], strict=False))
    if not levels or levels[0] < 0 or not rising:
        raise ValueError(f"levels must rise from 0 or more, got {levels}")


def noise_levels(*, n_sites: int, min_sites: int, components: int | None) -> tuple[int, ...]:
    """Return the levels (d_0, ..., d_L) of a plan, spread evenly on a logarithmic scale.

    Args:
        n_sites: planned sites n.
        min_sites: n_min.
        components: L at most; `None` for a level at each number of dropped sites; 0 for none, so
            that n_0 alone serves n_min survivors and nothing is ever opened.

    Raises:
        ValueError: unless 1 <= min_sites <= n_sites and components is not negative.
    """
    if not 1 <= min_sites <= n_sites:
        raise ValueError(f"min_sites must be from 1 to {n_sites}, got {min_sites}")
    if components is not None and components < 0:
        raise ValueError(f"components must not be negative, got {components}")
    most = n_sites - min_sites
    if components == 0:
        return (most,)
    if components is None or components >= most:
        return tuple(range(most + 1))
    levels = [0]
    for step in range(components):
        wanted = most if components == 1 else round(most ** (step / (components - 1)))
        # Each level is above the one before and leaves room for those that follow.
        levels.append(min(max(wanted, levels[-1] + 1), most - (components - 1 - step)))
    return tuple(levels)


def split_noise(
    *, total_variance: float, n_sites: int, collusion: int, levels: tuple[int, ...]
) -> NoiseComponents:
    """Return the parts with which honest survivors carry `total_variance` at every level.

    Args:
        total_variance: T, what the claim needs of the honest sites, gradient units squared.
        n_sites: planned sites n.
        collusion: f.
        levels: (d_0, ..., d_L); n - d_L sites must exceed f.

    Raises:
        ValueError: if the levels leave no honest site, or T is negative or not finite.
    """
    check_levels(levels)
    if collusion < 0 or n_sites - levels[-1] - collusion < 1:
        raise ValueError(
            f"{n_sites} sites less {levels[-1]} dropped and {collusion} colluding leave none"
        )
    if not 0 <= total_variance < math.inf:
        raise ValueError(f"total_variance must be finite and >= 0, got {total_variance}")
    honest = [n_sites - level - collusion for level in levels]
    # 1 / b - 1 / a = (a - b) / (a b) with whole numbers: nothing cancels.
    variances = [total_variance / honest[0]] + [
        total_variance * (more - fewer) / (more * fewer)
        for more, fewer in zip(honest, honest[1:], strict=False)
    ]
    return NoiseComponents(levels=levels, variances=tuple(variances))


def noise_components(
    *,
    total_variance: float,
    n_sites: int,
    min_sites: int,
    collusion: int,
    components: int | None,
) -> NoiseComponents:
    """Return the parts of a site's noise in a plan; see `noise_levels` and `split_noise`.

    Raises:
        ValueError: if the numbers contradict each other.
    """
    levels = noise_levels(n_sites=n_sites, min_sites=min_sites, components=components)
    return split_noise(
        total_variance=total_variance, n_sites=n_sites, collusion=collusion, levels=levels
    )
