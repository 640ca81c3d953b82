"""Intents where every site speaks a language of its own: English, Spanish, Portuguese, German.

    python simulations/language_as_sites.py [--rows 4000] [--seeds 2]

Synthetic: generated callers, no real person. Four sites of the generated world, one a language,
train one model of 31 intents together (epsilon 1, encryption on; character n-grams, the only
encoder here that is not made for English). Their model, the model of four mixed sites, and models
of one language alone are then scored with `fedcc.predict` on fresh rows of the world (another
seed, other callers), apart by language. A site alone keeps the epsilon and adds the whole noise
itself. The start from the labels' English names helps the languages unequally.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from _tables import (
    ACCENT,
    INK,
    MUTED,
    WARN,
    Table,
    command_of,
    frame,
    save,
    scenario_parser,
)

import fedcc
from fedcc.data.world.source import ITEMS, stream_rows

NAME = "language_as_sites"
LANGUAGES = ("en", "es", "pt", "de")
FRESH_SEED = 1  # of the rows to score; training rows are of seed 0
FIXED = ("task=intent", "data=generated", "encoder=hashing", "privacy.unit=record")


def fresh_rows(rows: int, folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """Write fresh texts, a file per language; return its path and the intents behind it."""
    names = ITEMS["interactions"]
    cells = [
        dict(zip(names, row, strict=True)) for row in stream_rows("interactions", rows, FRESH_SEED)
    ]
    found = {}
    for language in LANGUAGES:
        chosen = [row for row in cells if row["language"] == language]
        path = folder / f"{language}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([row["text"]] for row in chosen)
        found[language] = path, [row["intent"] for row in chosen]
    return found


def scores(
    overrides: list[str], fresh: dict[str, tuple[Path, list[str]]], folder: Path
) -> dict[str, float]:
    """Run one federation and return its accuracy on the fresh rows of each language."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        result = fedcc.simulate([*FIXED, *overrides, f"run.dir={place}/run"])
        if result.error is not None:
            raise result.error
        found = {}
        for language, (path, intents) in fresh.items():
            said = [label for _, label, _ in fedcc.predict(path, result.run_dir)]
            found[language] = float(np.mean([a == b for a, b in zip(said, intents, strict=True)]))
        return found


def trainings(sites: int) -> dict[str, list[str]]:
    """Return name and settings of every training; `alone` runs have one site and no peers."""
    together = [f"sites={sites}", "data.sites.columns=[language]"]
    found = {
        "federation, a site a language": [*together, "data.partition=natural"],
        "federation, mixed sites": [*together, "data.partition=iid"],
    }
    for language in LANGUAGES:
        # The public number of rows is shared out evenly, as for every site alone.
        kept = [f"data.keep_rows={{language: [{language}]}}", "data.public_rows=1725"]
        only = ["sites=1", "data.partition=iid", "privacy.noise=local", "crypto=none"]
        found[f"{language} alone"] = [*only, *kept]
    return found


def draw(rows: dict[str, list[float]], labels: list[str], path: Path) -> None:
    """Draw accuracy by language, a colour per training."""
    figure, [axes] = frame("Synthetic intents, fresh callers, mean over seeds", "accuracy")
    for index, (label, colour) in enumerate(zip(labels, (ACCENT, INK, WARN, MUTED), strict=True)):
        places = np.arange(len(rows)) + (index - 1.5) * 0.2
        values = [cells[index] for cells in rows.values()]
        axes.bar(places, values, width=0.18, color=colour, label=label)
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_xlabel("language of the caller")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.2)  # room for the legend
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper left")
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--rows", type=int, default=4000, help="fresh rows to score")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    labels = ["federation, a site a language", "federation, mixed sites"]
    columns = [*labels, "its own language alone", "another language alone, mean"]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        fresh = fresh_rows(args.rows, Path(name))
        for training, chosen in trainings(len(LANGUAGES)).items():
            seeds = [[*chosen, f"seed={s + 1}", *args.overrides] for s in range(args.seeds)]
            parts = [scores(overrides, fresh, Path(name)) for overrides in seeds]
            found[training] = {s: float(np.mean([part[s] for part in parts])) for s in LANGUAGES}
        counts = {language: len(intents) for language, (_, intents) in fresh.items()}
    table = Table(command_of(NAME, args), ["language", "fresh rows", *columns])
    rows: dict[str, list[float]] = {}
    for language in LANGUAGES:
        others = [found[f"{other} alone"][language] for other in LANGUAGES if other != language]
        rows[language] = [found[label][language] for label in labels]
        rows[language] += [found[f"{language} alone"][language], float(np.mean(others))]
        table.add(language, counts[language], *rows[language])
    table.write(
        args.out / f"{NAME}.txt",
        ["Accuracy on synthetic rows: it says nothing about real callers."],
    )
    draw(rows, columns, args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
