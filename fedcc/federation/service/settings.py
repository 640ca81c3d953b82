"""How the processes of an installation wait, restart and give up."""

import math
from dataclasses import asdict, dataclass

from fedcc import config


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Seconds, and room in megabytes; values come from `configs/service/*.yaml`."""

    poll_seconds: float
    heartbeat_seconds: float
    timeout_seconds: float
    join_timeout_seconds: float
    reply_seconds: float
    load_seconds: float
    start_seconds: float
    stuck_seconds: float
    busy_seconds: float
    restart_seconds: float
    most_restart_seconds: float
    retry_seconds: float
    stop_seconds: float
    metrics_seconds: float
    free_megabytes: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {value}")
        if not 2 <= self.heartbeat_seconds <= 7:
            raise ValueError("heartbeat_seconds must be from 2 to 7: a lost site shows within 15")
        if self.stuck_seconds <= self.timeout_seconds:
            raise ValueError("stuck_seconds must exceed timeout_seconds")
        if self.busy_seconds < self.stuck_seconds:
            raise ValueError("busy_seconds must be at least stuck_seconds")
        if max(self.reply_seconds, self.load_seconds) >= self.timeout_seconds:
            raise ValueError("reply_seconds and load_seconds must be below timeout_seconds")


def service_settings() -> ServiceSettings:
    """Return the settings that come with fedcc.

    Raises:
        ConfigError: if they cannot be read.
    """
    path = config.config_root() / "service" / "default.yaml"
    return config.build(ServiceSettings, config.read_yaml(path), str(path))
