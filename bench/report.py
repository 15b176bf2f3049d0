#!/usr/bin/env python3
"""The results of `peers.py` as a Markdown table and as a plot.

    python bench/report.py results.jsonl

writes `results.md` and `results.svg` beside it.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]

COLOURS = {"graven": "#d62728", "ort": "#1f77b4", "openvino": "#2ca02c", "tract": "#9467bd", "torch": "#ff7f0e"}


def engine_names(rows: list[Row]) -> list[str]:
    """The engines that took part, in the order in which they took their turns."""
    return list(dict.fromkeys(name for row in rows for name in row["engines"]))


def losers_first(rows: list[Row]) -> list[Row]:
    """The measured rows by ratio, lowest first; rows without one go last, by name."""
    measured = [row for row in rows if "engines" in row]
    return sorted(measured, key=lambda row: (row["ratio"] is None, row["ratio"] or 0.0, row["model"], row["threads"]))


def milliseconds(result: Row) -> str:
    """A time for the table: three significant digits; `<` marks one that is mostly call overhead, `-` a failure."""
    if "error" in result:
        return "-"
    digits = max(0, min(4, 2 - math.floor(math.log10(result["median_ms"]))))
    return f"{'<' if result['below_overhead'] else ''}{result['median_ms']:.{digits}f}"


def table_line(row: Row, names: list[str]) -> str:
    """One model and thread count."""
    times = [milliseconds(row["engines"].get(name, {"error": ""})) for name in names]
    done = [result for result in row["engines"].values() if "error" not in result]
    spread = max((result["highest_turn_ms"] / result["lowest_turn_ms"] for result in done), default=math.nan)
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
    cells = [row["model"], row["threads"], *times, row["best_peer"] or "", ratio, f"{spread:.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def summary_lines(rows: list[Row]) -> list[str]:
    """Per thread count: the geometric mean of the ratios, and how many are below 1."""
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        ratios = [row["ratio"] for row in rows if row["threads"] == threads and row["ratio"]]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            slower = sum(ratio < 1 for ratio in ratios)
            lines.append(f"- threads {threads}: geometric mean {mean:.2f} over {len(ratios)} models, {slower} below 1")
    return lines


def failure_lines(rows: list[Row]) -> list[str]:
    """Which engine has no result for which models, by reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, result in row["engines"].items():
            if "error" in result:
                reason = " ".join(result["error"].partition("Stack backtrace")[0].split())[-200:]  # the cause comes last
                reasons.setdefault((name, reason), []).append(f"{row['model']} x{row['threads']}")
    return [f"- {name}, {', '.join(models)}: {reason}" for (name, reason), models in sorted(reasons.items())]


def write_table(rows: list[Row], path: Path) -> None:
    """Write the Markdown page: machine, versions, the table with the losers first, failures."""
    table = losers_first(rows)
    names = engine_names(table)
    versions = {result["version"] for row in table for result in row["engines"].values() if "version" in result}
    lines = ["# Graven and its peers", ""]
    lines += [f"- {key}: {value}" for row in rows for key, value in row.get("machine", {}).items()]
    lines += [f"- versions: {', '.join(sorted(versions))}", *summary_lines(table), ""]
    lines += ["Median milliseconds of interleaved turns. Ratio: best peer / Graven. Spread: highest / lowest turn of the"]
    lines += ["unsteadiest engine. `<`: mostly call overhead.", ""]
    lines += [f"| model | threads | {' | '.join(names)} | best peer | ratio | spread |", "|---|" + "---|" * (len(names) + 4)]
    lines += [table_line(row, names) for row in table]
    if failed := failure_lines(table):
        lines += ["", "No result:", "", *failed]
    path.write_text("\n".join(lines) + "\n")


def write_plot(rows: list[Row], path: Path) -> None:
    """Plot each engine's time relative to the best peer's, one line per model, one panel per thread count."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = [row for row in losers_first(rows) if row["best_peer"]]
    counts = sorted({row["threads"] for row in table}) or [1]
    height = 1.5 + 0.2 * len(table) / len(counts)
    figure, panels = pyplot.subplots(1, len(counts), squeeze=False, figsize=(7.5 * len(counts), height), layout="constrained")
    for panel, count in zip(panels[0], counts):
        shown = [row for row in table if row["threads"] == count]
        for name in engine_names(shown):
            points = [
                (row["engines"][name]["median_ms"] / row["engines"][row["best_peer"]]["median_ms"], line)
                for line, row in enumerate(shown)
                if "median_ms" in row["engines"].get(name, {})
            ]
            size, order = (36, 3) if name == "graven" else (16, 2)
            xs, ys = [x for x, _ in points], [y for _, y in points]
            panel.scatter(xs, ys, s=size, zorder=order, label=name, color=COLOURS.get(name))
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_yticks(range(len(shown)), [row["model"] for row in shown], fontsize=7)
        panel.set_ylim(len(shown), -1)
        panel.grid(alpha=0.3)
        panel.set_xlabel("time / best peer's time (left is faster)")
        panel.set_title(f"threads: {count}")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels) or 1)
    figure.savefig(path)
    pyplot.close(figure)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    loaded = [json.loads(line) for line in source.read_text().splitlines()]
    write_table(loaded, source.with_suffix(".md"))
    write_plot(loaded, source.with_suffix(".svg"))
