"""The model's settings become the recipe of the features, or are refused by name."""

import pytest

from fedcc import config
from fedcc.errors import ConfigError
from fedcc.federation.features import build_recipe
from fedcc.federation.progress import silent
from fedcc.federation.settings import SimulationSettings, simulation_settings


def settings_of(*overrides: str) -> SimulationSettings:
    return simulation_settings(config.compose("simulate", list(overrides)))


def test_cosines_widen_the_features_by_as_many_as_asked_for() -> None:
    plain = build_recipe(settings_of("model=hinge", "model.hinges=8"), silent)
    both = build_recipe(settings_of("model=fourier", "model.fourier.features=30"), silent)

    assert both.n_features == plain.n_features + 30
    assert both.fingerprint != plain.fingerprint


def test_the_recipe_for_interactions_only_moves_the_bound_of_the_step() -> None:
    plain, wide = settings_of().training, settings_of("training=interactions").training

    assert (plain.most_epsilon, wide.most_epsilon) == (1.0, 8.0)
    assert (plain.learning_rate, plain.max_grad_norm) == (wide.learning_rate, wide.max_grad_norm)


@pytest.mark.parametrize("wrong", ["share=1.0", "features=0", "columns=0", "scale=0"])
def test_a_shape_out_of_range_is_refused_with_its_key(wrong: str) -> None:
    settings = settings_of("model=fourier", f"model.fourier.{wrong}")

    with pytest.raises(ConfigError, match=f"model.fourier: .*{wrong.split('=')[0]}"):
        build_recipe(settings, silent)


@pytest.mark.parametrize(
    "overrides", [["model=fourier", "model.name=linear"], ["model=fourier", "model.fourier=null"]]
)
def test_cosines_belong_to_the_model_of_that_name(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="fourier must be given"):
        settings_of(*overrides)


def test_cosines_are_not_for_texts() -> None:
    with pytest.raises(ConfigError, match="model=fourier is for profile columns"):
        settings_of("task=intent", "model=fourier")


def test_a_model_of_texts_brings_its_own_hashed_n_grams() -> None:
    settings = settings_of("task=intent", "model=text")

    recipe = build_recipe(settings, silent)

    assert (settings.encoder.name, recipe.n_features) == ("hashing", 2048)
    assert settings.training.prior == "label_names"


@pytest.mark.parametrize("encoder", ["minilm", "wordllama"])
def test_a_model_of_texts_refuses_an_encoder_s_vectors(encoder: str) -> None:
    with pytest.raises(ConfigError, match=f"needs encoder=hashing .*got {encoder}"):
        settings_of("task=intent", "model=text", f"encoder={encoder}")


def test_a_model_of_texts_refuses_counts_that_were_moved_to_a_centre() -> None:
    with pytest.raises(ConfigError, match="encoder.centre=none, got hashing with labels"):
        settings_of("task=intent", "model=text", "encoder.centre=labels")


def test_a_model_of_texts_is_not_for_profile_columns() -> None:
    with pytest.raises(ConfigError, match="model=text learns from texts; choose task=intent"):
        settings_of("model=text")


@pytest.mark.parametrize("sign", ["", "+"])
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("training.sampler=weighted", "more often than by the sample_rate .*privacy.sample_rate"),
        ("privacy.oversample=2", "more often than by the sample_rate .*privacy.sample_rate"),
        ("model.batch_norm=true", "batch norm is refused: it mixes the examples"),
    ],
)
def test_what_would_falsify_epsilon_is_refused_with_the_reason(
    sign: str, key: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=f"{key.split('=')[0]}: .*{reason}"):
        settings_of(sign + key)
