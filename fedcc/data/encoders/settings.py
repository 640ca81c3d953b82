"""Settings of the sentence encoders and of the cache of their vectors."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which sentence encoder; values come from `configs/encoder/*.yaml`."""

    name: Literal["minilm", "wordllama", "hashing"]
    dimension: int  # width of the vectors
    max_tokens: int  # longer texts are cut
    threads: int  # torch threads while encoding
    centre: Literal["public", "none"]  # subtract the mean vector of a public corpus

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.dimension < 1 or self.max_tokens < 1 or self.threads < 1:
            raise ValueError("dimension, max_tokens and threads must be at least 1")


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """Where vectors are kept; values come from `configs/cache/*.yaml`."""

    dir: str | None  # a folder, or null for no cache
