"""What each party of a run holds, turned into what the inversion attack takes.

A run is played with a listener at the aggregator. Afterwards the judge opens the run folder, which
no party of a real run has, to know which sentences were at which site. A view is the best that a
party can make of what it holds: numbers in the shape of the head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc import config
from fedcc.crypto.contexts import SiteCipher
from fedcc.crypto.packing import slot_count, unpack
from fedcc.data.connectors import read_table
from fedcc.data.gates import admit
from fedcc.errors import RecordError
from fedcc.federation import simulation
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.local_training import starting_point
from fedcc.federation.overhearing import Overheard
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulated_data import load_data
from fedcc.federation.simulation import RunResult
from fedcc.training.checkpoints import load_state

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """The public knowledge of a run, candidates to choose from, and the truth."""

    plan: RunPlan
    weights: Matrix  # of the head before round 1, shape (n_classes, d); public
    texts: tuple[str, ...]  # candidate sentences, all different, redacted as in training
    features: Matrix  # of the candidates, shape (n, d)
    said_at: Mapping[str, frozenset[int]]  # truth: candidates that trained at each site


def overheard_run(
    overrides: Sequence[str], config_dir: Path | None = None
) -> tuple[RunResult, list[Overheard]]:
    """Run a simulation, as `fedcc.simulate` does, and listen at the aggregator.

    Raises:
        FedccError: for settings or data that cannot be run at all.
    """
    heard: list[Overheard] = []
    values = config.compose("simulate", overrides, config_dir)
    settings = simulation_settings(values)
    return simulation.simulate(settings, values, listener=heard.append), heard


def uploads(heard: Sequence[Overheard], round_number: int) -> dict[str, list[bytes]]:
    """Return the chunks of each site's last upload of a round."""
    return {
        one.site: one.reply.chunks["update"]
        for one in heard
        if one.exchange == "upload"
        and one.sent.number("round") == round_number
        and "update" in one.reply.chunks
    }


def scene_of(run_dir: Path) -> Scene:
    """Open a run folder and rebuild what its parties knew; candidates are all texts of its data.

    Raises:
        FedccError: if the folder lacks something, or its data can no longer be read.
        ValueError: if the run is not one of texts and a linear head.
    """
    settings = simulation_settings(read_config(run_dir))
    plan, secret = RunFolder(run_dir, None).read_start()
    if plan.task != "intent" or plan.hidden or plan.step != "gradient":
        raise ValueError("the attack is on gradients of linear heads over texts")
    now = datetime.now(UTC)
    data = load_data(settings, secret["partition_seed"], secret["interactions_seed"], now)
    table, _ = admit(read_table(settings.data, settings.partition.path), settings.data, now=now)
    columns = [table.texts[name] for name in settings.data.with_role("text")]
    joined = ["\n".join(cells) for cells in zip(*columns, strict=True)]
    first = [joined.index(text) for text in dict.fromkeys(joined)]
    features = data.recipe.encode(table.take(np.array(first)), "attacker")
    # Sentences with equal features (case or spacing) are one candidate: nobody can tell them apart.
    _, distinct = np.unique(features, axis=0, return_index=True)
    distinct = np.sort(distinct)
    place = {features[row].tobytes(): number for number, row in enumerate(distinct)}
    return Scene(
        plan=plan,
        weights=starting_point(plan, data.recipe).reshape(plan.n_outputs, plan.n_features),
        texts=tuple(joined[first[row]] for row in distinct),
        features=features[distinct].astype(np.float64),
        said_at={
            site: frozenset(place[row.tobytes()] for row in examples.features)
            for site, examples in zip(plan.sites, data.sites, strict=True)
        },
    )


def plain_update(scene: Scene, chunks: Sequence[bytes]) -> Matrix:
    """Return an upload without encryption, in gradient units, shape `(n_classes, d)`.

    Raises:
        ValueError: if the run's uploads are encrypted.
    """
    if scene.plan.scheme != "none":
        raise ValueError("this run's uploads are encrypted")
    whole = np.frombuffer(b"".join(chunks), dtype="<i8")
    return _shaped(scene, whole / scene.plan.steps_per_unit)


def read_as_numbers(scene: Scene, chunks: Sequence[bytes]) -> Matrix:
    """Return the bytes of an upload as an aggregator without a key might read them.

    The six lower bytes of each 64-bit word, which are full, give as many numbers around zero as a
    slot holds parameters. Any other reading is as good: the bytes say nothing without a key.
    """
    whole = b"".join(chunk[: len(chunk) // 8 * 8] for chunk in chunks)
    words = np.frombuffer(whole, dtype="<u8")
    lanes = scene.plan.lanes
    bits = 48 // lanes
    last = np.uint64(2**bits - 1)
    parts = [(words >> np.uint64(bits * place)) & last for place in range(lanes)]
    return _shaped(scene, np.stack(parts, axis=1).reshape(-1) - float(2 ** (bits - 1)))


def epoch_keys(run_dir: Path, site: str) -> list[bytes]:
    """Return the HE keys that a simulated site still holds after its run, oldest first.

    Raises:
        RecordError: if it holds none, as after a run without encryption, or a file is damaged.
    """
    folder = RunFolder(run_dir, None)
    identities = {name: folder.site_keys(name).identity for name in folder.read_plan().sites}
    files = sorted(folder.site_files(site).epochs.glob("epoch-*.json"))
    records = [EpochRecord.from_bytes(p.read_bytes(), p.name, identities) for p in files]
    keys = [record.key for record in records if record.key]
    if not keys:
        raise RecordError(f"{run_dir}: {site} holds no HE key. Name a run with encryption.")
    return keys


def opened_slots(scene: Scene, chunks: Sequence[bytes], epoch_key: bytes) -> NDArray[np.uint64]:
    """Return the slots of one upload, in [0, t), decrypted with the sites' own epoch key.

    Raises:
        EnvelopeError: if the key or a ciphertext is unsound.
        ValueError: if the run's uploads are not masked BFV.
    """
    plan = scene.plan
    if plan.scheme != "bfv":
        raise ValueError("only uploads of crypto=bfv are masked")
    size = slot_count(plan.n_parameters, plan.lanes)
    return SiteCipher("bfv", epoch_key).decrypt(chunks, size).astype(np.uint64)


def slots_as_update(scene: Scene, slots: NDArray[np.uint64]) -> Matrix:
    """Return opened slots as if no mask were on them, shape `(n_classes, d)`."""
    values = unpack(slots, scene.plan.n_parameters, scene.plan.lanes)
    return _shaped(scene, values / scene.plan.steps_per_unit)


def released_sum(scene: Scene, run_dir: Path, site: str) -> Matrix:
    """Return the sum that a site of a one-round run reads off its own copy of the model.

    Raises:
        ValueError: if the run had more rounds: later sums are taken at other weights.
    """
    state = load_state(RunFolder(run_dir, None).site_files(site).checkpoint)
    if state.rounds_applied != 1:
        raise ValueError("the sum is read off a run of one round")
    return _shaped(scene, state.velocity * scene.plan.rule.normaliser)


def _shaped(scene: Scene, values: Matrix) -> Matrix:
    return values[: scene.weights.size].reshape(scene.weights.shape).astype(np.float64)
