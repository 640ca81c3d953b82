"""From the settings to the encoder that they name."""

from fedcc.data.encoders.base import Encoder
from fedcc.data.encoders.hashing import HashingEncoder
from fedcc.data.encoders.minilm import MiniLmEncoder
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.data.encoders.wordllama import WordLlamaEncoder


def load_encoder(settings: EncoderSettings) -> Encoder:
    """Return the encoder; its weights are read, and their hash is checked, with the first text.

    Raises:
        ConfigError: if a package is missing (names the extra), a file in it is missing or has
            another size, or a setting does not fit the encoder.
    """
    match settings.name:
        case "minilm":
            return MiniLmEncoder(settings)
        case "wordllama":
            return WordLlamaEncoder(settings)
        case "hashing":
            return HashingEncoder(settings)
