"""The engines that `peers.py` compares, each served by a worker process of its own.

A worker loads one model into one engine and then waits for turns. In a turn it runs the model, back to back, for a
time budget and answers with the median. Between turns it sleeps in a read, so that the engine whose turn it is has
the machine for itself. Inputs are bound once, outside the timed region, by the cheapest way that the engine's Python
API offers; outputs stay where the engine puts them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

GRAVEN = "graven"

Inputs = dict[str, Any]
"""Graph input name to numpy array, in the graph's order."""

Run = Callable[[], object]
"""Runs a loaded model once."""


@dataclass
class Job:
    """What a worker is to load."""

    engine: str
    model: Path  # model.onnx; inputs.npz lies beside it, and model.pt2 for PyTorch
    threads: int
    cpus: Sequence[int]  # the worker and all its threads are pinned to these
    graven: str  # path of the graven program


@dataclass
class Turn:
    """What a worker answers when it is ready (after a first, short turn) and to every turn."""

    median_ms: float = 0.0
    load_ms: float = 0.0  # file to runnable model; of Graven its compile_ms
    version: str = ""
    details: dict[str, Any] = field(default_factory=dict)  # Graven's JSON
    error: str = ""


def onnx_runtime(job: Job, inputs: Inputs) -> Run:
    """ONNX Runtime, all optimisations, symbolic dims bound to the inputs' extents, outputs not copied."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(str(job.model), options, providers=["CPUExecutionProvider"])
    shapes = [(value.shape, inputs[value.name].shape) for value in session.get_inputs() if value.name in inputs]
    symbols = {dim: extent for dims, shape in shapes for dim, extent in zip(dims, shape) if isinstance(dim, str)}
    if symbols:
        for dim, extent in symbols.items():
            options.add_free_dimension_override_by_name(dim, extent)
        session = ort.InferenceSession(str(job.model), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for value in session.get_outputs():
        binding.bind_output(value.name)
    return lambda: session.run_with_iobinding(binding)


def openvino(job: Job, inputs: Inputs) -> Run:
    """OpenVINO in f32 (its default would be bf16 where the CPU has it), latency mode, static shapes."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(str(job.model))
    arrays = [inputs[next(iter(port.names & inputs.keys()))] for port in model.inputs]
    if any(port.partial_shape.is_dynamic for port in model.inputs):
        model.reshape({port: list(array.shape) for port, array in zip(model.inputs, arrays)})
    settings = {"INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
    return lambda: request.infer(None, share_outputs=True)


def tract(job: Job, inputs: Inputs) -> Run:
    """tract, which has one thread; shapes are static: those of the arrays. Its load time has the rewriting in it."""
    if job.threads > 1:
        raise RuntimeError("runs on one thread only")
    import onnx
    import tract

    proto = onnx.load(job.model)
    del proto.graph.value_info[:]  # tract takes a symbol in them for a contradiction to the extents set below
    with tempfile.NamedTemporaryFile(suffix=".onnx") as stripped:
        onnx.save(proto, stripped.name)
        model = tract.onnx().load(stripped.name)
    names = [model.input_name(index) for index in range(model.input_count())]
    for index, array in enumerate(map(inputs.__getitem__, names)):
        dtype = "bool" if array.dtype.kind == "b" else f"{array.dtype.kind}{8 * array.itemsize}"
        model.set_input_fact(index, ",".join([*map(str, array.shape), dtype]))
    for index in range(model.output_count()):
        model.set_output_fact(index, None)
    runnable = model.into_model().into_runnable()
    tensors = [tract.Tensor.from_numpy(inputs[name]) for name in names]
    return lambda: runnable.run(tensors)


def pytorch(job: Job, inputs: Inputs) -> Run:
    """PyTorch, eager: the exported program `model.pt2` beside the ONNX file."""
    program = job.model.with_suffix(".pt2")
    if not program.exists():
        raise RuntimeError(f"no {program.name} beside the model")
    import torch

    torch.set_num_threads(job.threads)
    torch.set_grad_enabled(False)
    module = torch.export.load(program).module()
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    return lambda: module(*tensors)


PEERS: dict[str, tuple[str, Callable[[Job, Inputs], Run]]] = {
    "ort": ("onnxruntime", onnx_runtime),
    "openvino": ("openvino", openvino),
    "tract": ("tract", tract),
    "torch": ("torch", pytorch),
}
"""Name of a peer to its Python package and its loader."""


def time_runs(run: Run, seconds: float) -> float:
    """Median time of a run in ms: one untimed run to warm the caches, then as many as fit, at least one."""
    run()
    times: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while not times or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e6


def peer_turns(job: Job) -> Callable[[float], Turn]:
    """Load a peer and return the function that takes a turn of so many seconds."""
    import numpy as np

    package, load = PEERS[job.engine]
    with np.load(job.model.with_name("inputs.npz")) as archive:
        inputs = {name: np.require(archive[name], requirements="C") for name in archive.files}
    start = time.perf_counter()
    run = load(job, inputs)
    load_ms = (time.perf_counter() - start) * 1e3

    def turn(seconds: float) -> Turn:
        assert inputs  # bound engines point into these arrays without owning them
        return Turn(time_runs(run, seconds), load_ms, f"{package} {version(package)}")

    return turn


def graven_turns(job: Job) -> Callable[[float], Turn]:
    """Return the function that takes a turn by `graven bench`, a fresh process that compiles and runs the model."""
    command = [job.graven, "bench", str(job.model), "--inputs", str(job.model.with_name("inputs.npz"))]
    command += ["--threads", str(job.threads), "--json", "--seconds"]
    name = subprocess.run([job.graven, "--version"], check=False, capture_output=True, text=True).stdout.strip()

    def turn(seconds: float) -> Turn:
        done = subprocess.run([*command, str(seconds)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        details = json.loads(done.stdout)
        return Turn(details["median_ms"], details["compile_ms"], name, details)

    return turn


def serve(job: Job, connection: Connection) -> None:
    """A worker's main function: load, take a first short turn, then one for each number of seconds received.

    An exception of any kind is sent as a `Turn` with `error` and ends the worker.
    """
    os.sched_setaffinity(0, job.cpus)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(job.threads)
    warnings.simplefilter("ignore")
    try:
        turn = graven_turns(job) if job.engine == GRAVEN else peer_turns(job)
        seconds = 0.05
        while True:
            connection.send(turn(seconds))
            seconds = connection.recv()
    except EOFError:  # the other end is gone
        pass
    except BaseException as error:  # a failing engine is a result; Rust panics arrive as BaseException
        connection.send(Turn(error=f"{type(error).__name__}: {error}"))
