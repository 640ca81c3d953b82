"""Make a bundle of fedcc, install it where there is no network, and train with what was installed.

The installation and the run happen in a network namespace of their own, in which not even loopback
is up, and with an empty home: whatever reached for an index, a cache or a host would fail.

    python simulations/drills/offline_install.py --source .

takes some hundred megabytes and minutes. `--bundle DIR` tries a bundle that was made before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fedcc.cli.main import main as fedcc

ISOLATED = ("unshare", "--user", "--map-root-user", "--net")
RUN = ("simulate", "sites=3", "rounds=2", "run.report=false", "--json")


def timed(command: Sequence[str], home: Path) -> tuple[float, str]:
    """Run a command without network and with an empty home; return seconds and what it printed."""
    started = time.monotonic()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHON": sys.executable}
    done = subprocess.run(
        [*ISOLATED, *command], capture_output=True, text=True, env=environment, cwd=home
    )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - started, done.stdout


def drill(bundle: Path, work: Path) -> list[str]:
    """Install a bundle and run with it; return the lines of the report."""
    told = sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    wheels = list((bundle / "wheels").iterdir())
    size = sum(path.stat().st_size for path in wheels)
    lines = [f"bundle: {len(wheels)} wheels, {size / 1e6:.0f} MB"]
    home, target = work / "home", work / "env"
    home.mkdir()
    links = subprocess.check_output([*ISOLATED, "cat", "/proc/net/dev"], text=True)
    routes = subprocess.check_output([*ISOLATED, "cat", "/proc/net/route"], text=True)
    reached = [line for line in routes.splitlines() if not line.startswith("Iface")]
    devices = [line.split(":")[0].strip() for line in links.splitlines()[2:]]
    lines.append(f"namespace: devices {', '.join(devices)}; routes {len(reached)}")
    seconds, _ = timed(["sh", str(bundle / "install.sh"), str(target), told], home)
    lines.append(f"installed with hashes, without network: {seconds:.0f} s")
    seconds, printed = timed([str(target / "bin" / "fedcc"), *RUN], home)
    summary = json.loads(printed)
    lines.append(
        f"fedcc {' '.join(RUN[:4])}: {summary['outcome']}, epsilon "
        f"{summary['privacy']['epsilon']:.4f}, encryption {summary['crypto']['scheme']}, "
        f"{seconds:.0f} s"
    )
    return lines


def run() -> None:
    """Make or take a bundle, and print and keep what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(), help="fedcc's wheel or checkout")
    parser.add_argument("--bundle", type=Path, help="one that was made before")
    parser.add_argument("--constraints", type=Path, help="constraints for pip")
    parser.add_argument("--out", type=Path, help="write the report there as well")
    args = parser.parse_args()
    if subprocess.run([*ISOLATED, "true"], capture_output=True).returncode != 0:
        raise SystemExit("this machine admits no network namespace to its users")
    with tempfile.TemporaryDirectory() as folder:
        bundle = args.bundle
        if bundle is None:
            bundle = Path(folder) / "bundle"
            words = ["bundle", str(bundle), "--source", str(args.source), "--extra", "demo"]
            words += ["--constraints", str(args.constraints)] if args.constraints else []
            if code := fedcc(words):
                raise SystemExit(code)
        lines = drill(bundle.resolve(), Path(folder))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if args.out is not None:
        os.makedirs(args.out.parent, exist_ok=True)
        args.out.write_text(text)


if __name__ == "__main__":
    run()
