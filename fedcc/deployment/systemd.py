"""systemd units of a site and an aggregator: unprivileged, read-only but for what they write.

The process tells systemd that it lives (`notifying`); one that hangs is ended and started again,
one that stopped for a reason that only a person can mend (settings, data, budget, policy,
integrity) is not. Nothing here writes a file outside the folder that the caller names.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.parts import Limits
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError

WATCHDOG_SECONDS = 60
LEAST_FREE_PORT = 1024
_PLAIN = re.compile(r"[A-Za-z0-9._/+@:-]+")

UNIT = """\
# Written by `{command}`. Install it with
#   useradd --system --no-create-home {user}
#   mkdir -p {writable}; chown -R {user} {folder}
#   cp {name} /etc/systemd/system/; systemctl daemon-reload; systemctl enable --now {name}
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} -m fedcc {verb} run {file}
WorkingDirectory={folder}
Environment=HOME={state} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
User={user}
UMask=0077

# Exit codes 2 to 6 wait for a person: settings, data, budget, policy, integrity.
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2 3 4 5 6
WatchdogSec={watchdog}
TimeoutStartSec=180
TimeoutStopSec=60
KillMode=mixed

MemoryMax={memory}
MemorySwapMax=0
CPUQuota={cpu}%
TasksMax=512
LimitNOFILE=65536
OOMPolicy=stop
# A core dump would hold keys and rows.
LimitCORE=0

NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
DevicePolicy=closed
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute is not set: PyTorch's oneDNN makes machine code at run time.

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Unit:
    """A unit's file name and text."""

    name: str
    text: str


def site_unit(home: SiteHome, *, user: str, program: Path) -> Unit:
    """Return the unit that runs a site.

    Args:
        home: of the site.
        user: unprivileged, owner of the folder.
        program: the Python with fedcc.

    Raises:
        ConfigError: if a name or path cannot stand in a unit.
    """
    writable = [home.state, home.ledger.parent, *_folder_of(home.values.health.metrics_file, home)]
    return _unit(
        verb="site",
        what=home.values.site,
        file=home.file,
        state=home.state,
        writable=writable,
        limits=home.values.limits,
        low_port=False,
        user=user,
        program=program,
    )


def aggregator_unit(home: AggregatorHome, *, user: str, program: Path) -> Unit:
    """Return the unit that runs an aggregator; see `site_unit`."""
    return _unit(
        verb="aggregator",
        what=home.values.consortium,
        file=home.file,
        state=home.state,
        writable=[home.state, *_folder_of(home.values.health.metrics_file, home)],
        limits=home.values.limits,
        low_port=home.values.listen.port < LEAST_FREE_PORT,
        user=user,
        program=program,
    )


def _folder_of(file: str | None, home: SiteHome | AggregatorHome) -> list[Path]:
    return [] if file is None else [home.at(file).parent]


def _unit(
    *,
    verb: str,
    what: str,
    file: Path,
    state: Path,
    writable: list[Path],
    limits: Limits,
    low_port: bool,
    user: str,
    program: Path,
) -> Unit:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user) or user == "root":
        raise ConfigError(f"--user {user}: name an unprivileged user, such as fedcc.")
    paths = [_plain(path) for path in (file, file.parent, state, program, *writable)]
    inside_home = any(path.startswith(("/home/", "/root/", "/run/user/")) for path in paths)
    name = f"fedcc-{verb}-{what}.service"
    text = UNIT.format(
        command=f"fedcc {verb} systemd",
        name=name,
        description=f"fedcc {verb} {what}",
        verb=verb,
        file=paths[0],
        folder=paths[1],
        state=paths[2],
        program=paths[3],
        writable=" ".join(sorted(set(paths[4:]))),
        user=user,
        watchdog=WATCHDOG_SECONDS,
        memory=round(limits.memory_gigabytes * 10**9),
        cpu=round(limits.cpu_percent),
        capabilities="CAP_NET_BIND_SERVICE" if low_port else "",
        home="read-only" if inside_home else "yes",
    )
    return Unit(name, text)


def _plain(path: Path) -> str:
    """Return a path that means the same to systemd as to everybody.

    Raises:
        ConfigError: if it holds what a unit would have to quote.
    """
    if not path.is_absolute() or not _PLAIN.fullmatch(str(path)):
        raise ConfigError(
            f"{path}: a unit needs absolute paths of letters, digits and ._/+@:- only. Move the "
            "folder, for instance to /srv/fedcc."
        )
    return str(path)
