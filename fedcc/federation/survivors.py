"""How many sites must survive an attempt, and how many of them may collude.

Under masks an attempt survives dropouts: the survivors rebuild what the lost sites' masks hide. It
closes with t = max(n_min, floor(2n/3) + 1) signatures on one set of survivors. A coalition of c
sites sees one update of an honest site alone only if it can make two sets of survivors be signed,
which needs c >= 2t - n, or if all other survivors are its own, c >= t - 1. So a plan may tolerate
c = min(2t - n - 1, t - 2) colluding sites at most.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
2017 (active adversary: 2t > n + c); the second bound keeps two honest sites in every sum.
"""

from fedcc.crypto.parameters import CryptoSettings
from fedcc.crypto.thresholds import least_threshold, threshold, tolerated_collusion_bound
from fedcc.errors import ConfigError
from fedcc.privacy.calibration import PrivacySettings

MOST_RECOVERING_SITES = 128  # shares of more sites' secrets are not dealt
LEAST_HONEST = 2  # honest sites in every sum, or the coalition reads one update off it


def default_min_sites(n_sites: int, collusion: int) -> int:
    """Return the least n_min >= floor(2n/3) + 1 that admits the tolerated collusion, at most n."""
    # 2t - n - 1 >= f holds from t = ceil((n + f + 1) / 2) on.
    two_sets = -(-(n_sites + collusion + 1) // 2)
    least = max(least_threshold(n_sites), collusion + LEAST_HONEST, two_sets)
    return min(n_sites, least)


def planned_min_sites(
    privacy: PrivacySettings, crypto: CryptoSettings, *, n_sites: int, collusion: int
) -> int:
    """Return n_min: what the settings say, else the default where attempts survive dropouts."""
    if privacy.min_sites is not None:
        return privacy.min_sites
    if not recovers(masked=crypto.masked, n_sites=n_sites):
        return n_sites
    least = default_min_sites(n_sites, collusion)
    ring = crypto.neighbours
    if ring is not None and ring < n_sites - 1 and ring <= collusion + n_sites - least:
        return n_sites  # too few neighbours to lose any
    return least


def recovers(*, masked: bool, n_sites: int) -> bool:
    """Tell whether attempts survive dropouts."""
    return masked and n_sites <= MOST_RECOVERING_SITES


def check_collusion(*, n_sites: int, min_sites: int, collusion: int) -> None:
    """Refuse more collusion than the signatures of an attempt withstand.

    Raises:
        ConfigError: names the key, the largest value and the remedy.
    """
    needed = threshold(n_sites, min_sites)
    most = tolerated_collusion_bound(n_sites, needed)
    if collusion <= most:
        return
    remedy = "Raise sites"
    if collusion <= n_sites - LEAST_HONEST:
        remedy = f"Raise privacy.min_sites to {default_min_sites(n_sites, collusion)}"
    raise ConfigError(
        f"privacy.tolerated_collusion ({collusion}, at least the sites of the largest "
        f"organisation) must be at most {most} with {n_sites} sites and privacy.min_sites="
        f"{min_sites}, where {needed} sites sign each sum. {remedy}, or lower the collusion."
    )


def mask_neighbours(wanted: int | None, *, n_sites: int, collusion: int, lost: int) -> int:
    """Return how many sites each site masks with; 0 stands for all others.

    Args:
        wanted: by the settings; `None` for all others.
        n_sites: planned sites.
        collusion: f.
        lost: sites that may drop out of an attempt that still closes.

    Raises:
        ConfigError: if colluding and lost sites could cut a site off from the rest.
    """
    if wanted is None or wanted >= n_sites - 1:
        return 0
    if wanted <= collusion + lost:
        raise ConfigError(
            f"crypto.neighbours ({wanted}) must exceed the tolerated collusion ({collusion}) and "
            f"the sites that may drop out ({lost}) together, or colluding sites could cut a site "
            "off and read its update. Raise it, or privacy.min_sites."
        )
    return wanted
