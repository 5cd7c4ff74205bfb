"""What the command tells, as text, JSON and CSV; and the weather with faults that it shows without a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnncore import datasets
from rnncore.arguments import Array
from rnncore.detection.calibration import scales
from rnncore.detection.detector import Detector
from rnncore.detection.evaluation import Found, as_events, match, vus_pr
from rnncore.detection.faults import Fault, inject
from rnncore.detection.nab import PROFILES, corpus_score
from rnncore.detection.rows import Rows, read_rows
from rnncore.detection.scores import Scores
from rnncore.tables import load_table

__all__ = ["Job", "as_json", "lines", "weather", "write_csv"]

_EVERY = 140  # days from fault to fault
_MOST_ALARMS = 40  # in the text


@dataclass(frozen=True)
class Job:
    """A detector, the rows, and what it said of those behind the history."""

    detector: Detector
    rows: Rows
    count: int  # rows of the history
    scores: Scores
    truth: list[dict[str, Any]]  # faults that were put in, by row behind the history
    labels: Array | None  # of the rows behind the history

    @property
    def events(self) -> list[tuple[int, int]]:
        """The known events, [begin, end) in rows behind the history."""
        if self.labels is not None:
            return as_events(self.labels)
        return [(fault["begin"], fault["end"]) for fault in self.truth]

    @property
    def found(self) -> Found | None:
        """Events and alarms side by side, None where no events are known."""
        if self.labels is None and not self.truth:
            return None
        return match([alarm.row - self.scores.alarms_from for alarm in self.scores.alarms], self.events)


def weather(seed: int) -> tuple[Rows, list[Fault]]:
    """Return the daily weather of New York, 2012 to 2015, with faults in the last two years."""
    table = load_table(datasets.weather())
    place = np.array(table.texts("location").tolist()) == "New York"
    columns = ["date", "temp_max", "temp_min", "wind", "precipitation"]
    rows = read_rows({name: table.columns[name][place] for name in columns}, "date", columns[1:])
    history = len(rows) // 2
    values, faults = inject(rows.values[history:], scales(rows.values[:history])[1], seed, _EVERY)
    changed = np.concatenate([rows.values[:history], values])
    return Rows(changed, rows.seconds, rows.names, rows.step, rows.source, rows.labels, rows.notes), faults


def lines(job: Job) -> list[str]:
    """Return the report."""
    detector, scores, rows = job.detector, job.scores, job.rows
    behind = rows.take(job.count, len(rows))
    told = [f"channels: {', '.join(rows.names)}"]
    if job.count:
        told.append(f"history: {job.count} rows, {rows.labels[0]} to {rows.labels[job.count - 1]}")
    told.append(f"judged: {len(behind)} rows, {behind.labels[0]} to {behind.labels[-1]}")
    expected = detector.rate_ * len(behind)
    told.append(f"threshold: {detector.threshold_:.2f}, for {detector.false_alarms} (here {expected:.1f} false alarms)")
    if detector.constant_:
        told.append(f"constant in the history: {', '.join(detector.constant_)}")
    told += [f"note: {note}" for note in rows.notes]
    told.append(f"alarms: {len(scores.alarms)}")
    told += [f"  {alarm}" for alarm in scores.alarms[:_MOST_ALARMS]]
    if len(scores.alarms) > _MOST_ALARMS:
        told.append(f"  ... and {len(scores.alarms) - _MOST_ALARMS} more")
    return told + _truth(job)


def _truth(job: Job) -> list[str]:
    """Say what was found, what was missed and what was false, where that is known."""
    found = job.found
    if found is None:
        return []
    told = []
    labels = job.rows.labels[job.count :]
    for k, fault in enumerate(job.truth):
        state = "found " if k in found.found else "MISSED"
        told.append(f"  {state} {fault['kind']} in {fault['channel']} from {labels[fault['begin']]}")
    alarms = job.scores.alarms
    told += [f"  FALSE  {alarms[k].kind} at {alarms[k].start}" for k in found.false]
    told.append(
        f"found {len(found.found)} of {found.events} events, {len(found.false)} false alarms: "
        f"precision {found.precision:.2f}, recall {found.recall:.2f}, F1 {found.f1:.2f}"
    )
    if job.labels is not None and job.labels.any():
        measured = _measures(job)
        told.append(f"NAB score (standard) {measured['nab']:.1f}, VUS-PR {measured['vus_pr']:.3f}")
    return told


def _measures(job: Job) -> dict[str, float]:
    assert job.labels is not None
    begins = np.zeros(len(job.labels), bool)
    begins[[alarm.row - job.scores.alarms_from for alarm in job.scores.alarms]] = True
    windows = [(begin, end - 1) for begin, end in job.events]
    return {
        "nab": corpus_score([begins], [windows], PROFILES["standard"], skipped=0),
        "vus_pr": vus_pr(job.scores.score, job.labels),
    }


def as_json(job: Job) -> dict[str, Any]:
    """Return everything that JSON can hold."""
    detector, scores, found = job.detector, job.scores, job.found
    told: dict[str, Any] = {
        "channels": list(job.rows.names),
        "history_rows": job.count,
        "false_alarms": detector.false_alarms,
        "threshold": detector.threshold_,
        "alarms": [alarm.as_dict() for alarm in scores.alarms],
        "times": [str(label) for label in scores.rows.labels],
        "score": scores.score.tolist(),
        "blame": [job.rows.names[c] for c in scores.blame.tolist()],
    }
    for name, values in (("expected", scores.expected), ("low", scores.low), ("high", scores.high)):
        told[name] = [[None if value != value else value for value in row] for row in values.tolist()]
    if found is not None:
        told["truth"] = job.truth or [{"begin": begin, "end": end} for begin, end in job.events]
        told["found"], told["missed"], told["false"] = list(found.found), found.missed, list(found.false)
        told["precision"], told["recall"], told["f1"] = found.precision, found.recall, found.f1
        if job.labels is not None and job.labels.any():
            told |= _measures(job)
    return told


def write_csv(job: Job, path: Path) -> None:
    """Write a line for each row that was judged."""
    scores, names = job.scores, job.rows.names
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        suffixes = ("", "_expected", "_low", "_high")
        writer.writerow(["time", "score", "alarm", "blame", *(name + end for name in names for end in suffixes)])
        for t in range(len(scores)):
            values = np.stack([scores.rows.values[t], scores.expected[t], scores.low[t], scores.high[t]], axis=1)
            told = ["" if value != value else f"{value:.10g}" for value in values.ravel().tolist()]
            blame = names[int(scores.blame[t])]
            writer.writerow([scores.rows.labels[t], f"{scores.score[t]:.6f}", int(scores.alarmed[t]), blame, *told])
