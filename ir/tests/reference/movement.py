"""Elements in other places, by numpy."""

import numpy as np

from common import case, random

DTYPES = ["bool", "i4", "u16", "bf16", "f64"]


def pad(x, value, low, high, interior):
    """Zeros between elements by a strided assignment, then positive amounts by np.pad and negative ones by slices."""
    spread = np.full([max(0, (n - 1) * (i + 1) + 1) for n, i in zip(x.shape, interior)], value, dtype=x.dtype)
    spread[tuple(slice(None, None, i + 1) for i in interior)] = x
    widths = [(max(a, 0), max(b, 0)) for a, b in zip(low, high)]
    padded = np.pad(spread, widths, constant_values=value)
    cut = [slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(low, high, padded.shape)]
    return padded[tuple(cut)]


def shapes(rng, dtype):
    x = random(rng, dtype, (3, 4, 5))
    yield "reshape", {"shape": [2, 30]}, [x], x.reshape(2, 30)
    yield "reshape", {"shape": [60, 1]}, [x], x.reshape(60, 1)
    for permutation in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]]:
        yield "transpose", {"permutation": permutation}, [x], x.transpose(permutation)
    for shape, dimensions, operand, view in [
        ([2, 3, 4, 5], [1, 2, 3], x, x),
        ([3, 4, 7, 5], [0, 1, 3], x, x[:, :, None, :]),
        ([3, 6, 5], [0, 1, 2], x[:, :1], x[:, :1]),
        ([5, 2], [0], x[0, 0], x[0, 0][:, None]),
        ([2, 2], [], x[0, 0, 0], x[0, 0, 0]),
    ]:
        operand = np.array(operand, dtype=x.dtype)
        yield "broadcast", {"shape": shape, "dimensions": dimensions}, [operand], np.broadcast_to(view, shape)
    for axes in [[], [1], [0, 2], [2, 1, 0]]:
        yield "reverse", {"axes": axes}, [x], np.flip(x, axes) if axes else x
    yield "relayout", {}, [x], x
    for axis in range(3):
        parts = np.split(x, [1, 2], axis) + [x.take([], axis)]
        yield "concat", {"axis": axis}, parts, x
    yield "concat", {"axis": 1}, [x], x


def slices(rng, dtype):
    x = random(rng, dtype, (5, 6, 7))
    for start, limit, stride in [
        ([0, 0, 0], [5, 6, 7], [1, 1, 1]),
        ([1, 2, 0], [4, 6, 7], [1, 2, 3]),
        ([4, 5, 6], [5, 6, 7], [9, 1, 1 << 40]),
        ([2, 3, 1], [2, 4, 6], [1, 1, 4]),
        ([5, 0, 0], [5, 6, 1], [1, 5, 1]),
    ]:
        picked = x[tuple(slice(*s) for s in zip(start, limit, stride))]
        yield "slice", {"start": start, "limit": limit, "stride": stride}, [x], picked
    value = random(rng, dtype, ())
    for low, high, interior in [
        ([0, 0, 0], [0, 0, 0], [0, 0, 0]),
        ([1, 0, 2], [0, 3, 1], [0, 0, 0]),
        ([-1, 2, 0], [0, -3, -2], [0, 0, 0]),
        ([0, 1, -2], [2, -1, 3], [1, 0, 3]),
        ([-2, -6, 0], [-3, 3, 0], [0, 0, 0]),
        ([3, 0, 0], [-4, 0, -7], [0, 2, 0]),
    ]:
        attributes = {"low": low, "high": high, "interior": interior}
        yield "pad", attributes, [x, value], pad(x, value, low, high, interior)
    empty = x[:, :0]
    attributes = {"low": [0, 1, 0], "high": [0, 1, -5], "interior": [0, 4, 1]}
    yield "pad", attributes, [empty, value], pad(empty, value, *attributes.values())


def dynamic(rng, dtype):
    x = random(rng, dtype, (5, 6))
    for starts in [[0, 0], [2, 3], [4, 5], [-9, 1 << 60]]:
        a, b = (min(max(s, 0), limit) for s, limit in zip(starts, (3, 2)))
        yield "dynamic_slice", {"shape": [2, 4]}, [x, ("i64", starts)], x[a : a + 2, b : b + 4]
        update, updated = random(rng, dtype, (2, 4)), x.copy()
        updated[a : a + 2, b : b + 4] = update
        yield "dynamic_update_slice", {}, [x, update, ("i64", starts)], updated
    yield "dynamic_slice", {"shape": [0, 6]}, [x, ("i64", [7, 0])], x[:0]
    yield "dynamic_slice", {"shape": []}, [x[0, 0], ("i64", np.zeros(0))], x[0, 0]


def cases():
    rng = np.random.default_rng(2)
    for dtype in DTYPES:
        for family in (shapes, slices, dynamic):
            for n, (op, attributes, operands, result) in enumerate(family(rng, dtype)):
                operands = [o if isinstance(o, tuple) else (dtype, np.asarray(o)) for o in operands]
                yield case(f"{op}_{dtype}_{n}", op, attributes, operands, [(dtype, np.asarray(result))])
