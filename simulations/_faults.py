"""Faults that a drill plays on the services of an installation; each ends by itself.

What a fault needs of the machine (a disk of its own for each service, a clock that can be moved, a
site whose training can be made to fail) is prepared before anything starts; where it is not
allowed, `Prepared` says so and the faults that need it are left out.
"""

import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _drill import Drill
from _namespaces import cut

from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.crypto.statements import read_public
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import renew_certificate
from fedcc.deployment.certificates import Authority
from fedcc.training.checkpoints import write_whole

AWAY_SECONDS = 20.0  # of a cut network, a full disk, a wrong clock
FROZEN_SECONDS = 5.0
SHORT_SECONDS = 8.0  # left of a certificate when it is put in place
HOURS_OFF = 2  # of a wrong clock; more than the hour by which certificates are backdated
DISK_MEGABYTES = 256
HOOKS = Path(__file__).with_name("_site_hooks.py")

CLOCK = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long *off;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FEDCC_DRILL_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  off = page == MAP_FAILED ? 0 : page;
  real = dlsym(RTLD_NEXT, "clock_gettime");
}
int clock_gettime(clockid_t id, struct timespec *out) {
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(id, out);
  if (!code && off && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) out->tv_sec += *off;
  return code;
}
time_t time(time_t *out) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec; out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


@dataclass(frozen=True)
class Prepared:
    """What was prepared."""

    disks: bool
    clock: bool

    def allows(self, fault: str) -> bool:
        """Tell whether a fault can be played here."""
        return (self.disks or "disk" not in fault) and (self.clock or "clock" not in fault)


def hook(drill: Drill, name: str, **variables: str) -> None:
    """Let hooks into a service's processes, see `_site_hooks`."""
    folder = drill.root / "hooks"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(HOOKS, folder / "sitecustomize.py")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    drill.environment[name] = {"PYTHONPATH": path, **variables}


@contextmanager
def prepared(drill: Drill) -> Iterator[Prepared]:
    """Give each service a small disk, the last site a clock, and every site a way to fail."""
    mounted = []
    drill.seen.mkdir()
    for site in drill.made.sites:
        fails, seen = str(drill.root / f"{site}.fails"), str(drill.seen)
        hook(drill, site, FEDCC_DRILL_FAILS=fails, FEDCC_DRILL_SEEN=seen)
    clocked = drill.made.sites[-1]
    library = _clock_library(drill.root / "hooks")
    if library is not None:
        _set_clock(drill, clocked, 0)
        offset = str(drill.root / f"{clocked}.clock")
        drill.environment[clocked] |= {"LD_PRELOAD": str(library), "FEDCC_DRILL_CLOCK": offset}
    try:
        for folder in (drill.made.hub, *map(drill.made.site, drill.made.sites)):
            if not _move_to_disk(folder):
                print("mounting is not allowed here: no disk is filled")
                break
            mounted.append(folder)
        yield Prepared(len(mounted) == 1 + len(drill.made.sites), library is not None)
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _move_to_disk(folder: Path) -> bool:
    """Put a folder on a small disk of its own; tell whether that is allowed."""
    aside = folder.with_name(f"{folder.name}.before")
    shutil.copytree(folder, aside)
    options = f"size={DISK_MEGABYTES}m,mode={folder.stat().st_mode & 0o777:o}"
    command = ["mount", "-t", "tmpfs", "-o", options, "fedcc-drill", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        return False
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    return True


def kill_service(drill: Drill, name: str) -> None:
    """Kill a whole service; it is started again after the two seconds that systemd waits."""
    drill.kill(name)
    time.sleep(2.0)
    drill.start(name)


def kill_process(drill: Drill, name: str, process: str) -> None:
    """Kill one process of a service; nobody starts it again but the service itself."""
    os.kill(drill.processes(name)[process], signal.SIGKILL)


def cut_network(drill: Drill, name: str) -> None:
    """Cut a site's network for a while; on loopback its node is frozen instead."""
    space = drill.spaces.get(name)
    if space is None:
        freeze(drill, name, "supernode", AWAY_SECONDS)
        return
    cut(space, is_cut=True)
    time.sleep(AWAY_SECONDS)
    cut(space, is_cut=False)


def freeze(drill: Drill, name: str, process: str, seconds: float) -> None:
    """Freeze a process for a while."""
    number = drill.processes(name)[process]
    os.kill(number, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(number, signal.SIGCONT)


def fill_disk(drill: Drill, name: str) -> None:
    """Fill the disk of a service to the last byte for a while."""
    folder = drill.made.hub if name == "hub" else drill.made.site(name)
    filler, until = folder / "filler", time.monotonic() + AWAY_SECONDS
    try:
        with filler.open("wb", buffering=0) as file:
            while time.monotonic() < until:
                try:
                    file.write(bytes(1 << 20))
                except OSError:
                    _last_bytes(file.fileno())
                    time.sleep(0.1)  # whatever the service gives back is taken too
    finally:
        filler.unlink()


def _last_bytes(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        pass


def move_clock(drill: Drill, name: str) -> None:
    """Move the clock of the site that has one forwards or backwards for a while."""
    sign = 1 if drill.signed.plan.run[-1] in "01234567" else -1
    clocked = drill.made.sites[-1]
    _set_clock(drill, clocked, sign * HOURS_OFF * 3600)
    time.sleep(AWAY_SECONDS)
    _set_clock(drill, clocked, 0)


def _clock_library(folder: Path) -> Path | None:
    """Build what moves the wall clock of a process; `None` where there is no C compiler."""
    library = folder / "clock.so"
    (folder / "clock.c").write_text(CLOCK)
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", library, folder / "clock.c", "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no C compiler ({type(error).__name__}): no clock is moved")
        return None
    return library


def _set_clock(drill: Drill, site: str, seconds: int) -> None:
    """Move a clock; its processes have the file mapped, so it is changed in place."""
    path = drill.root / f"{site}.clock"
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("l", seconds))


def expire_certificate(drill: Drill, name: str) -> None:
    """Let the server's certificate expire while a site has to connect anew; then renew it.

    Renewing is the admin's work and needs the admin's key; nothing else is done by hand.
    """
    home = AggregatorHome.open(drill.made.hub)
    opens = KeyFile((drill.made.folder / "admin.unlock").read_bytes())
    admin = read_key(home.admin_key).unlock(opens)
    ca, ca_key = read_public(home.ca), home.ca_key.read_bytes()
    begun = datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=SHORT_SECONDS)
    pair = Authority.open(ca, ca_key, admin).issue(home.values.tls.names, 1, begun)
    write_whole(home.server_key, pair[1], mode=0o600)
    write_whole(home.certificate, pair[0])
    time.sleep(SHORT_SECONDS + 1.0)
    kill_process(drill, name, "supernode")
    time.sleep(AWAY_SECONDS / 2)
    renew_certificate(home, admin, datetime.now(UTC))


def fail_training(drill: Drill, name: str) -> None:
    """Let a site's training raise an exception for a while."""
    marker = drill.root / f"{name}.fails"
    marker.touch()
    time.sleep(FROZEN_SECONDS)
    marker.unlink()


FAULTS: dict[str, Callable[[Drill, str], None]] = {
    "site killed": kill_service,
    "a site's node killed": lambda drill, site: kill_process(drill, site, "supernode"),
    "a site's resident process killed": lambda drill, site: kill_process(drill, site, "site"),
    "aggregator killed": lambda drill, site: kill_service(drill, "hub"),
    "SuperLink killed": lambda drill, site: kill_process(drill, "hub", "superlink"),
    "process of runs killed": lambda drill, site: kill_process(drill, "hub", "runs"),
    "network cut and joined": cut_network,
    "slow site": lambda drill, site: freeze(drill, site, "site", FROZEN_SECONDS),
    "full disk at a site": fill_disk,
    "full disk at the aggregator": lambda drill, site: fill_disk(drill, "hub"),
    "clock off": move_clock,
    "certificate expired": expire_certificate,
    "exception in training": fail_training,
}
