"""Named ops, by torch in f64."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from common import FLOATS, case, random, rounded


def lanes(rng, dtype):
    x = random(rng, dtype, (3, 5, 4)) * 6
    x[0, 1] = -np.inf
    x[2, 3, 1] = np.nan
    x[1, 2, 2] = np.inf
    x[1, :, 3] = 60000.0
    x = rounded(dtype, x)
    for axis in range(3):
        yield "softmax", {"axis": axis}, [x], F.softmax(torch.from_numpy(x), axis)
        yield "log_softmax", {"axis": axis}, [x], F.log_softmax(torch.from_numpy(x), axis)
    empty = np.zeros((2, 0, 3))
    yield "softmax", {"axis": 1}, [empty], torch.from_numpy(empty)


def norms(rng, dtype):
    for shape, axis in [((3, 5, 4), 2), ((3, 5, 4), 1), ((2, 7), 0), ((2, 3, 1), 2)]:
        x = random(rng, dtype, shape)
        x = rounded(dtype, x * np.linspace(0.01, 30, shape[0]).reshape((-1,) + (1,) * (len(shape) - 1)))
        scale, bias = random(rng, dtype, shape[axis:]), random(rng, dtype, shape[axis:])
        torch_x, torch_scale, torch_bias = (torch.from_numpy(np.ascontiguousarray(t)) for t in (x, scale, bias))
        for epsilon in (1e-5, 0.5):
            attributes = {"axis": axis, "epsilon": epsilon}
            normalized = list(shape[axis:])
            plain = F.layer_norm(torch_x, normalized, None, None, epsilon)
            scaled = F.layer_norm(torch_x, normalized, torch_scale, None, epsilon)
            affine = F.layer_norm(torch_x, normalized, torch_scale, torch_bias, epsilon)
            yield "layer_norm", attributes, [x], plain
            yield "layer_norm", attributes, [x, scale], scaled
            yield "layer_norm", attributes, [x, scale, bias], affine
            yield "rms_norm", attributes, [x], F.rms_norm(torch_x, normalized, None, epsilon)
            yield "rms_norm", attributes, [x, scale], F.rms_norm(torch_x, normalized, torch_scale, epsilon)


def activations(rng, dtype):
    x = np.concatenate([rng.uniform(-9, 9, 40), [0.0, 1e-3, -1e-3, 20.0, -10.0, np.inf, np.nan]])
    x = rounded(dtype, x)
    yield "gelu", {"tanh": True}, [x], F.gelu(torch.from_numpy(x), approximate="tanh")
    yield "silu", {}, [x], F.silu(torch.from_numpy(x))
    # torch's own gelu loses the digits of the tail: x · ½ erfc(−x ÷ √2) in Python floats keeps them.
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    yield "gelu", {"tanh": False}, [x], torch.tensor(exact, dtype=torch.float64)


def attention(rng, dtype):
    for batch, l, s, d, e in [((2, 3), 4, 6, 5, 2), ((2,), 6, 4, 3, 7), ((), 3, 3, 2, 4), ((2,), 1, 5, 4, 3)]:
        q, k, v = random(rng, dtype, (*batch, l, d)), random(rng, dtype, (*batch, s, d)), random(rng, dtype, (*batch, s, e))
        mask = random(rng, dtype, (*batch, l, s))
        mask[..., 0] = np.where(rng.integers(0, 2, mask[..., 0].shape), -np.inf, 0)
        torch_q, torch_k, torch_v, torch_mask = (torch.from_numpy(np.ascontiguousarray(t)) for t in (q, k, v, mask))
        visible = torch.arange(s)[None, :] <= torch.arange(l)[:, None] + (s - l)
        future = torch.zeros(l, s, dtype=torch.float64).masked_fill(~visible, -torch.inf)
        for scale in (1 / math.sqrt(d), 1.5):
            for causal in (False, True):
                for masked in (False, True):
                    total = (future if causal else torch.zeros(l, s, dtype=torch.float64)) + (torch_mask if masked else 0)
                    scores = torch_q @ torch_k.transpose(-1, -2) * scale + total
                    result = torch.softmax(scores, -1) @ torch_v
                    attributes = {"scale": scale, "causal": causal}
                    yield "attention", attributes, [q, k, v] + ([mask] if masked else []), result


def cases():
    rng = np.random.default_rng(8)
    for dtype in FLOATS:
        for family in (lanes, norms, activations, attention):
            for n, (op, attributes, operands, result) in enumerate(family(rng, dtype)):
                operands = [(dtype, o) for o in operands]
                results = [(dtype, rounded(dtype, result.numpy()))]
                # f64 shows the roundings of sums; ±0 of a norm of one element are an ulp apart.
                ulps = 256 if dtype == "f64" else int(op == "layer_norm")
                yield case(f"{op}_{dtype}_{n}", op, attributes, operands, results, ulps)
