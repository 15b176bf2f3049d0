"""Gathers and scatters, by numpy's take and ufunc.at."""

import numpy as np

from common import FORMATS, case, fit, random

DTYPES = ["bool", "i4", "u8", "f16", "f32", "u64"]


def gathers(rng, dtype):
    x = random(rng, dtype, (3, 5, 4))
    for axis in range(3):
        for shape in [(), (2,), (2, 3), (0,)]:
            indices = rng.integers(0, x.shape[axis], shape)
            yield "gather", {"axis": axis}, [x, ("i64", indices)], np.take(x, indices, axis)
        shape = [2, 3, 4]
        shape[axis] = 6
        indices = rng.integers(0, x.shape[axis], shape)
        # Where the indices are smaller than x, only the leading part of x is seen.
        part = x[tuple(slice(None) if d == axis else slice(n) for d, n in enumerate(shape))]
        picked = np.take_along_axis(part, indices, axis)
        yield "gather_elements", {"axis": axis}, [x, ("u8", indices)], picked
    coordinates = np.stack([rng.integers(0, n, (2, 3)) for n in x.shape], -1)
    for k in range(4):
        picked = x[tuple(np.moveaxis(coordinates[..., :k], -1, 0))] if k else np.broadcast_to(x, (2, 3) + x.shape)
        yield "gather_nd", {"batch_dimensions": 0}, [x, ("i32", coordinates[..., :k])], picked
    batched = rng.integers(0, 4, (3, 2, 2))
    picked = np.stack([x[b][tuple(batched[b].T)] for b in range(3)])
    yield "gather_nd", {"batch_dimensions": 1}, [x, ("i64", batched)], picked
    batched = rng.integers(0, 4, (3, 5, 1))
    picked = np.take_along_axis(x, batched, 2)[..., 0]
    yield "gather_nd", {"batch_dimensions": 2}, [x, ("i64", batched)], picked


def assign(x, places, updates):
    for place, update in zip(zip(*[p.ravel() for p in places]), updates.ravel()):
        x[place] = update


COMBINE = {"add": np.add.at, "mul": np.multiply.at, "max": np.maximum.at, "min": np.minimum.at}


def combine(dtype, name, x, places, updates):
    result = x.copy() if dtype != "bool" else x.astype(bool)
    if name == "replace":
        assign(result, places, updates)
    else:
        COMBINE[name](result, tuple(p.ravel() for p in places), updates.ravel())
    return fit(dtype, result)


def scatters(rng, dtype):
    x = random(rng, dtype, (4, 5, 3))
    if dtype in FORMATS:
        x[1, 2, 0] = np.nan
    names = ["replace", "max", "min"] + ([] if dtype == "bool" else ["add", "mul"])
    for name in names:
        for axis in range(3):
            # Fewer places than indices: duplicates are certain.
            shape = [2, 3, 2]
            shape[axis] = 9
            indices = rng.integers(0, x.shape[axis], shape)
            updates = random(rng, dtype, shape)
            places = list(np.indices(shape))
            places[axis] = indices
            result = combine(dtype, name, x, places, updates)
            operands = [x, ("i64", indices), updates]
            yield "scatter_elements", {"axis": axis, "combine": name}, operands, result
        for k in range(4):
            coordinates = np.stack([rng.integers(0, min(n, 3), (2, 4)) for n in x.shape], -1)[..., :k]
            rest = x.shape[k:]
            updates = random(rng, dtype, (2, 4) + rest)
            grid = np.indices((2, 4) + rest)
            named = [np.broadcast_to(coordinates[..., d].reshape((2, 4) + (1,) * len(rest)), updates.shape) for d in range(k)]
            result = combine(dtype, name, x, named + list(grid[2:]), updates)
            yield "scatter_nd", {"combine": name}, [x, ("i64", coordinates), updates], result


def cases():
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        for family in (gathers, scatters):
            for n, (op, attributes, operands, result) in enumerate(family(rng, dtype)):
                operands = [o if isinstance(o, tuple) else (dtype, o) for o in operands]
                ulps = 1 if dtype == "f64" else 0
                yield case(f"{op}_{dtype}_{n}", op, attributes, operands, [(dtype, np.asarray(result))], ulps)
