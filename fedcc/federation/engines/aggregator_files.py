"""What passes between the simulator and the aggregator's process: records, the stop, the outcome.

The files lie in the aggregator's own folder and hold nothing but what the aggregator knows anyway.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedcc.errors import FedccError
from fedcc.federation.engines.sightings import named_error
from fedcc.federation.strategy import RoundRecord
from fedcc.training.checkpoints import write_json


@dataclass(frozen=True)
class Outcome:
    """How the aggregator's part of a session ended."""

    error: FedccError | None
    seconds_adding: float


class AggregatorFiles:
    """The files of one session of a run."""

    def __init__(self, store: Path) -> None:
        """Name the files; nothing is touched.

        Args:
            store: the aggregator's folder in the run folder.
        """
        self._folder = store / "session"
        self._records = self._folder / "records.jsonl"
        self._stop = self._folder / "stop"
        self._outcome = self._folder / "outcome.json"

    def begin(self) -> None:
        """Create the folder, without what an earlier session may have left."""
        self.end()
        self._folder.mkdir(parents=True)

    def end(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # The aggregator's side.

    def note_start(self) -> None:
        """Note that the ServerApp runs."""
        self._records.touch()

    def note_record(self, record: RoundRecord) -> None:
        """Append one attempt; the line is there before the next exchange begins."""
        with self._records.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")

    def should_stop(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._stop.exists()

    def write_outcome(self, outcome: Outcome) -> None:
        """Write how it ended, as the last thing."""
        error = outcome.error
        content = {
            "error": None if error is None else type(error).__name__,
            "text": None if error is None else str(error),
            "seconds_adding": outcome.seconds_adding,
        }
        write_json(self._outcome, content)

    # The simulator's side.

    def ask_to_stop(self) -> None:
        """Ask the aggregator to stop between two rounds."""
        self._stop.touch()

    @property
    def started(self) -> bool:
        """Whether the ServerApp has begun."""
        return self._records.exists()

    def records(self) -> list[RoundRecord]:
        """Return the attempts so far; a line that is being written is left for the next time."""
        if not self.started:
            return []
        text = self._records.read_text()
        lines = text[: text.rfind("\n") + 1].splitlines()
        values = [json.loads(line) for line in lines]
        return [RoundRecord(**{**value, "cohort": tuple(value["cohort"])}) for value in values]

    def outcome(self) -> Outcome | None:
        """Return how it ended, or `None` while it goes on."""
        if not self._outcome.exists():
            return None
        content = json.loads(self._outcome.read_text())
        name, text = content["error"], content["text"]
        error = None if name is None else named_error(name, text)
        return Outcome(error, float(content["seconds_adding"]))
