"""NVFlare's own homomorphic encryption, metered: the peer's part of he_vs_nvflare.py.

Runs under an interpreter that has NVFlare and not fedcc. Provisioning, encryption, aggregation and
decryption are NVFlare's classes with their default parameters; nothing is repeated here. Each role
is a process of its own and what passes between them are the bytes that NVFlare would send.

    python _he_peer.py provision|encrypt|aggregate|decrypt FOLDER TENSORS SITES

FOLDER holds `vector-0.npy` and so on: each site's update, float32.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tenseal
from _meter import Meter
from numpy.typing import NDArray
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.decomposers import flare_decomposers
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.decomposers import common_decomposers
from nvflare.app_opt.he.homomorphic_encrypt import serialize_nested_dict
from nvflare.app_opt.he.intime_accumulate_model_aggregator import (
    HEInTimeAccumulateWeightedAggregator,
)
from nvflare.app_opt.he.model_decryptor import HEModelDecryptor
from nvflare.app_opt.he.model_encryptor import HEModelEncryptor
from nvflare.fuel.utils import fobs
from nvflare.lighter.impl.he import HEBuilder

STEPS = 10  # local steps of every site: NVFlare's weight of an update; equal here
OUTPUTS = 77


def layers(vector: NDArray[np.float32], tensors: int) -> dict[str, NDArray[np.float32]]:
    """Return the vector as one tensor, or as the six of a text classifier with a hidden layer."""
    if tensors == 1:
        return {"weight": vector}
    hidden = max(8, int((vector.size / 8) ** 0.5))
    sizes = {
        "fc1.bias": hidden,
        "fc2.weight": hidden * hidden,
        "fc2.bias": hidden,
        "out.weight": OUTPUTS * hidden,
        "out.bias": OUTPUTS,
    }
    ends = np.cumsum([vector.size - sum(sizes.values()), *sizes.values()])
    return dict(zip(["fc1.weight", *sizes], np.split(vector, ends[:-1]), strict=True))


def flat(tensors: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return one vector, tensors in the order of `layers`."""
    order = [name for name in layers(np.zeros(10_000, np.float32), len(tensors))]
    return np.concatenate([np.asarray(tensors[name], np.float64).ravel() for name in order])


@contextmanager
def quiet() -> Iterator[None]:
    """Send what TenSEAL prints from C++ for every long vector to nowhere."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def provision(folder: Path) -> None:
    """Write both contexts as NVFlare's provisioning makes them."""
    builder = HEBuilder()
    builder.initialize(None, None)
    (folder / "client.tenseal").write_bytes(builder.get_serialized_context(is_client=True))
    (folder / "server.tenseal").write_bytes(builder.get_serialized_context())


def encrypt(folder: Path, tensors: int, sites: int, meter: Meter, context: FLContext) -> None:
    """Write one upload per site."""
    for index in range(sites):
        vector = np.load(folder / f"vector-{index}.npy")
        encryptor = HEModelEncryptor()
        encryptor.tenseal_context = tenseal.context_from((folder / "client.tenseal").read_bytes())
        encryptor.encrypt_layers = [True] * tensors
        encryptor.n_iter = STEPS
        meta = {MetaKey.NUM_STEPS_CURRENT_ROUND: STEPS}
        dxo = DXO(DataKind.WEIGHT_DIFF, data=layers(vector, tensors), meta=meta)
        with meter.at("encrypt"):
            upload = fobs.dumps(encryptor._process(dxo, context).to_shareable())
        (folder / f"upload-{index}").write_bytes(upload)
        del dxo, upload, encryptor, vector


def aggregate(folder: Path, sites: int, meter: Meter, context: FLContext) -> None:
    """Add all uploads in turn and write what goes back to the sites."""
    aggregator = HEInTimeAccumulateWeightedAggregator(weigh_by_local_iter=False)
    aggregator.handle_event(EventType.START_RUN, context)
    for index in range(sites):
        upload = (folder / f"upload-{index}").read_bytes()
        with meter.at("aggregate"):
            shareable = fobs.loads(upload)
            del upload
            shareable.set_peer_props({ReservedKey.IDENTITY_NAME: f"site-{index}"})
            shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, 0)
            accepted = aggregator.accept(shareable, context)
        if not accepted:
            raise RuntimeError("NVFlare refused an upload")
    with meter.at("aggregate"):
        result = from_shareable(aggregator.aggregate(context))
        # What HEModelShareableGenerator sends down.
        download = fobs.dumps(dict(serialize_nested_dict(result.data)))
    (folder / "download").write_bytes(download)
    (folder / "processed.json").write_text(json.dumps(result.meta[MetaKey.PROCESSED_KEYS]))


def decrypt(
    folder: Path, tensors: int, sites: int, meter: Meter, context: FLContext
) -> dict[str, float]:
    """Open the mean at one site; return its largest error, relative to the largest update."""
    decryptor = HEModelDecryptor()
    decryptor.tenseal_context = tenseal.context_from((folder / "client.tenseal").read_bytes())
    download = (folder / "download").read_bytes()
    processed = json.loads((folder / "processed.json").read_text())
    with meter.at("decrypt"):
        opened = decryptor.decryption(fobs.loads(download), processed, context)
    with meter.aside("check"):
        vectors = np.stack([np.load(folder / f"vector-{index}.npy") for index in range(sites)])
        error = np.abs(flat(opened) - vectors.mean(axis=0, dtype=np.float64)).max()
        return {"error": float(error / np.abs(vectors).max())}


def main() -> None:
    """Play one role and print its readings."""
    role, folder, tensors, sites = (
        sys.argv[1],
        Path(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
    )
    logging.disable(logging.CRITICAL)
    flare_decomposers.register()
    common_decomposers.register()
    context = FLContext()
    context.set_prop(AppConstants.CURRENT_ROUND, 0, private=True, sticky=False)
    found: dict[str, Any] = {}
    with quiet():
        meter = Meter("outside")
        if role == "provision":
            provision(folder)
        elif role == "encrypt":
            encrypt(folder, tensors, sites, meter, context)
        elif role == "aggregate":
            aggregate(folder, sites, meter, context)
        else:
            found = decrypt(folder, tensors, sites, meter, context)
        found |= meter.readings()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
