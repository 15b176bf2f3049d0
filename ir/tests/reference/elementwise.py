"""Unary and binary functions, comparisons, select, casts, quantisation. Mathematical functions come from mpmath with 300 bits."""

from fractions import Fraction
import math

import mpmath
import numpy as np

from common import FLOATS, FORMATS, INTS, bits, case, fit, int_range, random, round_exact, rounded, wrap

INF, NAN = float("inf"), float("nan")
SPECIAL = [0.0, -0.0, INF, -INF, NAN]


def values_of(dtype, rng, count=24):
    """Special values, small, large, subnormal and random ones."""
    precision, lowest, highest = FORMATS[dtype]
    ordinary = [1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -3.75, 10.25, -20.0, 88.0, -103.5, 1e-3, -1e-4, 2.0 ** -20]
    extreme = [2.0 ** (lowest - precision + 1), -(2.0 ** lowest), (2 - 2.0 ** (1 - precision)) * 2.0 ** highest]
    chosen = SPECIAL + ordinary + extreme + list(rng.uniform(-1, 1, count // 2)) + list(rng.uniform(-9, 9, count // 2))
    return rounded(dtype, np.array(chosen))


def inside(low, high):
    return lambda f: lambda x: f(x) if low <= x <= high else mpmath.nan


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


# Name → (function on mpmath numbers, values at +0, −0, ∞, −∞ by C17 annex F).
MATHEMATICAL = {
    "reciprocal": (lambda x: 1 / x, [INF, -INF, 0.0, -0.0]),
    "sqrt": (inside(0, INF)(mpmath.sqrt), [0.0, -0.0, INF, NAN]),
    "rsqrt": (inside(0, INF)(lambda x: 1 / mpmath.sqrt(x)), [INF, -INF, 0.0, NAN]),
    "exp": (mpmath.exp, [1.0, 1.0, INF, 0.0]),
    "expm1": (mpmath.expm1, [0.0, -0.0, INF, -1.0]),
    "log": (inside(0, INF)(mpmath.log), [-INF, -INF, INF, NAN]),
    "log1p": (lambda x: mpmath.log1p(x) if x > -1 else (-mpmath.inf if x == -1 else mpmath.nan), [0.0, -0.0, INF, NAN]),
    "sin": (mpmath.sin, [0.0, -0.0, NAN, NAN]),
    "cos": (mpmath.cos, [1.0, 1.0, NAN, NAN]),
    "tan": (mpmath.tan, [0.0, -0.0, NAN, NAN]),
    "asin": (inside(-1, 1)(mpmath.asin), [0.0, -0.0, NAN, NAN]),
    "acos": (inside(-1, 1)(mpmath.acos), [math.pi / 2, math.pi / 2, NAN, NAN]),
    "atan": (mpmath.atan, [0.0, -0.0, math.pi / 2, -math.pi / 2]),
    "sinh": (mpmath.sinh, [0.0, -0.0, INF, -INF]),
    "cosh": (mpmath.cosh, [1.0, 1.0, INF, INF]),
    "tanh": (mpmath.tanh, [0.0, -0.0, 1.0, -1.0]),
    "asinh": (mpmath.asinh, [0.0, -0.0, INF, -INF]),
    "acosh": (inside(1, INF)(mpmath.acosh), [NAN, NAN, INF, NAN]),
    "atanh": (
        lambda x: mpmath.sign(x) * mpmath.inf if abs(x) == 1 else (mpmath.atanh(x) if abs(x) < 1 else mpmath.nan),
        [0.0, -0.0, NAN, NAN],
    ),
    "erf": (mpmath.erf, [0.0, -0.0, 1.0, -1.0]),
    "sigmoid": (sigmoid, [0.5, 0.5, 1.0, 0.0]),
}


def apply_mathematical(name, dtype, x):
    function, special = MATHEMATICAL[name]
    if x != x:
        return NAN
    if x == 0 or x in (INF, -INF):
        at = (0 if x == 0 else 2) + (math.copysign(1, x) < 0)
        return round_exact(dtype, special[at])
    if abs(x) > 1e4 and name in ("exp", "expm1", "sinh", "cosh", "sigmoid"):
        limits = {"exp": (INF, 0.0), "expm1": (INF, -1.0), "sinh": (INF, -INF), "cosh": (INF, INF), "sigmoid": (1.0, 0.0)}
        return limits[name][x < 0]
    return round_exact(dtype, function(mpmath.mpf(x)))


EXACT = {
    "neg": lambda x: -x,
    "abs": abs,
    "sign": lambda x: NAN if x != x else float(np.sign(x)) + 0.0,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
}


def unary(rng):
    for dtype in FLOATS:
        x = values_of(dtype, rng)
        for name in MATHEMATICAL:
            result = np.array([apply_mathematical(name, dtype, float(v)) for v in x])
            yield case(f"{name}_{dtype}", name, {}, [(dtype, x)], [(dtype, result)], 2 if dtype == "f64" else 0)
        for name, function in EXACT.items():
            yield case(f"{name}_{dtype}", name, {}, [(dtype, x)], [(dtype, np.array([function(v) for v in x]))])
        yield case(f"is_nan_{dtype}", "is_nan", {}, [(dtype, x)], [("bool", np.isnan(x))])
        yield case(f"is_inf_{dtype}", "is_inf", {}, [(dtype, x)], [("bool", np.isinf(x))])
    for dtype in INTS:
        x = edge_integers(dtype)
        functions = {
            "neg": lambda v: -v,
            "abs": abs,
            "sign": lambda v: (v > 0) - (v < 0),
            "not": lambda v: -1 - v,
            "popcount": lambda v: (v % (1 << bits(dtype))).bit_count(),
        }
        for name, function in functions.items():
            result = [wrap(dtype, function(v)) for v in x]
            yield case(f"{name}_{dtype}", name, {}, [(dtype, x)], [(dtype, result)])
    x = np.array([True, False])
    yield case("not_bool", "not", {}, [("bool", x)], [("bool", ~x)])


def edge_integers(dtype):
    low, high = int_range(dtype)
    middle = [v for v in (-7, -2, -1, 0, 1, 2, 3, 5, 100) if low < v < high]
    return [low, low + 1] + middle + [high - 1, high]


def few_integers(dtype):
    low, high = int_range(dtype)
    return [low] + [v for v in (-3, -1, 0, 1, 2, 7) if low < v < high] + [high]


def truncated(x, y):
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def integer_power(x, y):
    if y >= 0:
        return pow(x, y, 1 << 64) if x >= 0 else (-1) ** (y % 2) * pow(-x, y, 1 << 64)
    return 0 if x == 0 else int(Fraction(1, abs(x)) == 1) * (1 if x > 0 or y % 2 == 0 else -1)


def shift_right(x, y, n):
    return x >> y if 0 <= y < n else (-1 if x < 0 else 0)


INTEGER_BINARY = {
    "add": lambda x, y, n: x + y,
    "sub": lambda x, y, n: x - y,
    "mul": lambda x, y, n: x * y,
    "div": lambda x, y, n: truncated(x, y) if y else 0,
    "rem": lambda x, y, n: x - y * truncated(x, y) if y else 0,
    "mod": lambda x, y, n: x % y if y else 0,
    "pow": lambda x, y, n: integer_power(x, y),
    "max": lambda x, y, n: max(x, y),
    "min": lambda x, y, n: min(x, y),
    "and": lambda x, y, n: x & y,
    "or": lambda x, y, n: x | y,
    "xor": lambda x, y, n: x ^ y,
    "shl": lambda x, y, n: x << y if 0 <= y < n else 0,
    "shr": shift_right,
}


def float_max(x, y, largest):
    if x != x or y != y:
        return NAN
    if x == y:  # −0 is below +0.
        negative = [math.copysign(1, v) < 0 for v in (x, y)]
        return (y if negative[0] else x) if largest else (x if negative[0] else y)
    return max(x, y) if largest else min(x, y)


def exact(function):
    """A function of two rationals; anything else goes to numpy in f64, which follows IEEE 754."""

    def apply(dtype, x, y, fallback):
        if all(map(math.isfinite, (x, y))) and x != 0 and y != 0:
            value = function(Fraction(x), Fraction(y))
            return fallback(x, y) if value == 0 else round_exact(dtype, value)
        return round_exact(dtype, float(fallback(x, y)))

    return apply


def power(dtype, x, y):
    if all(map(math.isfinite, (x, y))) and x > 0 and y != 0 and x != 1 and abs(y * math.log2(x)) < 5000:
        return round_exact(dtype, mpmath.power(mpmath.mpf(x), mpmath.mpf(y)))
    return round_exact(dtype, float(np.power(np.float64(x), np.float64(y))))


def angle(dtype, y, x):
    if math.isfinite(x) and math.isfinite(y) and x != 0 and y != 0:
        return round_exact(dtype, mpmath.atan2(mpmath.mpf(y), mpmath.mpf(x)))
    return round_exact(dtype, float(np.arctan2(y, x)))


RATIONAL = {
    "add": (exact(lambda x, y: x + y), np.add),
    "sub": (exact(lambda x, y: x - y), np.subtract),
    "mul": (exact(lambda x, y: x * y), np.multiply),
    "div": (exact(lambda x, y: x / y), np.divide),
    "rem": (exact(lambda x, y: x - y * int(x / y)), np.fmod),
    "mod": (exact(lambda x, y: x - y * (x // y)), np.mod),
}


def binary(rng):
    for dtype in INTS:
        edges = few_integers(dtype)
        x, y = [a for a in edges for _ in edges], [b for _ in edges for b in edges]
        for name, function in INTEGER_BINARY.items():
            result = [wrap(dtype, function(a, b, bits(dtype))) for a, b in zip(x, y)]
            yield case(f"{name}_{dtype}", name, {}, [(dtype, x), (dtype, y)], [(dtype, result)])
    x, y = np.array([0, 0, 1, 1], dtype=bool), np.array([0, 1, 0, 1], dtype=bool)
    for name, result in {"and": x & y, "or": x | y, "xor": x ^ y, "max": x | y, "min": x & y}.items():
        yield case(f"{name}_bool", name, {}, [("bool", x), ("bool", y)], [("bool", result)])
    for dtype in FLOATS:
        few = list(rounded(dtype, SPECIAL + [1.0, -1.0, 2.0, -3.0, 0.3, -7.5, 60000.0, 1e-7]))
        more = rng.standard_normal((2, 30)) * 10
        x = rounded(dtype, [a for a in few for _ in few] + list(more[0]))
        y = rounded(dtype, [b for _ in few for b in few] + list(more[1]))
        operands = [(dtype, x), (dtype, y)]
        for name, (function, fallback) in RATIONAL.items():
            with np.errstate(all="ignore"):
                result = [function(dtype, float(a), float(b), fallback) for a, b in zip(x, y)]
            yield case(f"{name}_{dtype}", name, {}, operands, [(dtype, result)])
        for name, function in {"pow": power, "atan2": angle}.items():
            with np.errstate(all="ignore"):
                result = [function(dtype, float(a), float(b)) for a, b in zip(x, y)]
            yield case(f"{name}_{dtype}", name, {}, operands, [(dtype, result)], 2 if dtype == "f64" else 0)
        for name in ("max", "min"):
            result = [float_max(float(a), float(b), name == "max") for a, b in zip(x, y)]
            yield case(f"{name}_{dtype}", name, {}, operands, [(dtype, result)])


def compare(rng):
    functions = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
    for dtype in INTS + FLOATS + ["bool"]:
        few = rounded(dtype, SPECIAL + [1.0, -2.5]) if dtype in FORMATS else ([0, 1] if dtype == "bool" else few_integers(dtype))
        x = np.array([a for a in few for _ in few], dtype=np.float64 if dtype in FORMATS else object)
        y = np.array([b for _ in few for b in few], dtype=x.dtype)
        for name, function in functions.items():
            yield case(f"{name}_{dtype}", name, {}, [(dtype, x), (dtype, y)], [("bool", function(x, y).astype(bool))])
    for dtype in ["bool", "i4", "f16", "u32", "f64"]:
        condition, x, y = random(rng, "bool", (3, 5)), random(rng, dtype, (3, 5)), random(rng, dtype, (3, 5))
        operands = [("bool", condition), (dtype, x), (dtype, y)]
        yield case(f"select_{dtype}", "select", {}, operands, [(dtype, np.where(condition, x, y))])


def cast_value(source, target, value):
    if target == "bool":
        return value != 0
    if target in FORMATS:
        return round_exact(target, float(value) if source in FORMATS else Fraction(int(value)))
    if source not in FORMATS:
        return wrap(target, value)
    low, high = int_range(target)
    if value != value:
        return 0
    return low if value < low else high if value > high else int(value)


def cast(rng):
    for source in INTS + FLOATS + ["bool"]:
        if source in FORMATS:
            x = list(values_of(source, rng, 4)) + list(rounded(source, [127.5, -128.5, 255.9, 2147483648.0, -9.3e18, 1.9e19]))
        else:
            x = [0, 1] if source == "bool" else edge_integers(source)
        # Integers beside the midpoint of two floats: rounding by way of f64 or f32 would give the wrong one.
        if source in ("i64", "u64"):
            x = x + [(1 << 62) + (1 << 38) + 1, (1 << 62) + (1 << 38), (1 << 62) + (1 << 54) + 1, (1 << 53) + 1]
        for target in INTS + FLOATS + ["bool"]:
            result = [cast_value(source, target, v) for v in x]
            yield case(f"cast_{source}_{target}", "cast", {"to": target}, [(source, x)], [(target, result)])
    # f64 values beside the midpoint of two neighbours of each narrower float.
    for target in ["f16", "bf16", "f32"]:
        unit = 2.0 ** (1 - FORMATS[target][0])
        middles = [(1 + (k + 0.5) * unit) * s for k in range(6) for s in (1, -1, 2.0 ** FORMATS[target][1] * unit)]
        x = [np.nextafter(m, d) for m in middles for d in (-INF, INF)] + middles
        yield case(f"cast_midpoints_{target}", "cast", {"to": target}, [("f64", x)], [(target, rounded(target, x))])


def bitcast(rng):
    pairs = [("f32", "u32", "<f4", "<u4"), ("f64", "i64", "<f8", "<i8"), ("f16", "i16", "<f2", "<i2"), ("i8", "u8", "<i1", "<u1")]
    for a, b, numpy_a, numpy_b in pairs:
        x = random(rng, a, (2, 7)).astype(numpy_a)
        y = x.view(numpy_b)
        yield case(f"bitcast_{a}_{b}", "bitcast", {"to": b}, [(a, x)], [(b, y)])
        yield case(f"bitcast_{b}_{a}", "bitcast", {"to": a}, [(b, y)], [(a, x)])
    x = np.arange(-8, 8)
    yield case("bitcast_i4_u4", "bitcast", {"to": "u4"}, [("i4", x)], [("u4", x % 16)])
    yield case("bitcast_u4_i4", "bitcast", {"to": "i4"}, [("u4", x % 16)], [("i4", x)])


def quantize(rng):
    for source in ["f16", "f32", "f64"]:
        for target in ["i4", "u4", "i8", "u8", "i16", "u16", "i32"]:
            low, high = int_range(target)
            reach = min(high, 30000)
            x = rounded(source, rng.uniform(-reach, reach, (3, 4, 5)) * 0.3)
            # Ties, saturation and specials.
            x.ravel()[:8] = rounded(source, [0.125, 0.375, -0.125, -0.375, INF, -INF, NAN, 60000.0])
            per_axis = rounded(source, rng.uniform(0.05, 0.4, 4)), rng.integers(max(low, -100) // 2, min(high, 100) // 2, 4)
            for name, (scale, zero_point), shape in [
                ("tensor", (np.array(0.25), np.array(3)), ()),
                ("axis", per_axis, (1, 4, 1)),
            ]:
                wide = np.broadcast_to(scale.reshape(shape), x.shape)
                offset = np.broadcast_to(zero_point.reshape(shape), x.shape)
                result = []
                for value, s, z in zip(x.ravel(), wide.ravel(), offset.ravel()):
                    if value != value:
                        result.append(0)
                    elif math.isinf(value):
                        result.append(high if value > 0 else low)
                    else:
                        quotient = round_exact(source, Fraction(value) / Fraction(s))
                        result.append(min(max((int(np.rint(quotient)) if math.isfinite(quotient) else
                                               (1 << 70) * (1 if quotient > 0 else -1)) + int(z), low), high))
                result = np.array(result).reshape(x.shape)
                operands = [(source, x), (source, scale), (target, zero_point)]
                yield case(f"quantize_{source}_{target}_{name}", "quantize", {"axis": 1}, operands, [(target, result)])
                q = random(rng, target, x.shape)
                exact_values = [
                    Fraction(int(v) - int(z)) * Fraction(s) for v, s, z in zip(q.ravel(), wide.ravel(), offset.ravel())
                ]
                real = rounded(source, np.array(exact_values, dtype=object)).reshape(x.shape)
                operands = [(target, q), (source, scale), (target, zero_point)]
                yield case(f"dequantize_{target}_{source}_{name}", "dequantize", {"axis": 1}, operands, [(source, real)])


def cases():
    rng = np.random.default_rng(1)
    for family in (unary, binary, compare, cast, bitcast, quantize):
        yield from family(rng)
