#!/usr/bin/env python3
"""Write ONNX's own node tests as folders of model, inputs and expected outputs.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2
    venv/bin/python generate.py OUT

ONNX keeps its node tests as Python code in the wheel: each case builds a model of one operator (and, where the
operator is a function, a second model of the function's body, `..._expanded`) with seeded inputs and the outputs of a
numpy reference. This script runs that code and writes for every case

    OUT/NAME/model.onnx
    OUT/NAME/test_data_set_0/input_0.pb   input_1.pb  ...    one per graph input, in the graph's order
    OUT/NAME/test_data_set_0/output_0.pb  output_1.pb ...    one per graph output, in the graph's order

The `.pb` files are serialised protos whose kind follows from the graph's value type, as in ONNX's own data folders:
TensorProto for a tensor, SequenceProto, MapProto or OptionalProto for the others. Values are matched to the graph by
position; the name inside a proto may be empty. ONNX compares with rtol 1e-3, atol 1e-7 in all cases (bfloat16: rtol 2^-6).

NAME is the name used in the skip list. `OUT/VERSION` is written last: it holds the onnx version and the number of
cases, so a folder with that file is complete, and running again on it does nothing.

Nothing but onnx and its own dependencies (numpy, ml_dtypes, protobuf) is used; about twenty seconds and 60 MB of
small files. The ONNX code would use Pillow where it happens to be installed, to re-encode the images of the
ImageDecoder cases; it is hidden here, so that everyone gets the frozen images from the wheel and thus the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ONNX_VERSION = "1.23.2"
"""The version that the skip list is about: names and cases differ from release to release."""


def serialize(value: Any, kind: str, name: str) -> bytes:
    """The bytes of one input or output whose graph value type is `kind` (the field set in its TypeProto)."""
    from onnx import TensorProto, numpy_helper

    to_proto: dict[str, Callable[[Any, str], Any]] = {
        "tensor_type": numpy_helper.from_array,
        "sequence_type": numpy_helper.from_list,
        "map_type": numpy_helper.from_dict,
        "optional_type": numpy_helper.from_optional,
    }
    serialized: bytes = (value if isinstance(value, TensorProto) else to_proto[kind](value, name)).SerializeToString()
    return serialized


def write_case(case: Any, folder: Path) -> None:
    """Write one `onnx.backend.test.case.test_case.TestCase` to `folder`, replacing what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for prefix, infos, values in (("input", graph.input, inputs), ("output", graph.output, outputs)):
            if len(infos) != len(values):
                raise ValueError(f"{case.name}: {len(infos)} graph {prefix}s, {len(values)} values")
            for index, (info, value) in enumerate(zip(infos, values)):
                kind = info.type.WhichOneof("value")
                (data / f"{prefix}_{index}.pb").write_bytes(serialize(value, kind, info.name))


def collect_cases() -> list[Any]:
    """All node test cases of the installed onnx, sorted by name."""
    sys.modules["PIL"] = None  # type: ignore[assignment]  # see the module doc
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of overflows and divisions that the cases provoke on purpose
        from onnx.backend.test.case.node import collect_testcases

        return sorted(collect_testcases(), key=lambda case: case.name)


def main() -> int:
    """Generate into the folder given on the command line; 0 if it is complete afterwards, 2 on bad usage."""
    parser = argparse.ArgumentParser(description="Write ONNX's own node tests as folders.")
    parser.add_argument("out", type=Path, help="output folder; made if it does not exist")
    out: Path = parser.parse_args().out

    import onnx

    if onnx.__version__ != ONNX_VERSION:
        print(f"error: onnx {onnx.__version__} is installed, the tests are those of {ONNX_VERSION}", file=sys.stderr)
        return 2
    stamp = out / "VERSION"
    if stamp.exists() and stamp.read_text().startswith(f"onnx {ONNX_VERSION}\n"):
        print(f"{out} is complete: {', '.join(stamp.read_text().splitlines())}")
        return 0
    if out.exists() and any(out.iterdir()):
        print(f"error: {out} is not empty and holds no complete set of onnx {ONNX_VERSION}", file=sys.stderr)
        return 2

    cases = collect_cases()
    for case in cases:
        write_case(case, out / case.name)
    stamp.write_text(f"onnx {ONNX_VERSION}\ncases {len(cases)}\n")
    print(f"{len(cases)} cases in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
