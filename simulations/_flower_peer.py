"""Flower's own differential privacy on dealt rows; runs in a virtual environment with Flower alone.

    python _flower_peer.py JOB.json     prints one line of JSON for each setting that was tried

The job names an .npz file with `features`, `labels`, `site` (number of the owner), `test_features`
and `test_labels`. Sites train softmax regression from zero by plain mini-batch SGD (numpy) in a
Flower ClientApp; privacy is Flower's part: the strategy wrapper for central DP with fixed clipping,
or `LocalDpMod` at each site. Both clip and noise whole updates, so what they protect is a site.
Mode `none` is the same harness without privacy: it shows that the harness learns.
"""

import json
import logging
import os
import sys
import uuid
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # small products; more threads only wait for each other

import numpy as np  # noqa: E402
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.clientapp.mod import LocalDpMod  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402
from flwr.serverapp.strategy import (  # noqa: E402
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
)
from flwr.supercore.run import Run  # noqa: E402
from flwr.supercore.task_identity import TaskIdentity  # noqa: E402

BATCHES = 8  # of a local epoch, as the textbook's


class DirectGrid(Grid):
    """Hands each message to the ClientApp in this process."""

    def __init__(self, app: ClientApp, sites: int) -> None:
        """Create a context for each site."""
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self._app, self._replies, self._run = app, {}, Run.create_empty(1)
        self._contexts = {
            1000 + i: Context(1, 1000 + i, {"partition-id": i}, RecordDict(), {})
            for i in range(sites)
        }

    def set_run(self, run: Run) -> None:
        """Set Flower's record of the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """Flower's record of the run."""
        return self._run

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):  # type: ignore[no-untyped-def]
        """Create a message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all sites."""
        return list(self._contexts)

    def push_messages(self, messages):  # type: ignore[no-untyped-def]
        """Deliver messages at once and keep the replies."""
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid.uuid4())
            ids.append(message.metadata.message_id)
            self._replies[ids[-1]] = self._app(
                message, self._contexts[message.metadata.dst_node_id]
            )
        return ids

    def pull_messages(self, message_ids):  # type: ignore[no-untyped-def]
        """Return the replies."""
        return [self._replies.pop(one) for one in message_ids]

    def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
        """Deliver messages and return the replies."""
        return self.pull_messages(self.push_messages(messages))


def local_epoch(weights: Any, features: Any, labels: Any, rate: float, rng: Any) -> Any:
    """Return the weights, shape `(classes, features)`, after one epoch of plain SGD."""
    weights = weights.copy()
    for rows in np.array_split(rng.permutation(len(labels)), BATCHES):
        if len(rows):
            scores = features[rows] @ weights.T
            chances = np.exp(scores - scores.max(axis=1, keepdims=True))
            chances /= chances.sum(axis=1, keepdims=True)
            chances[np.arange(len(rows)), labels[rows]] -= 1
            weights -= rate * chances.T @ features[rows] / len(rows)
    return weights


def client_app(data: dict[str, Any], rate: float, seed: int, mods: list[Any]) -> ClientApp:
    """Return the sites' app; every site reports the same weight, as central DP needs it."""
    app = ClientApp(mods=mods)
    rng = np.random.default_rng(seed)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        mine = data["site"] == context.node_config["partition-id"]
        [before] = message.content["arrays"].to_numpy_ndarrays()
        after = local_epoch(before, data["features"][mine], data["labels"][mine], rate, rng)
        content = RecordDict(
            {"arrays": ArrayRecord([after]), "metrics": MetricRecord({"num-examples": 1})}
        )
        return Message(content, reply_to=message)

    return app


def run(data: dict[str, Any], job: dict[str, Any], setting: dict[str, Any]) -> float:
    """Train with one setting and return the test accuracy."""
    np.random.seed(job["seed"])  # Flower draws its noise from numpy's global generator
    sites, classes = job["sites"], int(data["labels"].max()) + 1
    clip, mods = setting["clipping_norm"], []
    strategy: Any = FedAvg(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
    if setting["mode"] == "central":
        noise = job["noise_multiplier"][str(setting["rounds"])]
        strategy = DifferentialPrivacyServerSideFixedClipping(strategy, noise, clip, sites)
    elif setting["mode"] == "local":
        mods = [LocalDpMod(clip, clip, job["epsilon"], job["delta"])]
    result = strategy.start(
        DirectGrid(client_app(data, setting["learning_rate"], job["seed"], mods), sites),
        ArrayRecord([np.zeros((classes, data["features"].shape[1]))]),
        num_rounds=setting["rounds"],
    )
    [weights] = result.arrays.to_numpy_ndarrays()
    guesses = (data["test_features"] @ weights.T).argmax(axis=1)
    return float(np.mean(guesses == data["test_labels"]))


def main() -> None:
    """Run every setting of the job."""
    with open(sys.argv[1]) as file:
        job = json.load(file)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    data = dict(np.load(job["data"]))
    for setting in job["settings"]:
        print(json.dumps({**setting, "accuracy": run(data, job, setting)}), flush=True)


if __name__ == "__main__":
    main()
