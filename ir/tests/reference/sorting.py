"""Sorts and top-k, by torch's stable sort, which counts NaN as largest."""

import numpy as np
import torch

from common import FLOATS, FORMATS, INTS, case, fit, int_range


def ordered(dtype, x, axis, descending):
    if dtype in FORMATS:
        values, indices = torch.sort(torch.from_numpy(x.astype(np.float64)), dim=axis, descending=descending, stable=True)
        indices = indices.numpy()
    else:
        # Python integers: ties are kept in order by the index as a second key.
        keys = -x if descending else x
        indices = np.argsort(keys, axis=axis, kind="stable")
    return np.take_along_axis(x, indices, axis), indices


def cases():
    rng = np.random.default_rng(7)
    for dtype in INTS + FLOATS:
        few = [-2, -1, 0, 0, 1, 3] if dtype in FORMATS or int_range(dtype)[0] < 0 else [0, 1, 2, 3, 5]
        for n, (shape, axis) in enumerate([((9,), 0), ((3, 5, 4), 1), ((2, 6), 1), ((2, 0, 3), 1), ((0, 4), 1)]):
            x = fit(dtype, np.array(few)[rng.integers(0, len(few), shape)])
            if dtype in FORMATS and n in (1, 2):
                x.ravel()[[1, 4, 5, 10]] = [np.nan, -0.0, np.inf, np.nan]
                x.ravel()[7] = -np.inf
            elif dtype not in FORMATS and x.size:
                x.ravel()[2:4] = int_range(dtype)
            for descending in (False, True):
                values, indices = ordered(dtype, x, axis, descending)
                results = [(dtype, values), ("i64", indices)]
                name = f"sort_{dtype}_{n}_{descending}"
                yield case(name, "sort", {"axis": axis, "descending": descending}, [(dtype, x)], results)
                for k in {0, min(2, shape[axis]), shape[axis]}:
                    results = [(dtype, values.take(range(k), axis)), ("i64", indices.take(range(k), axis))]
                    attributes = {"axis": axis, "k": k, "largest": descending}
                    yield case(f"top_{dtype}_{n}_{k}_{descending}", "top_k", attributes, [(dtype, x)], results)
