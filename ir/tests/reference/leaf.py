"""Counting and random bits."""

import numpy as np

from common import FLOATS, INTS, case, fit

MASK = (1 << 32) - 1


def philox4x32_10(counter, key):
    """Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC'11)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & MASK, (first >> 32) ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


# Random123 1.14, tests/kat_vectors.
assert philox4x32_10([MASK] * 4, [MASK] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def random_words(key, first, count):
    words = []
    for n in range((count + 3) // 4):
        block = (first + n) % (1 << 64)
        words += philox4x32_10([block & MASK, block >> 32, 0, 0], [key & MASK, key >> 32])
    return words[:count]


def cases():
    for dtype in INTS + FLOATS:
        result = fit(dtype, np.broadcast_to(np.arange(300).reshape(1, 300, 1), (2, 300, 1)))
        yield case(f"iota_{dtype}", "iota", {"shape": [2, 300, 1], "axis": 1, "dtype": dtype}, [], [(dtype, result)])
    yield case("iota_first_axis", "iota", {"shape": [3, 2], "axis": 0, "dtype": "i32"}, [], [("i32", np.array([[0, 0], [1, 1], [2, 2]]))])
    yield case("iota_empty", "iota", {"shape": [3, 0], "axis": 0, "dtype": "i32"}, [], [("i32", np.zeros((3, 0)))])
    keys = [(0, 0), (0x0123456789ABCDEF, 5), (1 << 63, (1 << 32) - 1), (42, (1 << 64) - 1)]
    for key, first in keys:
        for shape in [[], [3], [2, 5], [0, 4]]:
            words = np.array(random_words(key, first, int(np.prod(shape))), dtype=object).reshape(shape)
            operands = [("u64", [key, first])]
            name = f"random_bits_{key:x}_{first:x}_{len(shape)}"
            yield case(name, "random_bits", {"shape": shape}, operands, [("u32", words)])
