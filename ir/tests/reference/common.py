"""Encoding of cases, and exact rounding to every element type.

A case is an op with attributes, operand tensors and the expected result tensors. Tensors are (dtype name, numpy array), where the array
holds values that the dtype represents exactly: float64 for floats, Python integers or an integer array for the rest.
"""

from fractions import Fraction
import json
import pathlib

import mpmath
import numpy as np

INTS = ["i4", "i8", "i16", "i32", "i64", "u4", "u8", "u16", "u32", "u64"]
FLOATS = ["f16", "bf16", "f32", "f64"]
# Significand bits with the hidden one, smallest normal exponent, largest exponent.
FORMATS = {"f16": (11, -14, 15), "bf16": (8, -126, 127), "f32": (24, -126, 127), "f64": (53, -1022, 1023)}

mpmath.mp.prec = 300


def bits(dtype):
    return 1 if dtype == "bool" else int(dtype.lstrip("biuf"))


def int_range(dtype):
    if dtype == "bool":
        return 0, 1
    n = bits(dtype)
    return (-(1 << n - 1), (1 << n - 1) - 1) if dtype[0] == "i" else (0, (1 << n) - 1)


def wrap(dtype, value):
    """Two's complement wrap-around."""
    low, high = int_range(dtype)
    return (int(value) - low) % (high - low + 1) + low


def round_exact(dtype, value):
    """The float of `dtype` nearest to a Fraction, mpmath number or float, ties to even, as a Python float."""
    if isinstance(value, (float, np.floating)):
        value = float(value)
        if value != value or value in (float("inf"), float("-inf")) or value == 0:
            return value
        value = Fraction(value)
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, mpmath.mpf):
        if mpmath.isnan(value) or mpmath.isinf(value) or value == 0:
            return float(value)
        sign, man, exp, _ = value._mpf_
        value = Fraction(int(man)) * Fraction(2) ** int(exp) * (-1) ** sign
    if value == 0:
        return 0.0
    precision, lowest, highest = FORMATS[dtype]
    magnitude = abs(Fraction(value))
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, lowest) - precision + 1)
    rounded = round(magnitude / unit) * unit  # Python rounds Fractions to even.
    if rounded >= Fraction(2) ** (highest + 1):
        rounded = float("inf")
    return float(rounded) * (-1 if value < 0 else 1)


def rounded(dtype, values):
    """An array with every element rounded to `dtype`."""
    values = np.asarray(values)
    flat = [round_exact(dtype, v) for v in values.ravel()]
    return np.array(flat, dtype=np.float64).reshape(values.shape)


def wrapped(dtype, values):
    values = np.asarray(values)
    flat = [wrap(dtype, v) for v in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)


def fit(dtype, values):
    """Values of `dtype`: floats rounded, integers wrapped, bool as they are."""
    if dtype in FORMATS:
        return rounded(dtype, values)
    return np.asarray(values, dtype=bool) if dtype == "bool" else wrapped(dtype, values)


def to_bytes(dtype, array):
    """Little-endian bytes; 4-bit integers one per byte, sign-extended."""
    array = np.asarray(array)
    flat = array.ravel()
    if dtype == "bf16":
        return (flat.astype(np.float64).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    if dtype in FORMATS:
        with np.errstate(over="ignore"):
            return flat.astype(np.float64).astype({"f16": "<f2", "f32": "<f4", "f64": "<f8"}[dtype]).tobytes()
    size = max(1, bits(dtype) // 8)
    return b"".join(int(v).to_bytes(size, "little", signed=dtype[0] == "i") for v in flat)


def tensor(dtype, array):
    # Lists of Python integers as objects: numpy turns those beyond i64 into floats.
    array = array if isinstance(array, np.ndarray) else np.array(array, dtype=None if dtype in FORMATS else object)
    return {"dtype": dtype, "shape": list(array.shape), "data": to_bytes(dtype, array).hex()}


def case(name, op, attributes, operands, results, ulps=0):
    """`ulps` is how far a float result may be from the expected one, in units of its last place."""
    return {
        "name": name,
        "op": op,
        "attributes": attributes,
        "operands": [tensor(*t) for t in operands],
        "results": [tensor(*t) for t in results],
        "ulps": ulps,
    }


def write(family, cases):
    """One case per line."""
    path = pathlib.Path(__file__).parent / "data" / f"{family}.json"
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{family}: {len(cases)} cases, {path.stat().st_size // 1024} KiB")


def random(rng, dtype, shape):
    """Random values: small numbers for floats, the whole range for integers."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in FORMATS:
        return rounded(dtype, rng.standard_normal(shape))
    low, high = int_range(dtype)
    flat = [int(rng.integers(0, 1 << 62)) * 4 + int(rng.integers(0, 4)) for _ in range(int(np.prod(shape)))]
    return np.array([low + v % (high - low + 1) for v in flat], dtype=object).reshape(shape)
