"""Which features a run trains on: profile columns, or the vectors of a sentence encoder."""

from pathlib import Path

from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.settings import SimulationSettings
from fedcc.tasks.task import FeatureRecipe


def build_recipe(settings: SimulationSettings, progress: ProgressCallback) -> FeatureRecipe:
    """Return the public recipe of the task's features.

    Raises:
        ConfigError: if the encoder's package is not installed; it names the extra.
    """
    if settings.task.name == "churn":
        return TabularEncoding.from_spec(settings.data, settings.model.hinges)
    from fedcc.data.encoders.base import load_encoder
    from fedcc.data.text_features import TextEncoding

    folder = settings.cache.dir

    def tell(owner: str, done: int, total: int) -> None:
        text = f"encoding texts of {owner}: {done} of {total}"
        progress(Progress(kind="encoding", text=text, done=done, total=total))

    return TextEncoding.create(
        settings.data,
        load_encoder(settings.encoder),
        cache_dir=Path(folder).expanduser() if folder is not None else None,
        progress=tell,
    )
