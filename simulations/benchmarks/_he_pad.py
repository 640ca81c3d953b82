"""The same masks with a pad in place of a lattice: the row "pad only" of he_vs_nvflare.py.

A pad is the keystream of a key that every site has and the aggregator has not. Over the masked
vector it hides the sum from the aggregator as the encryption does, exactly, in the bits of a slot.
It only serves the comparison: vector work alone, with fedcc's own packing and streams, no messages.

    python _he_pad.py '{"folder": "…", "sites": 10, "lanes": 2}'
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _meter import Meter
from numpy.typing import NDArray

from fedcc.crypto.masks import add_mod, expand, subtract_mod
from fedcc.crypto.packing import pack, unpack
from fedcc.crypto.parameters import PLAIN_MODULUS

BITS = PLAIN_MODULUS.bit_length()
Slots = NDArray[np.uint64]


def to_bytes(slots: Slots) -> bytes:
    """Return slots as bits, nothing between them."""
    bits = np.unpackbits(slots.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.packbits(bits[:, :BITS], bitorder="little").tobytes()


def from_bytes(content: bytes, size: int) -> Slots:
    """Return the slots that `to_bytes` wrote."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=size * BITS, bitorder="little")
    words = np.zeros((size, 64), np.uint8)
    words[:, :BITS] = bits.reshape(size, BITS)
    return np.packbits(words, axis=1, bitorder="little").view(np.uint64).reshape(-1)


def masks_of(keys: dict[tuple[int, int], bytes], site: int, sites: int, size: int) -> Slots:
    """Return a site's signed masks with all others and its self mask."""
    total = expand(keys[site, site], size)
    for other in (other for other in range(sites) if other != site):
        stream = expand(keys[min(site, other), max(site, other)], size)
        total = add_mod(total, stream) if site < other else subtract_mod(total, stream)
    return total


def run_once(options: dict[str, Any]) -> dict[str, Any]:
    """Add all updates of a folder once; return the readings."""
    folder, sites, lanes = Path(options["folder"]), options["sites"], options["lanes"]
    keys = {(a, b): os.urandom(32) for a in range(sites) for b in range(a, sites)}
    pads = [os.urandom(32) for _ in range(sites)]  # of a group key in earnest
    total, truth, upload, meter = np.zeros(0, np.uint64), np.int64(0), b"", Meter("outside")
    for site in range(sites):
        update = np.load(folder / f"update-{site}.npy")
        truth = truth + update
        size = -(-update.size // lanes)
        with meter.at("encrypt"):
            masked = add_mod(pack(update, lanes), masks_of(keys, site, sites, size))
            upload = to_bytes(add_mod(masked, expand(pads[site], size)))
        with meter.at("aggregate"):
            slots = from_bytes(upload, size)
            total = add_mod(total, slots) if total.size else slots
    with meter.at("aggregate"):
        download = to_bytes(total)
    with meter.at("decrypt"):
        slots = from_bytes(download, total.size)
        for key in [*pads, *(keys[site, site] for site in range(sites))]:
            slots = subtract_mod(slots, expand(key, slots.size))
        opened = unpack(slots, truth.size, lanes)
    found = meter.readings() | {"upload": len(upload), "download": len(download)}
    return found | {"wrong": int(np.count_nonzero(opened != truth))}


if __name__ == "__main__":
    print(json.dumps(run_once(json.loads(sys.argv[1]))))
