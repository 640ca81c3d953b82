"""Which features a run trains on: profile columns, or the vectors of a sentence encoder."""

import dataclasses
from pathlib import Path

from fedcc.data.fourier_features import FourierShape
from fedcc.data.tabular_features import TabularEncoding
from fedcc.data.text_features import TextEncoding
from fedcc.errors import ConfigError
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.settings import SimulationSettings
from fedcc.models.shapes import ModelSettings
from fedcc.tasks.task import FeatureRecipe

SIMULATOR = "simulator"  # owner of the test rows


def build_recipe(settings: SimulationSettings, progress: ProgressCallback) -> FeatureRecipe:
    """Return the public recipe of the task's features.

    Raises:
        ConfigError: if the encoder's package is not installed; it names the extra. Or if the
            shape of random features is out of range.
    """
    if settings.task.name == "churn":
        return TabularEncoding.from_spec(
            settings.data, settings.model.hinges, _fourier_shape(settings.model)
        )
    folder = settings.cache.dir

    def tell(owner: str, done: int, total: int) -> None:
        text = f"encoding texts of {owner}: {done} of {total}"
        progress(Progress(kind="encoding", text=text, done=done, total=total))

    return TextEncoding.create(
        settings.data,
        settings.encoder,
        cache_dir=Path(folder).expanduser() if folder is not None else None,
        # One machine plays all sites, so a row that moves to another site is not encoded again.
        shared_caches=(SIMULATOR, *settings.site_names),
        progress=tell,
    )


def _fourier_shape(model: ModelSettings) -> FourierShape | None:
    """Return the shape of the random features that the model asks for.

    Raises:
        ConfigError: names the number that is out of range.
    """
    if model.fourier is None:
        return None
    try:
        return FourierShape(**dataclasses.asdict(model.fourier))
    except ValueError as error:
        raise ConfigError(f"model.{error}.") from error
