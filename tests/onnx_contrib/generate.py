#!/usr/bin/env python3
"""Write test cases of ONNX Runtime's own operators, and of a few others that ONNX's node tests leave out.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python generate.py cases

Each case is a model of one operator with seeded inputs and the outputs of ONNX Runtime without its optimiser, in the form of
ONNX's node tests: `NAME/model.onnx`, `NAME/test_data_set_0/{input,output}_N.pb`. The cases are in the repository, so that the tests
need neither Python nor ONNX Runtime.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
RNG = np.random.default_rng(7)


def f32(*shape: int) -> np.ndarray:
    """Normally distributed floats."""
    return RNG.standard_normal(shape).astype(np.float32)


def u8(*shape: int) -> np.ndarray:
    """Unsigned bytes."""
    return RNG.integers(0, 255, shape).astype(np.uint8)


def i8(*shape: int) -> np.ndarray:
    """Signed bytes."""
    return RNG.integers(-127, 127, shape).astype(np.int8)


def scale(value: float) -> np.ndarray:
    """A scale."""
    return np.array(value, np.float32)


def zero(value: int, dtype: type = np.uint8) -> np.ndarray:
    """A zero point."""
    return np.array(value, dtype)


def save(values: list[np.ndarray], folder: Path, stem: str) -> None:
    """Write tensors as numbered files."""
    for place, value in enumerate(values):
        (folder / f"{stem}_{place}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())


def case(
    out: Path,
    name: str,
    op: str,
    inputs: list[np.ndarray | None],
    outputs: tuple[int, ...] = (0,),
    domain: str = "com.microsoft",
    **attributes: object,
) -> None:
    """Write one case; `outputs` are the places of the outputs that are asked for."""
    names = [f"i{place}" if value is not None else "" for place, value in enumerate(inputs)]
    results = [f"o{place}" if place in outputs else "" for place in range(max(outputs) + 1)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    given = {name: value for name, value in zip(names, inputs) if value is not None}
    info = [
        helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for key, value in given.items()
    ]
    wanted = [result for result in results if result]
    graph = helper.make_graph([node], "g", info, [onnx.ValueInfoProto(name=result) for result in wanted])
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(wanted, given)
    for output, value in zip(model.graph.output, values):
        dtype = helper.np_dtype_to_tensor_dtype(value.dtype)
        output.CopyFrom(helper.make_tensor_value_info(output.name, dtype, value.shape))
    folder = out / f"test_{name}" / "test_data_set_0"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out / f"test_{name}" / "model.onnx")
    save(list(given.values()), folder, "input")
    save(values, folder, "output")


def fused(out: Path) -> None:
    """Products and activations."""
    case(out, "fused_matmul", "FusedMatMul", [f32(2, 5, 3), f32(2, 7, 5)], transA=1, transB=1, alpha=0.5)
    case(out, "gelu", "Gelu", [f32(3, 4)])
    case(out, "bias_gelu", "BiasGelu", [f32(3, 4), f32(4)])
    case(out, "fast_gelu", "FastGelu", [f32(3, 4), f32(4)])
    case(out, "fast_gelu_plain", "FastGelu", [f32(3, 4)])
    case(out, "quick_gelu", "QuickGelu", [f32(3, 4)])
    gemm = [f32(3, 4), f32(4, 5), f32(5)]
    case(out, "fused_gemm", "FusedGemm", gemm, activation="Relu")
    case(out, "fused_gemm_leaky", "FusedGemm", gemm, activation="LeakyRelu", activation_alpha=0.3)
    conv = [f32(1, 3, 6, 6), f32(4, 3, 3, 3), f32(4)]
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    case(out, "fused_conv", "FusedConv", [*conv, f32(1, 4, 6, 6)], activation="Relu", **window)
    case(out, "fused_conv_clip", "FusedConv", conv, activation="Clip", activation_params=[0.0, 1.0], **window)
    case(out, "fused_conv_hard", "FusedConv", conv, activation="HardSigmoid", activation_params=[0.25, 0.4], **window)


def norms(out: Path) -> None:
    """Normalisations and embeddings."""
    x, y = f32(2, 3, 8), f32(2, 3, 8)
    case(out, "skip_ln", "SkipLayerNormalization", [x, y, f32(8), f32(8), f32(8)], (0, 3), epsilon=1e-5)
    case(out, "skip_ln_plain", "SkipLayerNormalization", [x, y, f32(8), f32(8)])
    case(out, "skip_rms", "SkipSimplifiedLayerNormalization", [x, y, f32(8)], (0, 3), epsilon=1e-5)
    case(out, "simplified_ln", "SimplifiedLayerNormalization", [x, f32(8)], domain="", axis=-1, epsilon=1e-5)
    words, segments = (RNG.integers(0, high, (2, 4)).astype(np.int32) for high in (10, 2))
    tables = [f32(10, 8), f32(6, 8), f32(2, 8)]
    case(out, "embed_ln", "EmbedLayerNormalization", [words, segments, *tables, f32(8), f32(8), MASK], (0, 1))
    plain = [words, None, *tables[:2], None, f32(8), f32(8)]
    case(out, "embed_ln_sum", "EmbedLayerNormalization", plain, (0, 1, 2))


MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)


def attention(out: Path) -> None:
    """Attention and rotary positions."""
    x = [f32(2, 4, 6), f32(6, 24), f32(24)]
    case(out, "attention", "Attention", x, num_heads=2)
    case(out, "attention_mask", "Attention", [*x, MASK], num_heads=2)
    case(out, "attention_lengths", "Attention", [*x, np.array([3, 2], np.int32)], num_heads=2)
    case(out, "attention_causal", "Attention", x, num_heads=2, unidirectional=1)
    case(out, "attention_past", "Attention", [*x, None, f32(2, 2, 2, 3, 4)], (0, 1), num_heads=2, unidirectional=1)
    case(out, "attention_bias", "Attention", [*x, None, None, f32(2, 2, 4, 4)], num_heads=2)
    sizes = [f32(2, 4, 6), f32(6, 20), f32(20)]
    case(out, "attention_sizes", "Attention", sizes, num_heads=2, qkv_hidden_sizes=[8, 8, 4])
    q, k, v = f32(2, 4, 8), f32(2, 4, 8), f32(2, 4, 8)
    long = [f32(2, 5, 8), f32(2, 5, 8)]
    case(out, "mha", "MultiHeadAttention", [q, *long, f32(24)], num_heads=2)
    case(out, "mha_mask", "MultiHeadAttention", [q, k, v, None, MASK], num_heads=2)
    case(out, "mha_causal", "MultiHeadAttention", [q, k, v], num_heads=2, unidirectional=1)
    past = [f32(2, 2, 3, 4), f32(2, 2, 3, 4)]
    case(out, "mha_past", "MultiHeadAttention", [q, k, v, None, None, None, *past], (0, 1, 2), num_heads=2)
    added = [q, f32(2, 5, 8), f32(2, 5, 6), f32(22), None, f32(2, 2, 4, 5)]
    case(out, "mha_bias", "MultiHeadAttention", added, num_heads=2)
    case(out, "mha_cross", "MultiHeadAttention", [q, f32(2, 2, 5, 4), f32(2, 2, 5, 4)], num_heads=2)
    angles = f32(10, 2)
    caches = [np.cos(angles), np.sin(angles)]
    positions = RNG.integers(0, 9, (2, 4)).astype(np.int64)
    case(out, "rotary", "RotaryEmbedding", [q, positions, *caches])
    case(out, "rotary_first", "RotaryEmbedding", [q, np.array([3], np.int64), *caches], interleaved=1)
    case(out, "rotary_4d", "RotaryEmbedding", [f32(2, 2, 4, 4), positions, *caches])


def quantized(out: Path) -> None:
    """Functions of quantised tensors. Scales are chosen so that no result lies half-way between two integers."""
    x = [u8(2, 3, 4), scale(0.0201), zero(120)]
    y = [u8(2, 3, 4), scale(0.0303), zero(100)]
    to = [scale(0.0507), zero(128)]
    case(out, "qlinear_add", "QLinearAdd", [*x, *y, *to])
    signed = [i8(2, 3, 4), scale(0.0201), zero(3, np.int8), i8(4), scale(0.0303), zero(-4, np.int8)]
    case(out, "qlinear_add_broadcast", "QLinearAdd", [*signed, scale(0.0507), zero(0, np.int8)])
    case(out, "qlinear_mul", "QLinearMul", [*x, *y, *to])
    case(out, "qlinear_sigmoid", "QLinearSigmoid", [*x, scale(1 / 256), zero(0)])
    case(out, "qlinear_leaky_relu", "QLinearLeakyRelu", [*x, scale(0.0213), zero(100)], alpha=0.1)
    case(out, "qlinear_softmax", "QLinearSoftmax", [*x, scale(1 / 256), zero(0)], axis=-1, opset=13)
    image = [u8(1, 3, 6, 6), scale(0.0201), zero(120)]
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    case(out, "qlinear_average_pool", "QLinearAveragePool", [*image, scale(0.0173), zero(110)], **window)
    case(out, "qlinear_global_average_pool", "QLinearGlobalAveragePool", [*image, scale(0.0107), zero(110)])
    parts = [u8(2, 3), scale(0.0201), zero(120), u8(2, 4), scale(0.0403), zero(100)]
    case(out, "qlinear_concat", "QLinearConcat", [scale(0.0307), zero(128), *parts], axis=1)
    product = [u8(3, 4), i8(4, 5), scale(0.0201), f32(5) ** 2, zero(120), np.zeros(5, np.int8), f32(5)]
    case(out, "matmul_integer_to_float", "MatMulIntegerToFloat", product)
    dynamic = [f32(3, 4), i8(4, 5), scale(0.0201), zero(2, np.int8), f32(5)]
    case(out, "dynamic_quantize_matmul", "DynamicQuantizeMatMul", dynamic)
    case(out, "contrib_quantize", "QuantizeLinear", [f32(3, 4), scale(0.0201), zero(100)])
    case(out, "contrib_dequantize", "DequantizeLinear", [u8(3, 4), scale(0.0201), zero(100)])


def regions(out: Path) -> None:
    """Regions of interest in ways that ONNX's own tests leave out."""
    boxes = np.array([[0, 0, 7, 7], [2, 1, 5, 6], [3, 3, 4, 4]], np.float32)
    batch = np.array([0, 1, 0], np.int64)
    numbered = np.concatenate([batch[:, None].astype(np.float32), boxes], axis=1)
    pool = {"domain": "", "spatial_scale": 1.0}
    case(out, "max_roi_pool", "MaxRoiPool", [f32(2, 3, 8, 8), numbered], pooled_shape=[2, 3], **pool)
    size = {"output_height": 2, "output_width": 3, "sampling_ratio": 0}
    case(out, "roi_align_adaptive", "RoiAlign", [f32(2, 3, 8, 8), boxes, batch], **size, **pool)


def main() -> None:
    """Write all cases."""
    out = Path(sys.argv[1])
    for family in (fused, norms, attention, quantized, regions):
        family(out)


if __name__ == "__main__":
    main()
