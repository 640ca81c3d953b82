"""Playing faults on an installation: services that are killed, cut off, slowed down, restarted."""

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from _installation import Installation, free_port, install, start, stop

from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.privacy.ledger import read_ledger

DATA = "calls"
SPEC: dict[str, Any] = {
    "name": DATA,
    "source": {"kind": "csv"},
    "public_rows": 600,
    "test": {"kind": "file", "path": "test.csv"},
    "consent": {"basis": "public_dataset", "source": "made up"},
    "out_of_bounds": "clamp",
    "columns": {
        "id": {"role": "customer"},
        "calls": {"role": "feature", "kind": "number", "bounds": [0, 1]},
        "waits": {"role": "feature", "kind": "number", "bounds": [0, 1]},
        "left": {"role": "label", "values": {"No": 0, "Yes": 1}},
    },
}


def site_names(n_sites: int) -> tuple[str, ...]:
    """Return the names of so many sites."""
    return tuple(f"site-{number}" for number in range(1, n_sites + 1))


def write_rows(path: Path, site: str, n_rows: int = 150) -> None:
    """Write made-up rows of as many customers; with a kind each, where the spec has kinds."""
    rng, columns = random.Random(site), SPEC["columns"]
    kinds = columns["kind"]["values"] if "kind" in columns else []
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "calls", "waits", "left", *(["kind"] if kinds else [])])
        for number in range(n_rows):
            calls, waits = rng.random(), rng.random()
            row = [f"{site}-{number}", calls, waits, "Yes" if calls + waits > 1 else "No"]
            writer.writerow([*row, *([rng.choice(kinds)] if kinds else [])])


@dataclass
class Drill:
    """An installation on loopback whose services a script starts, kills and watches."""

    root: Path
    made: Installation
    signed: SignedPlan
    spaces: Mapping[str, str | None] = field(default_factory=dict)
    services: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    environment: dict[str, dict[str, str]] = field(default_factory=dict)  # added, by service

    @classmethod
    def prepare(
        cls,
        root: Path,
        n_sites: int,
        rounds: int,
        places: Mapping[str, tuple[str | None, str]] | None = None,
    ) -> "Drill":
        """Install an aggregator and sites, and submit a run that all approve.

        Args:
            root: folder of everything.
            n_sites: how many.
            rounds: of the run.
            places: namespace and address of `hub` and each site; `None` for loopback.
        """
        sites = site_names(n_sites)
        (root / "data").mkdir(parents=True)
        (root / "data" / f"{DATA}.yaml").write_text(yaml.safe_dump(SPEC))
        data = {}
        for site in sites:
            write_rows(root / f"{site}.csv", site)
            data[site] = {"name": DATA, "path": str(root / f"{site}.csv"), "config_dir": str(root)}
        made = install(
            root / "consortium",
            sites,
            host="127.0.0.1" if places is None else places["hub"][1],
            port=free_port(),
            data=data,
            health_ports={name: free_port() for name in ("aggregator", *sites)},
        )
        signed = made.submit(["task=churn", f"data={DATA}", f"rounds={rounds}"], root)
        spaces = {name: place[0] for name, place in (places or {}).items()}
        return cls(root, made, signed, spaces)

    def submit(self, rounds: int) -> None:
        """Submit one more run, which is watched from now on."""
        wanted = ["task=churn", f"data={DATA}", f"rounds={rounds}"]
        self.signed = self.made.submit(wanted, self.root)
        for path in self.seen.glob("*"):
            path.unlink()

    def start(self, name: str) -> None:
        """Start a service: `hub` or a site."""
        part = "aggregator" if name == "hub" else "site"
        folder = self.made.hub if name == "hub" else self.made.site(name)
        log = self.root / f"{name}.log"
        added = self.environment.get(name, {})
        self.services[name] = start(part, folder, log, self.spaces.get(name), added)

    def start_all(self) -> None:
        """Start the aggregator and every site."""
        for name in ("hub", *self.made.sites):
            self.start(name)

    def kill(self, name: str) -> None:
        """Kill a service as a power cut would: at once, with all its processes."""
        service = self.services.pop(name)
        children = self.processes(name)
        for number in (service.pid, *children.values()):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        service.wait()

    def processes(self, name: str) -> dict[str, int]:
        """Return the processes of a service that its log says were started last."""
        found: dict[str, int] = {}
        for line in self.log(name):
            if line["event"] == "started":
                found[str(line["process"])] = int(line["pid"])
        return found

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of a service's log."""
        path = self.root / f"{name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def seen(self) -> Path:
        """Where hooks keep what was added and applied in the run."""
        return self.root / "seen"

    @property
    def folder(self) -> Path:
        """What the aggregator keeps of the run."""
        return self.made.run_folder(self.signed.plan.run)

    def attempts(self) -> list[dict[str, Any]]:
        """Return the attempts so far, as the aggregator saw them."""
        path = self.folder / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def outcome(self) -> str | None:
        """Return how the run ended, or `None`."""
        path = self.folder / "outcome.json"
        return str(json.loads(path.read_text())["outcome"]) if path.exists() else None

    def wait(self, what: Callable[[], object], words: str, seconds: float = 240.0) -> float:
        """Wait for something and return how long it took.

        Raises:
            TimeoutError: if it does not happen.
        """
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"{words}: not within {seconds:g} s; logs in {self.root}")
            time.sleep(0.1)
        return time.monotonic() - began

    def charges(self, site: str) -> list[tuple[int, int]]:
        """Return round and attempt of each charge of the run in a site's ledger."""
        content = read_ledger(self.made.site(site) / "ledger" / f"{site}.jsonl")
        run = self.signed.plan.run
        found = [timed.charge for timed in content.charges]
        return [(one.round_number, one.attempt) for one in found if one.run == run]

    def uploads_seen(self, site: str) -> set[tuple[int, int]]:
        """Return round and attempt of each upload of the run that a site's audit log notes."""
        found, run = set(), ""
        for line in (self.made.site(site) / "state" / "audit.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["action"] == "accept":  # whatever follows is of this run
                run = entry["subject"].split()[-1]
            if entry["action"] == "upload" and run == self.signed.plan.run:
                words = entry["subject"].replace(",", "").split()
                found.add((int(words[1]), int(words[3])))
        return found

    def models(self) -> dict[str, bytes]:
        """Return each site's model."""
        run = self.signed.plan.run
        found = {}
        for site in self.made.sites:
            path = self.made.site(site) / "state" / "runs" / run / "model.safetensors"
            if path.exists():
                found[site] = path.read_bytes()
        return found

    def close(self) -> None:
        """Stop every service that still runs."""
        for service in self.services.values():
            try:
                os.kill(service.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        stop(list(self.services.values()))
        self.services.clear()
