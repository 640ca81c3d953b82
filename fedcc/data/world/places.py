"""The contact centres of the generated world: where they are, whom they serve, how well they work.

Thirteen invented centres of several invented operators. Sizes, languages, desks and quality
differ on purpose, so that centres are realistic sites of a federation: skewed in size, in language
and in what callers want.
"""

from dataclasses import dataclass
from typing import Literal

from fedcc.data.world.intents import CATALOGUE, TOPICS

Clock = Literal["europe", "america", "none"]

LANGUAGES: tuple[str, ...] = ("en", "es", "pt", "de")
PRODUCTS: tuple[str, ...] = ("mobile", "broadband", "bundle", "prepaid")


@dataclass(frozen=True, kw_only=True)
class Centre:
    """One contact centre.

    `utc_minutes` is the offset of winter time; `clock` names the rule of summer time. `languages`
    and `regions` hold the shares of its customers; `desks` multiplies the shares of topics.
    `quality` is added to the share of contacts that are settled; `faults` multiplies the number of
    outages that customers live through; `agents` is the number of its agents.
    """

    name: str
    size: float
    jurisdiction: str
    country: str
    currency: str
    utc_minutes: int
    clock: Clock
    languages: dict[str, float]
    regions: dict[str, float]
    desks: dict[str, float]
    quality: float
    faults: float
    agents: int
    opt_in: float


def _centre(
    name: str,
    size: float,
    place: tuple[str, str, str],
    clock: tuple[int, Clock],
    languages: dict[str, float],
    regions: dict[str, float],
    desks: dict[str, float],
    service: tuple[float, float, int, float],
) -> Centre:
    jurisdiction, country, currency = place
    quality, faults, agents, opt_in = service
    return Centre(
        name=name,
        size=size,
        jurisdiction=jurisdiction,
        country=country,
        currency=currency,
        utc_minutes=clock[0],
        clock=clock[1],
        languages=languages,
        regions=regions,
        desks=desks,
        quality=quality,
        faults=faults,
        agents=agents,
        opt_in=opt_in,
    )


_UK, _IE, _ES = ("UK", "GB", "£"), ("IE", "IE", "€"), ("ES", "ES", "€")
_PT, _DE, _BR = ("PT", "PT", "€"), ("DE", "DE", "€"), ("BR", "BR", "R$")
_GMT: tuple[int, Clock] = (0, "europe")
_CET: tuple[int, Clock] = (60, "europe")

# name, size, place, clock, languages, regions, desks,
# service: quality, faults, agents, share of customers whose consent is granted
CENTRES: tuple[Centre, ...] = (
    _centre("leeds", 20, _UK, _GMT, {"en": 1.0}, {"yorkshire": 0.6, "north east": 0.4},
            {"billing": 1.5, "contract": 1.2}, (0.03, 1.0, 140, 0.86)),
    _centre("glasgow", 15, _UK, _GMT, {"en": 1.0}, {"scotland": 0.8, "north west": 0.2},
            {"network": 1.7, "billing": 0.7}, (0.05, 1.3, 90, 0.88)),
    _centre("cardiff", 9, _UK, _GMT, {"en": 1.0}, {"wales": 0.7, "south west": 0.3},
            {"security": 2.0, "service": 1.3}, (-0.02, 1.1, 60, 0.84)),
    _centre("cork", 9, _IE, _GMT, {"en": 0.97, "pt": 0.03}, {"munster": 0.6, "leinster": 0.4},
            {"line": 1.5, "network": 0.8}, (0.02, 0.9, 64, 0.85)),
    _centre("sacramento", 14, ("US-CA", "US", "$"), (-480, "america"), {"en": 0.87, "es": 0.13},
            {"northern california": 0.55, "southern california": 0.45},
            {"security": 1.4, "contract": 1.2}, (-0.03, 0.8, 110, 0.81)),
    _centre("austin", 15, ("US-TX", "US", "$"), (-360, "america"), {"en": 0.87, "es": 0.13},
            {"texas": 0.8, "oklahoma": 0.2}, {"line": 1.3, "billing": 1.2}, (0.0, 1.2, 120, 0.89)),
    _centre("albany", 6, ("US-NY", "US", "$"), (-300, "america"), {"en": 0.94, "es": 0.06},
            {"upstate new york": 1.0}, {"network": 1.4, "service": 1.5}, (-0.05, 1.5, 44, 0.87)),
    _centre("madrid", 6, _ES, _CET, {"es": 0.95, "en": 0.05},
            {"madrid": 0.7, "castilla": 0.3}, {"billing": 1.3, "line": 1.1}, (0.01, 1.0, 82, 0.83)),
    _centre("malaga", 3, _ES, _CET, {"es": 0.58, "en": 0.36, "de": 0.06}, {"andalucia": 1.0},
            {"line": 1.8, "contract": 0.8}, (0.0, 1.1, 46, 0.85)),
    _centre("porto", 3, _PT, _GMT, {"pt": 0.93, "en": 0.07}, {"norte": 0.7, "centro": 0.3},
            {"network": 1.3, "contract": 1.3}, (0.04, 0.9, 40, 0.86)),
    _centre("recife", 4, _BR, (-180, "none"), {"pt": 1.0}, {"nordeste": 0.8, "norte brasil": 0.2},
            {"line": 1.6, "service": 1.6}, (-0.08, 1.8, 66, 0.90)),
    _centre("leipzig", 4.5, _DE, _CET, {"de": 0.90, "en": 0.10}, {"sachsen": 0.7, "hessen": 0.3},
            {"network": 1.4, "security": 1.2}, (0.03, 1.0, 70, 0.74)),
    _centre("cologne", 2.5, _DE, _CET, {"de": 0.86, "en": 0.14}, {"nordrhein": 1.0},
            {"contract": 1.9, "billing": 1.1}, (0.02, 0.9, 36, 0.76)),
)  # fmt: skip

REGIONS: tuple[str, ...] = tuple(dict.fromkeys(r for centre in CENTRES for r in centre.regions))


def intent_shares(centre: Centre, product: str) -> list[float]:
    """Return the share of each intent among the first contacts of a centre's customers.

    Weights of the catalogue, times the centre's desk for the topic, zero where an intent does not
    fit the product; they sum to 1.
    """
    weights = [
        intent.share * centre.desks.get(intent.topic, 1.0) * (product in intent.fits.split())
        for intent in CATALOGUE
    ]
    return [weight / sum(weights) for weight in weights]


def check_places() -> None:
    """Check that shares sum to one and that desks name topics; a test calls it."""
    for centre in CENTRES:
        for shares in (centre.languages, centre.regions):
            if abs(sum(shares.values()) - 1) > 1e-9:
                raise ValueError(f"centre {centre.name}: shares do not sum to one")
        if not set(centre.desks) <= set(TOPICS) or not set(centre.languages) <= set(LANGUAGES):
            raise ValueError(f"centre {centre.name}: an unknown topic or language")
