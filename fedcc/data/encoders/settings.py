"""Settings of the sentence encoder and of its cache; values come from `configs/`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder turns texts into vectors; values come from `configs/encoder/*.yaml`."""

    name: Literal["minilm", "wordllama", "hashing"]
    dimension: int  # length of a vector
    max_tokens: int  # of one text, special tokens included; the rest is cut off and counted
    threads: int  # CPU threads while encoding; changes the speed, never a vector
    centre: Literal["labels", "public", "none"]  # whose mean vector is subtracted, see centring.py

    def __post_init__(self) -> None:
        """Refuse numbers that no encoder can work with."""
        for name in ("dimension", "max_tokens", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """Where vectors are kept between runs; values come from `configs/cache/*.yaml`."""

    dir: str | None  # a folder with one folder per site; null keeps nothing
