"""Windows: numpy reductions of explicit windows, and torch's max pooling for the indices."""

import numpy as np
import torch

from common import FORMATS, case, fit, int_range, random

NAMES = {"sum": np.sum, "product": np.prod, "max": np.max, "min": np.min}

# Shape, size, stride, dilation, low, high.
WINDOWS = [
    ((2, 3, 6, 7), [1, 1, 2, 3], [1, 1, 2, 2], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]),
    ((2, 3, 6, 7), [1, 1, 3, 3], [1, 1, 2, 1], [1, 1, 1, 2], [0, 0, 1, 2], [0, 0, 1, 1]),
    ((4, 5, 6), [2, 1, 3], [1, 2, 1], [2, 1, 1], [1, 0, 0], [0, 0, 2]),
    ((9,), [3], [1], [1], [-2], [-3]),
    # Windows that see nothing but padding.
    ((4, 3), [2, 1], [1, 1], [1, 1], [3, 0], [2, 1]),
    ((0, 3), [2, 2], [1, 1], [1, 1], [1, 0], [2, 0]),
    ((2, 4), [1, 5], [1, 1], [1, 1], [0, 0], [0, 0]),
    ((), [], [], [], [], []),
]


def lowest(dtype):
    return float("-inf") if dtype in FORMATS else int_range(dtype)[0]


def identity(dtype, name):
    highest = float("inf") if dtype in FORMATS else int_range(dtype)[1]
    return {"sum": 0, "product": 1, "max": lowest(dtype), "min": highest}[name]


def windows(shape, size, stride, dilation, low, high):
    """The shape of the result, and for each place the index grids of the elements that the window covers."""
    result = [
        (n + a + b - (k - 1) * d - 1) // s + 1 for n, k, s, d, a, b in zip(shape, size, stride, dilation, low, high)
    ]

    def covered(place):
        lists = []
        for n, k, s, d, a, o in zip(shape, size, stride, dilation, low, place):
            elements = o * s - a + d * np.arange(k)
            lists.append(elements[(elements >= 0) & (elements < n)])
        return np.ix_(*lists) if lists else ()

    return tuple(max(0, n) for n in result), covered


def reduce_windows(rng):
    for dtype in ["f16", "bf16", "f32", "f64", "i8", "u8", "i32", "u64", "bool"]:
        names = ["max", "min"] if dtype == "bool" else list(NAMES)
        for n, (shape, size, stride, dilation, low, high) in enumerate(WINDOWS):
            # f64 gets the digits of f16, so that sums are exact in any order.
            x = np.asarray(random(rng, "f16" if dtype == "f64" else dtype, shape))
            if dtype in FORMATS and x.size > 8:
                x.ravel()[5] = np.nan
            result_shape, covered = windows(shape, size, stride, dilation, low, high)
            attributes = {"size": size, "stride": stride, "dilation": dilation, "padding_low": low, "padding_high": high}
            for name in names:
                result = np.empty(result_shape, dtype=np.float64 if dtype in FORMATS else object)
                for place in np.ndindex(*result_shape):
                    elements = np.asarray(x[covered(place)])
                    empty = elements.size == 0
                    result[place] = identity(dtype, name) if empty else NAMES[name](elements)
                ulps = 8 if dtype == "f64" and name == "product" else 0
                operands, results = [(dtype, x)], [(dtype, fit(dtype, result))]
                yield case(f"{name}_{dtype}_{n}", "reduce_window", {"combine": name, **attributes}, operands, results, ulps)
            if dtype != "bool":
                result = np.full(result_shape, -1)
                for place in np.ndindex(*result_shape):
                    grid = covered(place)
                    elements = np.asarray(x[grid])
                    if elements.size:
                        places = np.arange(x.size).reshape(shape)[grid]
                        result[place] = np.ravel(places)[np.argmax(elements)]  # NaN is the largest, the first of equals wins.
                yield case(f"arg_{dtype}_{n}", "arg_max_window", attributes, [(dtype, x)], [("i64", result)])


def pooling(rng):
    """torch gives indices within a plane."""
    for kernel, stride, padding, dilation in [((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 2), (1, 2), (1, 1), (2, 1))]:
        x = rng.integers(-3, 4, (2, 3, 7, 8)).astype(np.float64)  # Ties are certain.
        values, indices = torch.nn.functional.max_pool2d(
            torch.from_numpy(x), kernel, stride, padding, dilation, return_indices=True
        )
        planes = np.arange(6).reshape(2, 3, 1, 1) * 56
        attributes = {
            "size": [1, 1, *kernel],
            "stride": [1, 1, *stride],
            "dilation": [1, 1, *dilation],
            "padding_low": [0, 0, *padding],
            "padding_high": [0, 0, *padding],
        }
        yield case("torch_max", "reduce_window", {"combine": "max", **attributes}, [("f32", x)], [("f32", values.numpy())])
        yield case("torch_indices", "arg_max_window", attributes, [("f32", x)], [("i64", indices.numpy() + planes)])


def cases():
    rng = np.random.default_rng(5)
    yield from reduce_windows(rng)
    yield from pooling(rng)
