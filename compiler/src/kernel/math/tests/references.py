#!/usr/bin/env python3
"""Makes references.txt: functions of f64 by mpmath in 1200 bits, rounded once.

Usage: python3 references.py > references.txt

Each line holds a function's name, the bits of its operands and the bits of the result.
"""
import math
import random
import struct

import mpmath as mp

mp.mp.prec = 1200
random.seed(20240229)


def bits(x):
    return struct.pack(">d", x).hex()


def number(x):
    """The exact value; infinities stay floats."""
    return mp.mpf(x) if math.isfinite(x) else x


def rounded(y):
    if isinstance(y, (float, int)):
        return float(y)
    if mp.isnan(y) or isinstance(y, mp.mpc):
        return math.nan
    if mp.isinf(y):
        return math.inf if y > 0 else -math.inf
    if abs(y) >= mp.mpf(2) ** 1024 - mp.mpf(2) ** 970:
        return math.inf if y > 0 else -math.inf
    # Denormals have fewer bits than mpmath's rounding to 53.
    scale = mp.mpf(2) ** 1074
    if abs(y) < mp.mpf(2) ** -1021:
        return float(int(mp.nint(y * scale))) * 5e-324
    return float(y)


def spread(low, high, count, signed=True):
    """Numbers of random magnitude between 2^low and 2^high."""
    for _ in range(count):
        x = 2.0 ** random.uniform(low, high)
        yield random.choice([x, -x]) if signed else x


def uniform(low, high, count):
    return (random.uniform(low, high) for _ in range(count))


def chain(*parts):
    return [x for part in parts for x in part]


TINY = [5e-324, -5e-324, 1e-310, 2.2250738585072014e-308, -1e-300]
# The f64 nearest to a multiple of pi/2 (W. Kahan), and others far out.
CIRCLE = chain(TINY, spread(-30, 3, 20), spread(3, 23, 30), spread(23, 1023, 40), [1e22, -1e300, 6381956970095103.0 * 2.0**797])
NEAR_ONE = [1 + s * 2.0**-e for e in (3, 10, 25, 52) for s in (1, -0.5)]
POINTS = {
    "exp": chain(TINY, uniform(-745.2, 709.7, 40), spread(-60, 6, 30), [709.7, 709.8, -745.1, -745.2, -708.5]),
    "expm1": chain(TINY, uniform(-50, 709.7, 30), spread(-60, 4, 50), [709.7, 709.8, -1e3]),
    "log": chain([abs(x) for x in TINY], spread(-1074, 1023, 40, False), uniform(0.3, 2, 30), NEAR_ONE),
    "log1p": chain(TINY, spread(-60, -1, 40), spread(0, 1023, 25, False), [-0.9, -0.999999999999, 0.4, 0.5]),
    "sin": CIRCLE,
    "cos": CIRCLE,
    "tan": CIRCLE,
    "asin": chain(TINY, uniform(-1, 1, 40), spread(-40, -1, 20), [0.5405, 0.54051, 1.0, -1.0, 0.9999999999999]),
    "acos": chain(TINY, uniform(-1, 1, 40), spread(-40, -1, 20), [0.5405, 0.54051, 1.0, -1.0, 0.9999999999999]),
    "atan": chain(TINY, spread(-40, 40, 40), uniform(-3, 3, 40), [1.0, 0.41421356, 1e300]),
    "sinh": chain(TINY, spread(-40, 9.4, 50), [1.0, 0.99999, 710.4, -710.47, 711.0]),
    "cosh": chain(TINY, spread(-40, 9.4, 50), [1.0, 0.99999, 710.4, -710.47, 711.0]),
    "tanh": chain(TINY, spread(-40, 5, 60), uniform(0.5, 0.6, 10), [19.0, 22.0]),
    "asinh": chain(TINY, spread(-40, 1000, 40), uniform(-4, 4, 30)),
    "acosh": chain(NEAR_ONE[::2], spread(0, 1000, 40, False), uniform(1, 4, 30), [1.0]),
    "atanh": chain(TINY, uniform(-1, 1, 40), spread(-40, -1, 20), [0.9999999999999, -0.99999]),
    "erf": chain(TINY, uniform(-6.2, 6.2, 60), spread(-40, 0, 20), [0.99999, 1.0, 1.00001, 1e3]),
    "sigmoid": chain(TINY, uniform(-745, 40, 50), spread(-40, 5, 30)),
    "rsqrt": chain([abs(x) for x in TINY], spread(-1000, 1000, 30, False)),
}
FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "rsqrt": lambda x: 1 / mp.sqrt(x),
}
PAIRS = {
    "pow": chain(
        ((x, y) for x, y in zip(spread(-100, 100, 40, False), spread(-3, 3, 40))),
        ((x, y) for x, y in zip(uniform(0.5, 2, 40), uniform(-1000, 1000, 40))),
        ((1 + random.uniform(-1, 1) * 2.0**-20, y) for y in spread(20, 29, 20)),
        ((-x, float(random.randint(-30, 30))) for x in uniform(0.1, 10, 20)),
        [(5e-324, 0.5), (1e-310, -0.9), (1e300, 1.026), (2.0, -1074.0), (2.0, 1023.5), (10.0, -320.0), (3.0, 3.0), (1e-160, 2.0)],
    ),
    "atan2": chain(
        ((y, x) for y, x in zip(spread(-20, 20, 40), spread(-20, 20, 40))),
        ((y, x) for y, x in zip(spread(-1000, 1000, 20), spread(-1000, 1000, 20))),
        [(1e300, 1e300), (5e-324, 1.0), (5e-324, -1.0), (1e308, 1e-308), (-1.0, -1.0)],
    ),
}


def main():
    for name, points in POINTS.items():
        function = FUNCTIONS.get(name) or getattr(mp, name)
        for x in points:
            print(name, bits(x), bits(rounded(function(number(x)))))
    for name, pairs in PAIRS.items():
        function = mp.atan2 if name == "atan2" else mp.power
        for x, y in pairs:
            print(name, bits(x), bits(y), bits(rounded(function(number(x), number(y)))))


main()
