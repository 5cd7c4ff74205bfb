"""Rows as a table, their summary, and the figure of speed-ups."""

from __future__ import annotations

import math
import statistics
from typing import Any

TITLES = {
    "peers": "ratio: the fastest peer's time over rnncore's",
    "threads": "ratio: the time of one thread over that of two",
    "ragged": "ratio: speed per valid step, rows of 0.1 T..T steps over full rows",
    "float64": "ratio: GFLOP/s of float64 over those of float32",
    "torch": "kernels: the engine's calls alone; empty: these in a torch.autograd.Function that does nothing else; "
    "ratio: the time of PyTorch's modules over that of accelerated ones",
    "few": "calls of one row and few steps; ratio: PyTorch's time over rnncore's",
    "short": "weights in fewer bits, (largest error of an output); ratio: the time of float32 over that of int8",
    "precision": "products in bf16, (largest error of y or dx); ratio: the time of float32 over that of bf16",
    "fit": "an epoch of 20 updates; ratio: the time of the layer's forward and backward calls alone over that of fit",
    "fleet": "20 epochs of one update of every model; ratio: the time of the layers' calls alone over Fleet.fit's",
}


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def peak_share(row: dict[str, Any], label: str) -> str:
    """Share of the multiply-add peak; of no meaning for another scalar type than the peak's, or without operations."""
    if not row["limits"] or label == "float64" or label not in row["operations"]:
        return ""
    return f" {100e-9 * row['operations'][label] / row['seconds'][label] / row['limits']['fma']:.0f} %"


def limit(row: dict[str, Any]) -> str:
    """What bounds a call, and how near it comes: the larger of arithmetic and reading, plus the activations."""
    if not row["floor"]:
        return "-"
    parts = row["floor"]
    least = max(parts["arithmetic"], parts["reading"]) + parts["activations"]
    first = next(iter(row["seconds"].values()))
    return f"{max(parts, key=lambda name: parts[name])} {100 * least / first:.0f} %"


def title(which: str, statistic: str) -> str:
    return f"{TITLES[which]}; times: {statistic}"


def header(labels: list[str]) -> str:
    names = ["mode", "cell", "H", "I", "N", "T", *labels, "limit", "ratio"]
    return "| " + " | ".join(names) + " |\n|" + " --- |" * len(names)


def line(row: dict[str, Any], labels: list[str]) -> str:
    def cell(label: str) -> str:
        if label not in row["seconds"]:
            return "-"
        error = f" ({row['errors'][label]:.0e})" if label in row.get("errors", {}) else ""
        return duration(row["seconds"][label]) + peak_share(row, label) + error

    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
    fields = [row["mode"], row["cell"], *(row[k] for k in "HINT"), *map(cell, labels), limit(row), ratio]
    return "| " + " | ".join(map(str, fields)) + " |"


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Of each mode: geometric mean, worst row, rows behind."""
    lines = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        rated = [row for row in rows if row["mode"] == mode and row["ratio"] is not None]
        if not rated:
            continue
        mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in rated))
        worst = min(rated, key=lambda row: row["ratio"])
        behind = [name(row) for row in rated if row["ratio"] < 1]
        lines.append(
            f"{mode}: geometric mean {mean:.2f}, worst {worst['ratio']:.2f} ({name(worst)}), "
            f"{len(behind)} of {len(rated)} rows under 1" + (": " + "; ".join(behind) if behind else "")
        )
        if rated[0]["set"] == "torch":
            lines.append(f"{mode}: {added(rated)}")
    return lines


def added(rows: list[dict[str, Any]]) -> str:
    """What a module adds to the engine's calls, in rows of calls under a millisecond: others vary by more than that."""
    short = [row for row in rows if row["seconds"]["kernels"] < 1e-3]
    if not short:
        return "no call is short enough to tell what a module adds"

    def over(label: str) -> str:
        found = [row for row in short if label in row["seconds"]]
        times = {name(row): 1e6 * (row["seconds"][label] - row["seconds"]["kernels"]) for row in found}
        worst = max(times, key=lambda key: times[key])
        return f"{statistics.median(times.values()):.0f} us (median), {times[worst]:.0f} at most ({worst})"

    text = f"a module adds {over('accelerated')}"
    return f"{text}; an empty autograd.Function {over('empty')}" if "empty" in short[0]["seconds"] else text


def name(row: dict[str, Any]) -> str:
    return f"{row['cell']} H={row['H']} I={row['I']} N={row['N']} T={row['T']}"


def show(rows: list[dict[str, Any]]) -> None:
    """Print everything that a run has measured, set by set."""
    for which in dict.fromkeys(row["set"] for row in rows):
        chosen = [row for row in rows if row["set"] == which]
        labels = list(dict.fromkeys(label for row in chosen for label in row["seconds"]))
        statistics_used = dict.fromkeys(row["statistic"] for row in chosen)
        print(f"\n{title(which, ', '.join(statistics_used))}\n\n{header(labels)}")
        print(*(line(row, labels) for row in chosen), sep="\n")
        print("", *summary(chosen), sep="\n")


def plot(rows: list[dict[str, Any]], path: str) -> None:
    """Draw the speed-up over the best peer against H, one panel a mode; filled marks are batches."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row["set"] == "peers" and row["ratio"] is not None]
    if not rows:
        raise SystemExit("no row has a peer to be compared with: there is nothing to plot")
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    figure, panels = pyplot.subplots(1, len(modes), figsize=(4 * len(modes), 3.4), squeeze=False, sharey=True)
    for panel, mode in zip(panels[0], modes, strict=True):
        for cell, colour in (("lstm", "tab:blue"), ("gru", "tab:orange"), ("rnn", "tab:green")):
            for batch, filled in ((False, "none"), (True, colour)):
                points = [
                    (r["H"], r["ratio"]) for r in rows if (r["mode"], r["cell"], r["N"] > 1) == (mode, cell, batch)
                ]
                if points:
                    label = f"{cell.upper()}, {'batch' if batch else 'one row'}"
                    panel.plot(*zip(*points, strict=True), "o", color=colour, markerfacecolor=filled, label=label)
        panel.axhline(1, color="black", linewidth=0.8)
        panel.set(xscale="log", yscale="log", title=mode, xlabel="hidden units H")
        panel.set_xticks([8, 16, 32, 64, 128, 256, 512], ["8", "16", "32", "64", "128", "256", "512"], minor=False)
        panel.set_xticks([], minor=True)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("times the fastest peer's speed")
    panels[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
