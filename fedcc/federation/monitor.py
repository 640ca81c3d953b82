"""Watching a simulated run from outside: metrics by round, progress, and the user's stop.

The monitor hangs on the grid, not on the apps, so neither the aggregator nor a site can reach it.
"""

import threading

import numpy as np
from flwr.app import Message

from fedcc.errors import BudgetExceeded, PolicyViolation
from fedcc.federation import summary
from fedcc.federation.dropouts import plays_dropout
from fedcc.federation.observer import Observer
from fedcc.federation.prepared import PreparedRun
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.server_app import AggregatorRecord
from fedcc.federation.site_parts import AppliedNote, Watch
from fedcc.federation.strategy import RoundRecord
from fedcc.models.heads import build_module
from fedcc.training.evaluate import logits


class Monitor:
    """The simulator's view of one session of a run."""

    def __init__(self, run: PreparedRun, progress: ProgressCallback) -> None:
        """Start before the first message."""
        self._run, self.tell = run, progress
        self._module = build_module(run.plan.shape)
        self.observer = Observer(run.plan, run.newest_state())
        self.watch = Watch(on_upload=self.observer.on_upload, on_applied=self.see_applied)
        self.record = AggregatorRecord()
        self.stop = threading.Event()
        self.attempts_before = 0  # charged in earlier sessions of the run
        self._noted = 0
        self._metric: float | None = None

    def is_offline(self, index: int, message: Message) -> bool:
        """Play the dropouts of the settings; a resumed run does not play them again."""
        drops = () if self._run.resumed else self._run.settings.federation.drop
        return plays_dropout(drops, index, message)

    def after_exchange(self, message: Message) -> None:
        """Note what an exchange brought.

        Raises:
            FedccError: a site's refusal that is no matter of budget or policy; in one process that
                is a finding, not a dropout.
        """
        kind = message.metadata.message_type.removeprefix("query.")
        if kind in ("upload", "finish"):
            self.note_rounds()
        self.check_refusals()

    def check_refusals(self) -> None:
        """Raise a refusal that is a finding; see `after_exchange`."""
        for refusal in self.watch.refusals:
            if not isinstance(refusal, BudgetExceeded | PolicyViolation):
                raise refusal

    def see_applied(self, note: AppliedNote) -> None:
        """Check an applied round; keep its noise for the baseline that uses the very same noise."""
        number = note.closed.round_number
        wanted = "central_dp_same_noise" in self._run.settings.wanted_baselines
        if wanted and number not in self.observer.states:
            noise = self.observer.noise_of(note)
            if noise is not None:
                np.save(self._run.folder.noise_file(number), noise)
        self.observer.on_applied(note)

    def note_rounds(self) -> None:
        """Write metrics of the attempts whose model is known by now."""
        for record in self.record.rounds[self._noted :]:
            if record.closed and record.round_number not in self.observer.states:
                break
            self._note_round(record)

    def _note_round(self, record: RoundRecord) -> None:
        self._noted += 1
        applied = record.closed and record.round_number in self.observer.states
        self._metric = self.utility() if applied else self._metric
        spent = summary.epsilons(self._run.plan, self.attempts_before + self._noted)
        self._run.folder.append_metrics(
            {
                "round": record.round_number,
                "attempt": record.attempt,
                "closed": record.closed,
                "survivors": list(record.cohort),
                "seconds": record.seconds,
                "bytes_up": record.bytes_up,
                "bytes_down": record.bytes_down,
                **spent,
                self._run.data.task.metric: self._metric if applied else None,
            }
        )
        void = f"round {record.round_number}, attempt {record.attempt} is void"
        self.tell(
            Progress(
                kind="round" if record.closed else "void",
                text=f"{void}: {len(record.cohort)} sites answered; it stays charged",
                round_number=record.round_number,
                rounds=self._run.plan.rounds,
                metric_name=self._run.data.task.metric,
                metric=self._metric,
                epsilon=spent["epsilon"],
                budget=self._run.settings.privacy.epsilon,
                bytes_up=record.bytes_up,
                bytes_down=record.bytes_down,
            )
        )

    def note_the_rest(self) -> None:
        """Write what is left when a run ends early; a model not applied yet has no metric."""
        for record in self.record.rounds[self._noted :]:
            self._note_round(record)

    def utility(self) -> float | None:
        """Return the test metric of the model that would be released now."""
        if not self.observer.states:
            return None
        [state] = self.observer.states.values()
        test = self._run.data.test
        scores = logits(self._module, state.released(), test.features)
        return self._run.data.task.utility(scores, test.labels)
