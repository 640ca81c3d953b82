"""Live progress on a terminal, plain lines elsewhere, and the final table."""

from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from fedcc.governance.unit_words import unit_words

if TYPE_CHECKING:
    from fedcc.federation.progress import Progress as Step
    from fedcc.federation.simulation import RunResult


BASELINES = (
    "central_dp_same_noise",
    "central_dp_same_variance",
    "central_dp",
    "local_noise",
    "site_alone_mean",
    "central_no_privacy",
)


def size(count: float) -> str:
    """Return a byte count for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def encryption_line(values: dict[str, Any]) -> str:
    """Return scheme, bits, bytes, key and who can decrypt, in one line."""
    crypto, sites = values["crypto"], values["data"]["sites"]
    if crypto["scheme"] == "none":
        return f"NONE, {size(crypto['upload_bytes_total'])} up; the aggregator reads every update"
    per_parameter = crypto["upload_bytes_per_parameter"]
    parts = [f"{crypto['scheme']} {crypto['security_bits']}-bit"]
    parts += [f"{per_parameter:.2f} bytes a parameter"] if per_parameter is not None else []
    parts += [f"{size(crypto['upload_bytes_total'])} up"]
    parts += [f"key {crypto['key_id'][:16]}… (the last)"] if crypto["key_id"] else []
    if crypto["profile"] is None:
        return ", ".join(parts) + "; any site can decrypt every upload"
    together = crypto["threshold"] or "all"
    return ", ".join(parts) + f"; {together} of {sites} sites open a sum, the aggregator nothing"


def metric_label(name: str) -> str:
    """Return a metric's name as people write it."""
    return {"auc": "AUC"}.get(name, name)


class Display:
    """Shows steps: a bar on a terminal, notes alone elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        """Write to stderr, so that stdout holds results only."""
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._progress.add_task("round", total=None, state="")
        self._up = self._down = 0

    def show(self, step: "Step") -> None:
        """Show one step."""
        if step.kind in ("round", "void"):
            self._up += step.bytes_up
            self._down += step.bytes_down
            metric = (
                ""
                if step.metric is None
                else f"{metric_label(step.metric_name)} {step.metric:.4f}  "
            )
            spent = "no noise" if step.epsilon is None else f"epsilon {step.epsilon:.3f}"
            total = f" / {step.budget:g}" if step.budget is not None else ""
            state = f"{metric}{spent}{total}  up {size(self._up)}  down {size(self._down)}"
            self._progress.update(
                self._task, completed=step.round_number, total=step.rounds, state=state
            )
            if step.kind == "round":
                return
        elif step.kind == "encoding":
            self._progress.update(
                self._task, completed=step.done, total=step.total, description=step.text
            )
            if self._console.is_terminal or step.done < step.total:
                return
        elif step.kind == "plan":
            self._progress.update(self._task, description="round", completed=0)
            self._progress.update(self._task, total=step.rounds)
        self._console.print(step.text)

    def __enter__(self) -> "Display":
        """Start the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bar."""
        self._progress.stop()


def result_lines(result: "RunResult") -> list[tuple[str, str]]:
    """Return the final table as (label, text) pairs."""
    values = result.summary
    privacy, crypto, utility = values["privacy"], values["crypto"], values["utility"]
    rounds = f"{values['outcome']}, {values['rounds']} rounds"
    lines = [("outcome", rounds)]
    lines.append(
        (f"test {metric_label(utility['metric'])} (simulator)", _four(utility["federated"]))
    )
    lines += [
        (f"  {name}", _four(utility[name])) for name in BASELINES if utility[name] is not None
    ]
    if privacy["epsilon"] is None:
        lines.append(("epsilon", "none: no noise, no guarantee"))
    else:
        coalition = f"against up to {privacy['tolerated_collusion']} colluding site(s)"
        if "outsiders_only" in values["unsafe"]:
            coalition = "against the aggregator, which reads single updates"
        lines += [
            ("epsilon", f"{privacy['epsilon']:.3f} {coalition}: the claim"),
            ("", f"{privacy['epsilon_outsider']:.3f} against an outsider with the model"),
            ("", f"{privacy['epsilon_if_all_others_collude']:.3f} if all others collude"),
            ("", f"per {unit_words(privacy)}, delta {privacy['delta']:g}"),
        ]
        if (privacy["max_sites_per_customer"] or 1) > 1:
            alone = f"{privacy['epsilon_at_one_site']:.3f} per customer known to one site alone"
            lines.append(("", alone))
    seconds = crypto["seconds"]
    cost = (
        f"encrypt {seconds['encrypt']:.2f} s, add {seconds['aggregate']:.2f} s, "
        f"decrypt {seconds['decrypt']:.2f} s over all sites"
    )
    lines.append(("encryption", encryption_line(values)))
    lines += [("", cost)] if crypto["scheme"] != "none" else []
    lines.append(("seconds", f"{values['timing']['total_seconds']:.1f}"))
    if values["unsafe"]:
        lines.append(("UNSAFE", ", ".join(values["unsafe"])))
    if values["seeded"]:
        lines.append(("seeded", "the noise is repeatable: this model is not for release"))
    lines.append(("run folder", str(result.run_dir)))
    report = result.run_dir / "report.html"
    lines += [("report", str(report))] if report.exists() else []
    return lines


def print_result(result: "RunResult") -> None:
    """Print the final table and where the run folder is."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    console = Console(highlight=False, soft_wrap=True)
    for label, text in result_lines(result):
        if console.is_terminal:
            table.add_row(label, text)
        else:
            print(f"{label:28s}{text}")
    if console.is_terminal:
        console.print(table)


def _four(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
