"""Reductions, arg reductions and running reductions, by numpy."""

import numpy as np

from common import FLOATS, FORMATS, INTS, case, fit, random
from window import NAMES, identity


def operand(rng, dtype, shape):
    """f64 gets the digits of f16, so that sums are exact in any order."""
    return random(rng, "f16" if dtype == "f64" else dtype, shape)


def reductions(rng):
    for dtype in INTS + FLOATS + ["bool"]:
        for name in ["max", "min"] if dtype == "bool" else NAMES:
            ulps = 16 if dtype == "f64" and name == "product" else 0
            for n, (shape, axes) in enumerate(
                [((3, 4, 5), [1]), ((3, 4, 5), [0, 2]), ((3, 4, 5), [0, 1, 2]), ((2, 3), []), ((2, 0, 3), [1]), ((0, 3), [1]), ((), [])]
            ):
                x = operand(rng, dtype, shape)
                if dtype in FORMATS and len(shape) == 3 and x.size:
                    x[1, 2, 3] = np.nan
                if x.size == 0:
                    kept = tuple(n for d, n in enumerate(shape) if d not in axes)
                    result = np.full(kept, identity(dtype, name), dtype=object)
                else:
                    result = np.asarray(NAMES[name](x, axis=tuple(axes)) if axes else x)
                result = fit(dtype, result)
                yield case(f"{name}_{dtype}_{n}", "reduce", {"combine": name, "axes": axes}, [(dtype, x)], [(dtype, result)], ulps)


def half_sums():
    """Sums whose partial sums f16 or f32 can't hold: accumulation must be wider."""
    x = np.array([2048.0] + [1.0] * 8)
    yield case("wide_f16", "reduce", {"combine": "sum", "axes": [0]}, [("f16", x)], [("f16", np.array(2056.0))])
    x = np.array([60000.0, 60000.0, -60000.0])
    yield case("overflow_f16", "reduce", {"combine": "sum", "axes": [0]}, [("f16", x)], [("f16", np.array(60000.0))])
    x = np.array([2.0**24] + [1.0] * 9)
    yield case("wide_f32", "reduce", {"combine": "sum", "axes": [0]}, [("f32", x)], [("f32", np.array(2.0**24 + 8))])


def args(rng):
    for dtype in INTS + FLOATS:
        few = np.array([0, 1, 1, 2, 2, 3])
        for n, (shape, axis) in enumerate([((7,), 0), ((3, 6, 4), 1), ((3, 6, 4), 2), ((2, 0, 5), 2), ((4, 1), 1)]):
            x = fit(dtype, few[rng.integers(0, 6, shape)])
            if dtype in FORMATS and x.size > 20:
                x.ravel()[[3, 11, 14]] = np.nan
                x.ravel()[5] = -0.0
            compared = x.astype(np.float64)
            for largest in (True, False):
                find = np.argmax if largest else np.argmin
                for last in (True, False):
                    if last:
                        result = shape[axis] - 1 - find(np.flip(compared, axis), axis)
                    else:
                        result = find(compared, axis)
                    attributes = {"largest": largest, "axis": axis, "last": last}
                    name = f"arg_{dtype}_{n}_{largest}_{last}"
                    yield case(name, "arg_reduce", attributes, [(dtype, x)], [("i64", np.asarray(result))])


RUNNING = {
    "sum": np.cumsum,
    "product": np.cumprod,
    "max": np.maximum.accumulate,
    "min": np.minimum.accumulate,
}


def running(dtype, name, x, axis, exclusive, reverse):
    x = np.flip(x, axis) if reverse else x
    if exclusive and x.shape[axis]:
        first = np.full_like(x.take([0], axis), identity(dtype, name))
        x = np.concatenate([first, x.take(range(x.shape[axis] - 1), axis)], axis)
    result = RUNNING[name](x, axis=axis)
    return np.flip(result, axis) if reverse else result


def cumulative(rng):
    for dtype in INTS + FLOATS:
        for name in RUNNING:
            for n, (shape, axis) in enumerate([((6,), 0), ((2, 4, 3), 1), ((3, 0), 1)]):
                x = operand(rng, dtype, shape)
                if dtype in FORMATS and len(shape) == 3:
                    x[1, 2, 0] = np.nan
                for exclusive in (True, False):
                    for reverse in (True, False):
                        result = fit(dtype, running(dtype, name, x, axis, exclusive, reverse))
                        attributes = {"combine": name, "axis": axis, "exclusive": exclusive, "reverse": reverse}
                        ulps = 8 if dtype == "f64" and name == "product" else 0
                        label = f"cumulative_{name}_{dtype}_{n}_{exclusive}_{reverse}"
                        yield case(label, "cumulative", attributes, [(dtype, x)], [(dtype, result)], ulps)


def cases():
    rng = np.random.default_rng(6)
    yield from reductions(rng)
    yield from half_sums()
    yield from args(rng)
    yield from cumulative(rng)
