#!/usr/bin/env python3
"""Graven against ONNX Runtime, OpenVINO, tract and PyTorch: one run, interleaved, medians.

    pip install numpy onnx onnxruntime openvino tract torch matplotlib        (leave out what is not to be compared)
    python bench/peers.py --graven target/release/graven --threads 1,2 --out results MODEL_DIR ...

A MODEL_DIR holds `model.onnx` and `inputs.npz` (one array per graph input); PyTorch also needs `model.pt2`, the same
network by `torch.export.save`, and is left out where there is none. Written are `results.jsonl` (one line for the
machine, then one per model and thread count), `results.md` (losers first) and `results.svg`.

Method. Clock speed and neighbours drift over seconds, so engines are not measured one after the other: each has a
worker process that keeps the model loaded, and rounds go A B C D A B C D ..., one turn of `--seconds` each. An
engine's time is the median of its turns' medians, and the result is the ratio of the best peer's to Graven's: above
1, Graven is faster. Each worker is pinned to the first N of the allowed CPUs. Where an engine's lowest and highest
turn are far apart, the machine was not quiet.

Peers are called through Python, which costs microseconds that Graven's own timer does not see. An engine that
needs less than 0.2 ms therefore also takes turns, in the same rounds, with a model that is the identity of one
element, and that time is taken off. It includes the engine's own cost per call, so the correction favours the peers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from engines import GRAVEN, PEERS, Job, Turn, serve
from report import write_plot, write_table

OVERHEAD_BELOW_MS = 0.2
"""An engine faster than this gets its call overhead measured and taken off."""

FLOOR = 0.1
"""The fraction of a measured time that is left at least when the overhead is taken off."""


class Worker:
    """A process that serves one model on one engine (see `engines.serve`), and the answers of its turns."""

    def __init__(self, job: Job, timeout: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(job, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.timeout = timeout
        self.turns: list[float] = []
        self.last = self.answer()

    def answer(self, seconds: float | None = None) -> Turn:
        """Ask for a turn, then wait; an error if the process died or says nothing for `timeout` seconds more."""
        try:
            if seconds is not None:
                self.connection.send(seconds)
            if not self.connection.poll(self.timeout + (seconds or 0.0)):
                return Turn(error=f"no answer in {self.timeout:.0f} s")
            turn: Turn = self.connection.recv()
            return turn
        except (EOFError, OSError):
            self.process.join()
            return Turn(error=f"worker died with exit code {self.process.exitcode}")

    def turn(self, seconds: float) -> None:
        """Run for so many seconds, while every other worker sleeps; nothing if the engine has failed before."""
        if not self.last.error:
            self.last = self.answer(seconds)
            self.turns.append(self.last.median_ms)

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


def summarise(worker: Worker, identity: Worker | None) -> dict[str, Any]:
    """The engine's entry in the JSON line: `median_ms` is what counts, `raw_ms` what was measured."""
    if worker.last.error:
        return {"error": worker.last.error}
    raw = statistics.median(worker.turns)
    overhead = statistics.median(identity.turns) if identity and not identity.last.error else 0.0
    return {
        "median_ms": max(raw - overhead, FLOOR * raw),
        "raw_ms": raw,
        "overhead_ms": overhead,
        "below_overhead": raw - overhead < FLOOR * raw,
        "lowest_turn_ms": min(worker.turns),
        "highest_turn_ms": max(worker.turns),
        "load_ms": worker.last.load_ms,
        "version": worker.last.version,
    }


def compare(model: Path, threads: int, identity: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All engines on one model with one thread count: the JSON line."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    workers: dict[str, Worker] = {}
    identities: dict[str, Worker] = {}
    try:
        for engine in args.engines:
            workers[engine] = Worker(Job(engine, model, threads, cpus, args.graven), args.timeout)
            first = workers[engine].last
            if engine != GRAVEN and not first.error and first.median_ms < OVERHEAD_BELOW_MS:
                identities[engine] = Worker(Job(engine, identity, threads, cpus, args.graven), args.timeout)
        for _ in range(args.rounds):
            for engine in args.engines:
                workers[engine].turn(args.seconds)
                if engine in identities:
                    identities[engine].turn(args.seconds / 4)
    finally:
        for worker in (*workers.values(), *identities.values()):
            worker.stop()
    results = {engine: summarise(worker, identities.get(engine)) for engine, worker in workers.items()}
    times = {engine: result["median_ms"] for engine, result in results.items() if "error" not in result}
    ours = times.pop(GRAVEN, None)
    best = min(times, key=times.__getitem__, default=None)
    return {
        "model": model.parent.name,
        "threads": threads,
        "rounds": args.rounds,
        "seconds": args.seconds,
        "best_peer": best,
        "ratio": times[best] / ours if ours and best else None,
        "engines": results,
        GRAVEN: workers[GRAVEN].last.details if GRAVEN in workers else {},
    }


def write_identity(folder: Path, pytorch: bool) -> Path:
    """Write the identity of one f32 element as a model folder, for PyTorch too if it takes part."""
    import numpy as np
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "inputs.npz", x=np.zeros(1, np.float32))
    if pytorch:
        import torch

        torch.export.save(torch.export.export(torch.nn.Identity(), (torch.zeros(1),)), folder / "model.pt2")
    return folder / "model.onnx"


def describe_machine() -> dict[str, Any]:
    """The machine, as far as it explains a result."""
    info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    levels = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve"}
    flags = info.get("flags", info.get("Features", "")).split()
    return {
        "cpu": f"{info.get('model name', platform.machine())} ({' '.join(sorted(levels.intersection(flags)))})",
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load average at start": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Interleaved benchmark of Graven and its peers.")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL_DIR", help="with model.onnx and inputs.npz")
    parser.add_argument("--out", required=True, help="prefix of the .jsonl, .md and .svg that are written")
    parser.add_argument("--engines", default=f"{GRAVEN},{','.join(PEERS)}", help="of %(default)s")
    parser.add_argument("--skip", default="", help="engines to leave out")
    parser.add_argument("--graven", default="graven", help="the graven program")
    parser.add_argument("--threads", default="1", help="thread counts, as in 1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds after which a silent worker has failed")
    args = parser.parse_args()
    args.engines = [name for name in args.engines.split(",") if name not in args.skip.split(",")]
    args.threads = [int(count) for count in args.threads.split(",")]
    if unknown := set(args.engines) - {GRAVEN, *PEERS}:
        parser.error(f"unknown engine: {', '.join(sorted(unknown))}")
    if missing := [folder for folder in args.models if not (folder / "inputs.npz").exists()]:
        parser.error(f"no inputs.npz in {missing[0]}")
    if max(args.threads) > len(os.sched_getaffinity(0)):
        parser.error(f"{max(args.threads)} threads, but {len(os.sched_getaffinity(0))} CPUs are allowed")
    return args


def main() -> None:
    """Measure everything, write each line as soon as it is known, then the table and the plot."""
    args = parse_args()
    rows: list[dict[str, Any]] = [{"machine": describe_machine()}]
    with tempfile.TemporaryDirectory() as scratch, open(f"{args.out}.jsonl", "w") as lines:
        print(json.dumps(rows[0]), file=lines, flush=True)
        identity = write_identity(Path(scratch), pytorch="torch" in args.engines)
        for folder in args.models:
            for threads in args.threads:
                row = compare(folder.resolve() / "model.onnx", threads, identity, args)
                rows.append(row)
                print(json.dumps(row), file=lines, flush=True)
                print(f"{row['model']} x{threads}: best peer {row['best_peer']}, ratio {row['ratio']}", flush=True)
    write_table(rows, Path(f"{args.out}.md"))
    write_plot(rows, Path(f"{args.out}.svg"))


if __name__ == "__main__":
    main()
