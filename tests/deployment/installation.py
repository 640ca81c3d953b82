"""A consortium on disk for tests: an aggregator's folder and sites, all unlocked by key files."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedcc.crypto.key_file import Identity, KeyFile, read_key
from fedcc.crypto.statements import fingerprint
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import NewAggregator, admit, init_aggregator
from fedcc.deployment.requests import read_request
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import init_site, install

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
UNLOCKER = KeyFile(bytes(range(32)))
HOST = "fed.example.org"
ORGANISATIONS = {"lisbon": "north", "porto": "east", "madrid": "south"}


@dataclass(frozen=True)
class Installation:
    """Folders of a consortium."""

    hub: AggregatorHome
    sites: dict[str, Path]

    @property
    def admin(self) -> Identity:
        return read_key(self.hub.admin_key).unlock(UNLOCKER)

    @property
    def mark(self) -> str:
        return self.hub.values.admin.fingerprint

    def bundle(self, site: str) -> Path:
        return self.hub.bundles / f"{site}.bundle.json"

    def identity(self, site: str) -> Identity:
        return read_key(self.home(site).identity).unlock(UNLOCKER)

    def home(self, site: str) -> SiteHome:
        return SiteHome.open(self.sites[site])

    def copied(self, root: Path) -> "Installation":
        """A copy below another folder; no file holds an absolute path."""
        shutil.copytree(self.hub.file.parent.parent, root)
        return Installation(AggregatorHome.open(root / "hub"), {s: root / s for s in self.sites})


def new_hub(folder: Path, host: str = HOST, *also: str, now: datetime = NOW) -> AggregatorHome:
    wanted = NewAggregator(consortium="telco-group", admin="telco", names=(host, *also), port=None)
    return init_aggregator(folder, wanted, UNLOCKER, now)


def install_all(root: Path, names: tuple[str, ...] = tuple(ORGANISATIONS)) -> Installation:
    """Set up a whole consortium, as its people do with the commands."""
    hub = new_hub(root / "hub", HOST, "10.0.0.5")
    made = Installation(hub, {name: root / name for name in names})
    for name, folder in made.sites.items():
        keys = init_site(folder, name, UNLOCKER, NOW)
        admit(
            hub,
            made.admin,
            read_request(keys.request),
            organisation=ORGANISATIONS[name],
            read_aloud=fingerprint(keys.identity.public),
            now=NOW,
        )
    for name, folder in made.sites.items():
        install(folder, made.bundle(name), read_aloud=made.mark, unlock=None, now=NOW)
    return made
