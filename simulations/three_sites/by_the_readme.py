"""Follow the README's section on running on premise, word by word, in four network namespaces.

    python simulations/three_sites/by_the_readme.py [--readme README.md] [--rounds 3]

The commands are those of the section's code blocks, in their order. A comment tells who types them:
`# admin` on the aggregator's machine, `# each site` at every site, where `lisbon` stands for the
site's own name. Capitals stand for what was printed or read over the phone. What the text leaves
to people is done here as they would: files are sent by copying them, a passphrase is typed at a
terminal, and the data are named in site.yaml. Names of hosts come from each
namespace's own file of hosts. The script ends with an error at the first command that does not do
what the reader would expect.
"""

import argparse
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import yaml  # noqa: E402
from _drill import DATA, SPEC, write_rows  # noqa: E402
from _namespaces import IP, namespaces  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SITES = ("lisbon", "porto", "madrid")
HOST = "fed.example.org"
PASSPHRASE = b"correct horse battery staple\n"
SERVICES = ("fedcc aggregator run", "fedcc site run")


@dataclass(frozen=True)
class Step:
    """A command and who types it."""

    who: str  # `admin` or `each site`
    command: str


def steps_of(readme: str) -> list[Step]:
    """Return the commands of the section's code blocks.

    Raises:
        ValueError: if there is none, or one without a comment that tells who types it.
    """
    section = readme.partition("\n## Run it on premise\n")[2].partition("\n## ")[0]
    found, who = [], ""
    for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            told = re.match(r"# (admin|each site)\b", line)
            who = told.group(1) if told else who
            if not line.strip() or line.startswith("#"):
                continue
            if not who:
                raise ValueError(f"nobody is named who types: {line}")
            found.append(Step(who, line.partition("  #")[0].strip()))
    if not found:
        raise ValueError("the section 'Run it on premise' holds no commands in ```sh blocks")
    return found


@dataclass
class Machine:
    """One namespace and the folder in which its people work."""

    name: str
    folder: Path
    space: str | None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, command: str) -> str:
        """Type a command at a terminal; return what it printed.

        Raises:
            SystemExit: if it fails.
        """
        print(f"{self.name}$ {command}", flush=True)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self._words(command),
            cwd=self.folder,
            env=self._environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: _own_terminal(theirs),
        )
        os.close(theirs)
        printed = b""
        try:
            while piece := os.read(ours, 4096):
                printed += piece
                if piece.rstrip(b" ").endswith(b":") and re.search(b"(assphrase|Again)", piece):
                    time.sleep(0.2)  # until the terminal has stopped to show what is typed
                    os.write(ours, PASSPHRASE)
        except OSError:
            pass  # the terminal was closed by the other end
        os.close(ours)
        text = printed.decode("utf-8", "replace").replace("\r", "")
        if process.wait() != 0:
            raise SystemExit(f"{self.name}: '{command}' ended with {process.returncode}:\n{text}")
        return text

    def start(self, command: str) -> None:
        """Start a service, which goes on; as under systemd it has no terminal."""
        print(f"{self.name}$ {command} &", flush=True)
        with (self.folder / "log").open("wb") as log:
            self.started.append(
                subprocess.Popen(
                    self._words(f"exec {command}"),
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _words(self, command: str) -> list[str]:
        prefix = [] if self.space is None else [IP, "netns", "exec", self.space]
        return [*prefix, "sh", "-c", command]

    def _environment(self) -> dict[str, str]:
        programs = self.folder.parent / "bin"
        return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def _own_terminal(descriptor: int) -> None:
    """Make a terminal that of this process; passphrases are asked for there."""
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@dataclass
class Reader:
    """Somebody who follows the section with four machines."""

    machines: dict[str, Machine]
    told: dict[str, str] = field(default_factory=dict)  # by word in capitals and machine
    run_folder: Path = Path()

    def follow(self, step: Step) -> None:
        """Let everybody whom a step is for type it, and do what people do in between."""
        who = ("hub",) if step.who == "admin" else SITES
        per_site = step.who == "admin" and "lisbon" in step.command
        for name in SITES if per_site else who:
            machine = self.machines["hub" if step.who == "admin" else name]
            self._before(step.command, name)
            command = re.sub(r"\blisbon\b", name, step.command)
            command = command.replace("--organisation north", f"--organisation north-{name}")
            for word in ("SITE-FINGERPRINT", "ADMIN-FINGERPRINT", "SHA256", "RUN"):
                if re.search(rf"\b{word}\b", command):
                    key = f"{word} {name}" if word == "SITE-FINGERPRINT" else word
                    command = re.sub(rf"\b{word}\b", self.told[key], command)
            if command.startswith(SERVICES):
                machine.start(command)
                self._wait_ready(machine)
                continue
            self._after(step.command, name, machine.run(command))

    def _before(self, command: str, name: str) -> None:
        """Send what the text says is sent."""
        hub = self.machines["hub"].folder
        if command.startswith("fedcc aggregator admit"):
            request = self.machines[name].folder / name / f"{name}.request.json"
            shutil.copy(request, hub)
        elif command.startswith("fedcc site install"):
            bundle = hub / "hub" / "bundles" / f"{name}.bundle.json"
            shutil.copy(bundle, self.machines[name].folder)
        elif "--take" in command:
            plan = hub / "hub" / "plans" / f"{self.told['RUN']}.plan.json"
            shutil.copy(plan, self.machines[name].folder)

    def _after(self, command: str, name: str, printed: str) -> None:
        """Read what was printed; write what the text asks to be written."""
        mark = re.search(r"fingerprint (\S+)", printed)
        if command.startswith("fedcc aggregator init") and mark:
            self.told["ADMIN-FINGERPRINT"] = mark.group(1)
        elif command.startswith("fedcc site init") and mark:
            self.told[f"SITE-FINGERPRINT {name}"] = mark.group(1)
        elif command.startswith("fedcc site install"):
            self._name_data(self.machines[name].folder, name)
        elif command.startswith("fedcc run submit"):
            plan = re.search(r"(\w+)\.plan\.json", printed)
            self.told["RUN"] = plan.group(1) if plan else ""
        elif "--take" in command:
            shown = re.search(r"\b[0-9a-f]{64}\b", printed)
            if shown is None:
                raise SystemExit(f"`{command}` shows no SHA256 to approve:\n{printed}")
            self.told["SHA256"] = shown.group(0)

    @staticmethod
    def _name_data(folder: Path, name: str) -> None:
        """Name the data in site.yaml; made-up rows are public ones. The policy stays as it came."""
        file = folder / name / "site.yaml"
        entry = {"name": DATA, "path": str(folder / "calls.csv"), "config_dir": str(folder)}
        flow = yaml.safe_dump(entry, default_flow_style=True, width=1000).strip()
        text = file.read_text().replace("data: []", f"data: [{flow}]")
        file.write_text(text.replace("allow_public_dataset: false", "allow_public_dataset: true"))

    @staticmethod
    def _wait_ready(machine: Machine) -> None:
        deadline = time.monotonic() + 120
        ready = '"event": "ready"}'
        while ready not in (machine.folder / "log").read_text():
            ended = machine.started[-1].poll()
            if ended is not None or time.monotonic() > deadline:
                text = (machine.folder / "log").read_text()[-2000:]
                raise SystemExit(
                    f"{machine.name}: the service is not ready (exit {ended}):\n{text}"
                )
            time.sleep(0.2)


def follow(readme: str, root: Path, rounds: int) -> None:
    """Follow the section; end when every site has its model.

    Raises:
        SystemExit: if a command fails, or no model comes.
    """
    steps = steps_of(readme)
    (root / "bin").mkdir(parents=True)
    program = root / "bin" / "fedcc"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fedcc "$@"\n')
    program.chmod(0o755)
    with namespaces(("hub", *SITES)) as places:
        machines = {name: _machine(name, root, place, places) for name, place in places.items()}
        reader = Reader(machines)
        try:
            for step in steps:
                command = step.command
                if command.startswith("fedcc run submit"):
                    command += f" rounds={rounds}"  # not the text's: a shorter run
                reader.follow(Step(step.who, command))
            _wait_models(machines, reader.told["RUN"])
        finally:
            for machine in machines.values():
                for process in machine.started:
                    process.terminate()
                    process.wait(60)
            for space, _ in places.values():
                shutil.rmtree(f"/etc/netns/{space}", ignore_errors=True)


def _machine(
    name: str,
    root: Path,
    place: tuple[str | None, str],
    places: dict[str, tuple[str | None, str]],
) -> Machine:
    """Return a machine with a folder, its data and the name of the aggregator."""
    space, folder = place[0], root / name
    if space is None:
        raise SystemExit("network namespaces are not allowed here: the section needs four machines")
    (folder / "mine" / "data").mkdir(parents=True)
    (folder / "mine" / "data" / f"{DATA}.yaml").write_text(yaml.safe_dump(SPEC))
    shutil.copytree(folder / "mine" / "data", folder / "data")
    if name != "hub":
        write_rows(folder / "calls.csv", name)
    hosts = Path("/etc/netns") / space
    hosts.mkdir(parents=True, exist_ok=True)
    (hosts / "hosts").write_text(f"127.0.0.1 localhost\n{places['hub'][1]} {HOST}\n")
    return Machine(name, folder, space)


def _wait_models(machines: dict[str, Machine], run: str) -> None:
    models = [
        machines[site].folder / site / "state" / "runs" / run / "model.safetensors"
        for site in SITES
    ]
    deadline = time.monotonic() + 300
    while not all(path.exists() for path in models):
        if time.monotonic() > deadline:
            raise SystemExit("not every site has its model")
        time.sleep(0.2)
    if len({path.read_bytes() for path in models}) != 1:
        raise SystemExit("the sites hold different models")
    print("every site has the same model")


def main() -> None:
    """Follow the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        follow(args.readme.read_text(), Path(folder) / "machines", args.rounds)


if __name__ == "__main__":
    main()
