#!/usr/bin/env python3
"""Makes coefficients.rs: minimax polynomials and split constants for the functions of this folder.

Usage: python3 coefficients.py | rustfmt > coefficients.rs        (needs mpmath)

Each polynomial is the best approximation of a weighted error on an interval, found by the exchange algorithm of Remez (E. W. Cheney,
"Introduction to Approximation Theory", chapter 3) in 200-bit arithmetic. Its coefficients are then rounded one after another to the
precision of the format, lowest order first, and the remaining ones fitted again after each rounding.
"""
import mpmath as mp

mp.mp.prec = 260


def chebyshev(a, b, n):
    a, b = mp.mpf(a), mp.mpf(b)
    return [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 3) / (n + 1)) for k in range(n + 1)]


def alternating_extrema(error, count):
    """Places of the extrema of each sign change, thinned out to `count`."""
    places = []
    for k in range(len(error)):
        if places and (error[k] > 0) == (error[places[-1]] > 0):
            if abs(error[k]) > abs(error[places[-1]]):
                places[-1] = k
        else:
            places.append(k)
    while len(places) > count:
        if len(places) == count + 1:
            places.pop(0 if abs(error[places[0]]) < abs(error[places[-1]]) else -1)
            continue
        smallest = min(range(len(places)), key=lambda j: abs(error[places[j]]))
        if smallest in (0, len(places) - 1):
            places.pop(smallest)
        else:
            left, right = places[smallest - 1], places[smallest + 1]
            places[smallest - 1 : smallest + 2] = [left if abs(error[left]) > abs(error[right]) else right]
    return places


def remez(target, basis, grid):
    """Coefficients c that minimise max |target(x) - sum c[i] basis[i](x)| over the grid."""
    n = len(basis)
    values = [target(x) for x in grid]
    rows = [[p(x) for p in basis] for x in grid]
    last = len(grid) - 1
    places = [min(last, int(round(last * (k + 0.5) / (n + 1)))) for k in range(n + 1)]
    best = None
    for _ in range(20):
        system, right = mp.matrix(n + 1, n + 1), mp.matrix(n + 1, 1)
        for i, place in enumerate(places):
            for j in range(n):
                system[i, j] = rows[place][j]
            system[i, n] = (-1) ** i
            right[i] = values[place]
        solution = mp.lu_solve(system, right)
        c = [solution[j] for j in range(n)]
        error = [v - mp.fsum(x * y for x, y in zip(c, row)) for v, row in zip(values, rows)]
        worst = max(map(abs, error))
        if best is None or worst < best[1]:
            best = (c, worst)
        places = alternating_extrema(error, n + 1)
        if len(places) < n + 1 or worst - abs(solution[n]) < worst * mp.mpf("1e-3"):
            break
    return best[0]


def round_to(x, bits):
    if x == 0:
        return mp.mpf(0)
    mantissa, exponent = mp.frexp(x)
    return mp.ldexp(mp.nint(mantissa * mp.mpf(2) ** bits), int(exponent) - bits)


def fit(target, basis, a, b, bits, refit=True):
    """Rounded coefficients and log2 of the largest error. `refit` needs a basis that stays a Chebyshev system without its first functions."""
    grid = chebyshev(a, b, 300)
    fixed = []
    rest = target
    best = remez(target, basis, grid)
    for j in range(len(basis)):
        c = round_to(remez(rest, basis[j:], grid)[0] if refit else best[j], bits)
        fixed.append(c)
        rest = (lambda rest, c, p: lambda x: rest(x) - c * p(x))(rest, c, basis[j])
    worst = max(abs(rest(x)) for x in chebyshev(a, b, 1000))
    return fixed, float(mp.log(worst, 2))


def powers(weight, exponents):
    return [(lambda e: lambda x: weight(x) * x**e)(e) for e in exponents]


def relative_odd(f, count, a, b, bits):
    """f(x) = x + x^3 P(x^2), relative error."""
    return fit(lambda x: 1 - x / f(x), powers(lambda x: 1 / f(x), range(3, 3 + 2 * count, 2)), a, b, bits)


def polynomials(bits):
    single = bits == 24
    n = lambda f32, f64: f32 if single else f64
    ln2 = mp.log(2)
    half = mp.mpf(1) / 2
    boundary = mp.mpf("0.9375") if single else mp.mpf(1)
    last = mp.mpf("3.95") if single else mp.mpf(6)
    share = lambda x: mp.erfc(x) * ln2 / mp.erf(x)
    sqrt2 = mp.sqrt(2)
    yield ("exp", "e^r = 1 + r + r²·P(r), |r| ≤ ln 2 ÷ 2; error relative to r") + fit(
        lambda r: (mp.expm1(r) - r) / abs(r), powers(abs, range(n(5, 10))), -ln2 / 2, ln2 / 2, bits, refit=False)
    yield ("exp2", "2^r = 1 + r·P(r), |r| ≤ 1/2") + fit(
        lambda r: mp.sign(r) * (2**r - 1), powers(lambda r: mp.sign(r), range(1, n(6, 12))), -half, half, bits)
    yield ("log", "2·atanh(s) = 2s + s·z·P(z), z = s², |s| ≤ (√2 − 1) ÷ (√2 + 1)") + fit(
        lambda s: 1 - s / mp.atanh(s), powers(lambda s: 1 / mp.atanh(s) / 2, range(3, 3 + 2 * n(3, 7), 2)),
        0, (sqrt2 - 1) / (sqrt2 + 1), bits)
    yield ("log_tail", "2·atanh(s) = 2s + s·z·(2/3 + z·P(z)), z and s as before") + fit(
        lambda s: 1 - (s + s**3 / 3) / mp.atanh(s),
        powers(lambda s: 1 / mp.atanh(s) / 2, range(5, 5 + 2 * n(3, 8), 2)), 0, (sqrt2 - 1) / (sqrt2 + 1), bits)
    yield ("sin", "sin r = r + r·z·P(z), z = r², |r| ≤ π ÷ 4") + relative_odd(mp.sin, n(3, 6), 0, mp.pi / 4, bits)
    yield ("cos", "cos r = 1 − z ÷ 2 + z²·P(z), z = r², |r| ≤ π ÷ 4") + fit(
        lambda r: 1 - (1 - r * r / 2) / mp.cos(r), powers(lambda r: 1 / mp.cos(r), range(4, 4 + 2 * n(3, 6), 2)),
        0, mp.pi / 4, bits)
    yield ("tan", "tan r = r + r·z·P(z), z = r², |r| ≤ π ÷ 4") + relative_odd(mp.tan, n(7, 15), 0, mp.pi / 4, bits)
    yield ("asin", "asin x = x + x·z·P(z), z = x², |x| ≤ 0.5405") + relative_odd(
        mp.asin, n(6, 13), 0, mp.mpf("0.5405"), bits)
    yield ("atan", "atan x = x + x·z·P(z), z = x², |x| ≤ 1 (f64: tan(π ÷ 8))") + relative_odd(
        mp.atan, n(9, 11), 0, 1 if single else mp.tan(mp.pi / 8), bits)
    yield ("sinh", "sinh x = x + x·z·P(z), z = x², |x| ≤ 1") + relative_odd(mp.sinh, n(4, 7), 0, 1, bits)
    yield ("tanh", "tanh x = x + x·z·P(z), z = x², |x| ≤ 0.55") + relative_odd(mp.tanh, n(4, 11), 0, mp.mpf("0.55"), bits)
    yield ("erf", "erf x = x + x·P(x²), |x| ≤ 15/16 (f64: 1)") + fit(
        lambda x: 1 - x / mp.erf(x), powers(lambda x: 1 / mp.erf(x), range(1, 1 + 2 * n(6, 12), 2)), 0, boundary, bits)
    yield ("erfc", "log₂(1 − erf x) = P(x), 15/16 ≤ x ≤ 3.95 (f64: 1 ≤ x ≤ 6); error relative to erf") + fit(
        lambda x: mp.log(mp.erfc(x), 2) * share(x), powers(share, range(n(6, 18))), boundary, last, bits)


def split(x, bits):
    """x as a sum of numbers of the given precisions, all positive: multiples of them by 0 are zeros of one sign."""
    parts = []
    for precision in bits:
        _, exponent = mp.frexp(x)
        unit = mp.ldexp(mp.mpf(1), int(exponent) - precision)
        parts.append(mp.floor(x / unit) * unit)
        x -= parts[-1]
    return parts


def number(x):
    value = float(x)
    assert mp.mpf(value) == x
    return repr(value)


def constants(bits):
    single = bits == 24
    yield "ln2", "ln 2 in two parts; multiples of the first by exponents are exact", split(
        mp.log(2), [bits - (9 if single else 12), bits])
    yield "two_thirds", "2/3 in two parts", split(mp.mpf(2) / 3, [bits] * 2)
    yield "half_pi", "π ÷ 2 in three parts", split(mp.pi / 2, [bits] * 3)
    short = 11 if single else 30
    yield "half_pi_short", "π ÷ 2 in parts whose products with quadrant numbers of the fast reduction are exact, but for the last", split(
        mp.pi / 2, [short] * (4 if single else 3) + [bits])


def limbs(bits):
    """2 ÷ π after one zero limb, in limbs of 16 or 32 bits."""
    size, count = (16, 14) if bits == 24 else (32, 38)
    whole = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (size * (count - 1))))
    return [0] + [(whole >> (size * (count - 2 - i))) & (2**size - 1) for i in range(count - 1)]


def wrap(items, indent):
    lines, line = [], " " * indent
    for item in items:
        if len(line) + len(item) + 1 > 108:
            lines.append(line.rstrip())
            line = " " * indent
        line += item + " "
    return "\n".join(lines + [line.rstrip()])


def main():
    mp.mp.prec = 1400
    table = {bits: limbs(bits) for bits in (24, 53)}
    mp.mp.prec = 260
    fits = {bits: list(polynomials(bits)) for bits in (24, 53)}
    parts = {bits: list(constants(bits)) for bits in (24, 53)}
    print("//! Made by `coefficients.py`: minimax polynomials, lowest order first, and split constants.\n")
    print("// The first part of a split constant looks like the constant.\n#![allow(clippy::approx_constant)]\n")
    print("/// Tables of one float format.")
    print("pub(super) struct Coefficients {")
    for name, doc, _, _ in fits[24]:
        print(f"    /// {doc}.\n    pub {name}: &'static [f64],")
    for name, doc, _ in parts[24]:
        print(f"    /// {doc}.\n    pub {name}: &'static [f64],")
    print("    /// 2 ÷ π after one zero limb, in limbs of 16 bits (f32) or 32 bits (f64).")
    print("    pub two_over_pi: &'static [i64],")
    print("}")
    for bits, name in ((24, "F32"), (53, "F64")):
        print(f"\n/// For {name.lower()}. Largest errors of the polynomials: "
              + ", ".join(f"{f[0]} 2^{f[3]:.1f}" for f in fits[bits]) + ".")
        print(f"pub(super) const {name}: Coefficients = Coefficients {{")
        for field, _, c, _ in fits[bits]:
            print(f"    {field}: &[\n{wrap([number(x) + ',' for x in c], 8)}\n    ],")
        for field, _, c in parts[bits]:
            print(f"    {field}: &[\n{wrap([number(x) + ',' for x in c], 8)}\n    ],")
        print(f"    two_over_pi: &[\n{wrap([hex(x) + ',' for x in table[bits]], 8)}\n    ],")
        print("};")


main()
