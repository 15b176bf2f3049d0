"""dot_general by einsum, conv by torch in f64 or, for integers, by einsum over explicit patches."""

import numpy as np
import torch

from common import FORMATS, case, fit, random


def operand(rng, dtype, shape):
    """Integers of the whole range, so that products overflow. f64 gets the digits of f16, so that sums are exact in any order."""
    return random(rng, "f16" if dtype == "f64" else dtype, shape)


# Einsum with lists of batch and contracted dimensions, chosen by hand, and shapes.
DOTS = [
    ("ij,jk->ik", [], [], [1], [0], (3, 4), (4, 5)),
    ("ij,kj->ik", [], [], [1], [1], (3, 7), (2, 7)),
    ("ji,jk->ik", [], [], [0], [0], (6, 3), (6, 2)),
    ("bij,bjk->bik", [0], [0], [2], [1], (2, 3, 4), (2, 4, 5)),
    ("abij,jbka->baik", [1, 0], [1, 3], [3], [0], (2, 3, 4, 5), (5, 3, 2, 2)),
    ("ijk,kjl->il", [], [], [1, 2], [1, 0], (2, 3, 4), (4, 3, 5)),
    ("i,j->ij", [], [], [], [], (3,), (4,)),
    ("i,i->", [], [], [0], [0], (5,), (5,)),
    ("i,i->i", [0], [0], [], [], (5,), (5,)),
    ("ij,jk->ik", [], [], [1], [0], (2, 0), (0, 3)),
    ("ij,jk->ik", [], [], [1], [0], (0, 4), (4, 3)),
    (",->", [], [], [], [], (), ()),
]


def dots(rng):
    for dtype in ["f16", "bf16", "f32", "f64", "i8", "u8", "i32", "i64", "u4"]:
        for n, (formula, lhs_batch, rhs_batch, lhs_contract, rhs_contract, a_shape, b_shape) in enumerate(DOTS):
            a, b = operand(rng, dtype, a_shape), operand(rng, dtype, b_shape)
            attributes = {
                "lhs_batch": lhs_batch,
                "rhs_batch": rhs_batch,
                "lhs_contract": lhs_contract,
                "rhs_contract": rhs_contract,
            }
            result = fit(dtype, np.einsum(formula, a, b))
            yield case(f"dot_general_{dtype}_{n}", "dot_general", attributes, [(dtype, a), (dtype, b)], [(dtype, result)])


def spread(x, dilation):
    """base_dilation − 1 zeros between neighbours of the trailing dimensions."""
    shape = list(x.shape[:2]) + [max(0, (n - 1) * d + 1) for n, d in zip(x.shape[2:], dilation)]
    result = np.zeros(shape, dtype=x.dtype)
    result[(slice(None), slice(None)) + tuple(slice(None, None, d) for d in dilation)] = x
    return result


def adjust(x, low, high):
    """Padding with zeros; negative amounts cut."""
    x = np.pad(x, [(0, 0), (0, 0)] + [(max(a, 0), max(b, 0)) for a, b in zip(low, high)])
    cut = [slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(low, high, x.shape[2:])]
    return x[(slice(None), slice(None)) + tuple(cut)]


def conv_by_patches(x, kernel, stride, dilation, groups):
    """Standard order, no padding; works on Python integers."""
    spatial = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel.shape[2:], stride, dilation)]
    result = np.zeros([x.shape[0], kernel.shape[0]] + spatial, dtype=x.dtype)
    per_group, out_per_group = kernel.shape[1], kernel.shape[0] // groups
    for place in np.ndindex(*spatial):
        patch = x[(slice(None), slice(None)) + tuple(
            slice(o * s, o * s + (k - 1) * d + 1, d) for o, s, k, d in zip(place, stride, kernel.shape[2:], dilation)
        )]
        for g in range(groups):
            part = patch[:, g * per_group : (g + 1) * per_group]
            weights = kernel[g * out_per_group : (g + 1) * out_per_group]
            axes = list(range(1, x.ndim))
            result[(slice(None), slice(g * out_per_group, (g + 1) * out_per_group)) + place] = np.tensordot(part, weights, (axes, axes))
    return result


def conv_by_torch(x, kernel, stride, dilation, groups):
    function = [None, torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d][x.ndim - 2]
    x, kernel = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(kernel))
    return function(x, kernel, None, stride, 0, dilation, groups).numpy()


def conv(dtype, x, kernel, stride, low, high, base, dilation, groups, batch_groups):
    """Standard order."""
    x = adjust(spread(x, base), low, high)
    if dtype not in FORMATS:
        x = np.frompyfunc(int, 1, 1)(x)  # np.pad adds numpy's integers, which overflow.
    plain = conv_by_torch if dtype in FORMATS and x.ndim > 2 else conv_by_patches
    if batch_groups == 1:
        return plain(x, kernel, stride, dilation, groups)
    parts = zip(np.split(x, batch_groups), np.split(kernel, batch_groups))
    return np.concatenate([plain(part, weights, stride, dilation, 1) for part, weights in parts], 1)


def order(names, sample):
    """The permutation from the standard order to the order that `names` describes."""
    standard = sample + "0123456789"[: len(names) - 2]
    return [standard.index(letter) for letter in names]


# Order, input and kernel shapes in standard order, stride, low, high, base dilation, kernel dilation, feature groups, batch groups.
CONVS = [
    ("bf01_oi01_bf01", (2, 3, 6, 5), (4, 3, 3, 2), [1, 1], [0, 0], [0, 0], [1, 1], [1, 1], 1, 1),
    ("bf01_oi01_bf01", (1, 4, 7, 9), (6, 2, 3, 3), [2, 3], [1, 2], [0, 1], [1, 1], [1, 2], 2, 1),
    ("b01f_01io_b01f", (2, 3, 6, 5), (4, 3, 3, 2), [1, 2], [1, 0], [1, 1], [1, 1], [1, 1], 1, 1),
    ("f0b1_1o0i_1bf0", (2, 3, 6, 5), (4, 3, 3, 2), [2, 1], [-1, 1], [2, -2], [1, 1], [1, 2], 1, 1),
    ("bf01_oi01_bf01", (2, 3, 4, 5), (2, 3, 3, 2), [1, 1], [2, 1], [2, 1], [2, 3], [1, 1], 1, 1),
    ("bf01_io01_bf10", (1, 2, 5, 4), (3, 2, 2, 3), [3, 2], [-2, 4], [1, -3], [3, 2], [2, 1], 1, 1),
    ("bf01_oi01_bf01", (6, 3, 5, 4), (4, 3, 2, 2), [1, 1], [0, 1], [1, 0], [1, 1], [1, 1], 1, 2),
    ("fb01_oi01_bf01", (3, 2, 5, 4), (9, 2, 2, 2), [1, 2], [0, 1], [1, 0], [2, 1], [1, 1], 1, 3),
    ("bf01_oi01_bf01", (2, 5, 6, 6), (5, 1, 3, 3), [2, 2], [1, 1], [1, 1], [1, 1], [1, 1], 5, 1),
    ("bf01_oi01_bf01", (2, 3, 4, 4), (6, 1, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1], [1, 1], 3, 1),
    ("bf0_oi0_bf0", (2, 3, 9), (4, 3, 4), [2], [3], [0], [1], [2], 1, 1),
    ("bf012_oi012_bf012", (1, 2, 4, 5, 3), (3, 2, 2, 3, 2), [1, 2, 1], [1, 0, 1], [0, 1, 0], [1, 1, 2], [1, 1, 1], 1, 1),
    ("2b0f1_o10i2_f210b", (2, 2, 3, 4, 5), (3, 2, 2, 1, 3), [1, 1, 2], [0, 1, 1], [1, -1, 0], [1, 2, 1], [2, 1, 1], 1, 1),
    ("bf_oi_bf", (3, 4), (5, 4), [], [], [], [], [], 1, 1),
    ("fb_io_bf", (4, 6), (6, 2), [], [], [], [], [], 3, 1),
    # Nothing but padding, and nothing at all.
    ("bf01_oi01_bf01", (1, 2, 0, 3), (2, 2, 2, 2), [1, 1], [2, 0], [1, 0], [2, 1], [1, 1], 1, 1),
    ("b01f_i01o_b01f", (2, 0, 3, 3), (4, 0, 2, 2), [1, 1], [0, 0], [0, 0], [1, 1], [1, 1], 1, 1),
    ("bf01_oi01_bf01", (2, 2, 3, 3), (2, 2, 4, 2), [1, 1], [0, 0], [0, 0], [1, 1], [1, 1], 1, 1),
]


def convs(rng):
    for dtype in ["f16", "bf16", "f32", "f64", "i8", "u8", "i32", "u64"]:
        for n, (orders, x_shape, kernel_shape, stride, low, high, base, dilation, groups, batch_groups) in enumerate(CONVS):
            x, kernel = operand(rng, dtype, x_shape), operand(rng, dtype, kernel_shape)
            empty = 0 in x.shape or any(
                (max(0, (n - 1) * b + 1) + a + c) < (k - 1) * d + 1
                for n, k, a, b, c, d in zip(x.shape[2:], kernel.shape[2:], low, base, high, dilation)
            )
            if empty:
                exact = conv_empty(x, kernel, stride, low, high, base, dilation)
            else:
                exact = conv(dtype, x, kernel, stride, low, high, base, dilation, groups, batch_groups)
            result = fit(dtype, exact)
            input_order, kernel_order, output_order = orders.split("_")
            attributes = {
                "dimensions": orders,
                "stride": stride,
                "padding_low": low,
                "padding_high": high,
                "base_dilation": base,
                "kernel_dilation": dilation,
                "feature_groups": groups,
                "batch_groups": batch_groups,
            }
            operands = [(dtype, x.transpose(order(input_order, "bf"))), (dtype, kernel.transpose(order(kernel_order, "oi")))]
            results = [(dtype, result.transpose(order(output_order, "bf")))]
            yield case(f"conv_{dtype}_{n}", "conv", attributes, operands, results)


def conv_empty(x, kernel, stride, low, high, base, dilation):
    """Zeros of the output's shape."""
    extents = [max(0, (n - 1) * b + 1) + a + c for n, b, a, c in zip(x.shape[2:], base, low, high)]
    spatial = [max(0, (n - (k - 1) * d - 1) // s + 1) for n, k, d, s in zip(extents, kernel.shape[2:], dilation, stride)]
    return np.zeros([x.shape[0], kernel.shape[0]] + spatial)


def cases():
    rng = np.random.default_rng(4)
    yield from dots(rng)
    yield from convs(rng)
