"""The simulated sites that live in one process of one of Flower's engines.

A site is opened when its first message comes and stays open, because it holds open attempts and
session keys between messages. What a site shows its simulator goes through `Sightings`; what it
answers the aggregator is the installed ClientApp's reply and nothing else.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from flwr.app import Context, Message

from fedcc.errors import ConfigError, FedccError
from fedcc.federation.client_app import build_client_app
from fedcc.federation.dropouts import plays_dropout
from fedcc.federation.engines.sightings import Sightings
from fedcc.federation.messages import UNAVAILABLE, Parcel
from fedcc.federation.prepared import PreparedRun, prepare_resumed
from fedcc.federation.progress import silent
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.settings import simulation_settings
from fedcc.federation.site_opening import open_site
from fedcc.federation.site_round import Site


def utc_now() -> datetime:
    """Return the current time with its zone."""
    return datetime.now(UTC)


class _OpenSites(Mapping[int, Site]):
    """The sites of a run by index, each opened when it is first asked for."""

    def __init__(self, run: PreparedRun, sightings: Sightings) -> None:
        self._run, self._sightings = run, sightings
        self._sites: dict[int, Site] = {}

    def __getitem__(self, index: int) -> Site:
        if index not in self._sites:
            watch = self._sightings.watch()
            self._sites[index] = open_site(self._run, index, watch, utc_now)
        return self._sites[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


class SiteProcess:
    """Sites of one run, answering messages in this process."""

    def __init__(self, run: Path, *, resumed: bool) -> None:
        """Take up the run from its folder.

        Args:
            run: the run folder.
            resumed: whether the run was begun earlier; then no dropouts are played.

        Raises:
            FedccError: if the folder or the data cannot be read.
        """
        # One thread, as in process: sums of floats depend on how they are split.
        torch.set_num_threads(1)
        self._folder = run
        self._run = prepare_resumed(simulation_settings(read_config(run)), run, utc_now, silent)
        self._drops = () if resumed else self._run.settings.federation.drop
        self._sightings = Sightings(self._run.folder.sightings)
        self._sites = _OpenSites(self._run, self._sightings)
        period = self._run.settings.federation.reply_seconds
        self._app = build_client_app(self._sites, ReplySchedule(seconds=period))
        self._shown: dict[int, int] = {}  # refusals shown, by site

    def claim(self) -> None:
        """Note that all sites of the run live in this process.

        Raises:
            ConfigError: if another process holds sites of the run, which would lose what a site
                keeps between messages.
        """
        if not self._sightings.claim(os.getpid()):
            raise ConfigError("Flower's simulation engine started more than one process for sites.")

    def answer(self, message: Message, context: Context) -> Message:
        """Answer one message; every failure is one code without text, shown to the simulator."""
        try:
            index = int(context.node_config["partition-id"])
            if plays_dropout(self._drops, index, message):
                return unavailable(message)
            site = self._sites[index]
            reply = self._app(message, context)
            self._show(index, site)
            return reply
        except Exception as error:
            show_failure(self._folder, error)
            return unavailable(message)

    def _show(self, index: int, site: Site) -> None:
        shown = self._shown.get(index, 0)
        for number, refusal in enumerate(site.watch.refusals[shown:], start=shown + 1):
            self._sightings.show_refusal(site.name, number, refusal)
        self._shown[index] = len(site.watch.refusals)
        self._sightings.show_seconds(site.name, site.seconds)


def take_up(run: Path, *, resumed: bool) -> SiteProcess:
    """Return this process's sites; a failure is shown to the simulator before it is raised.

    Raises:
        FedccError: see `SiteProcess`.
    """
    try:
        return SiteProcess(run, resumed=resumed)
    except Exception as error:
        show_failure(run, error)
        raise


def show_failure(run: Path, error: Exception) -> None:
    """Show the simulator why this process cannot answer; the text of a foreign error stays out."""
    if not isinstance(error, FedccError):
        error = FedccError(f"a site's process failed: {type(error).__name__}")
    Sightings(RunFolder(run, None).sightings).show_refusal(f"process-{os.getpid()}", 1, error)


def unavailable(message: Message) -> Message:
    """Return the one refusal there is."""
    return Message(Parcel({"refused": UNAVAILABLE}).to_record(), reply_to=message)
