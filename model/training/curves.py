"""A training run's curves: a CSV that grows line by line, and a picture drawn from it."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

STEP_FIELDS = ("step", "loss", "learning_rate", "target_tokens_per_second")
EVALUATION_FIELDS = ("step", "direction", "bleu", "chrf")


class Curves:
    """Appends to curves.csv (training) and dev.csv (evaluations) in a folder, and draws curves.png."""

    def __init__(self, folder: Path) -> None:
        self._steps = folder / "curves.csv"
        self._evaluations = folder / "dev.csv"
        self._picture = folder / "curves.png"

    def add_step(self, step: int, loss: float, learning_rate: float, rate: float) -> None:
        """One line of training: loss in nats a token, rate in target tokens a second."""
        append_row(self._steps, STEP_FIELDS, (step, f"{loss:.4f}", f"{learning_rate:.3e}", f"{rate:.0f}"))

    def add_evaluation(self, step: int, scores: dict[str, tuple[float, float]]) -> None:
        """One line for each direction: BLEU and chrF."""
        for direction, (bleu, chrf) in scores.items():
            append_row(self._evaluations, EVALUATION_FIELDS, (step, direction, f"{bleu:.2f}", f"{chrf:.2f}"))

    def rewind(self, step: int) -> None:
        """Forget what comes after a step: a resumed run will do it again."""
        for path, fields in ((self._steps, STEP_FIELDS), (self._evaluations, EVALUATION_FIELDS)):
            rows = [row for row in _read(path) if int(row["step"]) <= step]
            kept = path.with_suffix(".part")
            kept.unlink(missing_ok=True)
            for row in rows:
                append_row(kept, fields, tuple(row.values()))
            if rows:
                kept.replace(path)
            else:
                path.unlink(missing_ok=True)

    def draw(self) -> None:
        """Loss and dev BLEU over steps, as a PNG."""
        figure = Figure(figsize=(11, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        steps = _read(self._steps)
        left.plot([int(r["step"]) for r in steps], [float(r["loss"]) for r in steps], linewidth=0.8)
        left.set(xlabel="step", ylabel="training loss (nats a token, label-smoothed)")
        evaluations = _read(self._evaluations)
        for direction in dict.fromkeys(r["direction"] for r in evaluations):
            rows = [r for r in evaluations if r["direction"] == direction]
            bleu = [float(r["bleu"]) for r in rows]
            right.plot([int(r["step"]) for r in rows], bleu, marker="o", label=direction)
        right.set(xlabel="step", ylabel="dev BLEU (greedy)")
        if evaluations:
            right.legend()
        figure.savefig(self._picture, dpi=110)


def append_row(path: Path, fields: tuple[str, ...], values: tuple[object, ...]) -> None:
    """Add a line to a CSV file; a new one gets its header first."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(fields)
        writer.writerow(values)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
