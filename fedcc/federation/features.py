"""Which features a run trains on: profile columns, or the vectors of a sentence encoder."""

from pathlib import Path

from fedcc.data.tabular_features import TabularEncoding
from fedcc.data.text_features import TextEncoding
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.settings import SimulationSettings
from fedcc.tasks.task import FeatureRecipe

SIMULATOR = "simulator"  # owner of the test rows


def build_recipe(settings: SimulationSettings, progress: ProgressCallback) -> FeatureRecipe:
    """Return the public recipe of the task's features.

    Raises:
        ConfigError: if the encoder's package is not installed; it names the extra.
    """
    if settings.task.name == "churn":
        return TabularEncoding.from_spec(settings.data, settings.model.hinges)
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
