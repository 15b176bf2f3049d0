"""Writes the `run:` lines of the kernels in tests/files/kernels that compute something larger: inputs that f32 holds exactly, and what numpy computes of
them in f64 from the definition of the operation.

    python3 tests/kernels/expectations.py
"""

import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent.parent / "files" / "kernels"


def noise(seed, *shape):
    """Multiples of 1/4 within -2..2."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 4.0


def literal(array):
    return "[" + ", ".join(repr(float(np.float32(x))) for x in np.asarray(array).ravel()) + "]"


def run(kernel, extents, inputs, results, exact):
    call = [f"{name} = {value}" for name, value in extents.items()]
    call += [f"%{name} = {literal(array)}" for name, array in inputs.items()]
    expected = [f"%{name} = {literal(array)}" for name, array in results.items()]
    sign = "==" if exact else "~="
    lines = [f"// run: {kernel}({call[0]}"]
    lines[0] += "," if len(call) > 1 else ")"
    lines += [f"//   {item}," for item in call[1:-1]]
    lines += [f"//   {call[-1]})"] if len(call) > 1 else []
    lines += [f"//   {sign} {expected[0]}" + ("," if len(expected) > 1 else "")]
    lines += [f"//   {item}," for item in expected[1:-1]]
    lines += [f"//   {expected[-1]}"] if len(expected) > 1 else []
    return lines


def write(file, lines):
    path = FOLDER / file
    code = [line for line in path.read_text().splitlines()]
    first = next((place for place, line in enumerate(code) if line.startswith("// run:")), len(code))
    path.write_text("\n".join(code[:first] + lines) + "\n")


def matmul():
    lines = []
    for m, n, k in [(7, 13, 5), (4, 8, 3), (1, 1, 1), (2, 5, 0)]:
        a, b = noise(1, m, k), noise(2, k, n)
        panels = -(-n // 8)
        padded = np.zeros((k, panels * 8))
        padded[:, :n] = b
        packed = padded.reshape(k, panels, 8).transpose(1, 0, 2)
        lines += run("matmul", {"M": m, "N": n, "K": k}, {"a": a, "b": packed}, {"c": a @ b}, True)
    write("matmul_packed.kir", lines)


def convolution(x, w):
    """x[C][H][W], w[O][C][3][3]."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    y = np.zeros((w.shape[0], height, width))
    for i in range(3):
        for j in range(3):
            y += np.einsum("chw,oc->ohw", x[:, i : i + height, j : j + width], w[:, :, i, j])
    return y


def conv():
    x, w, bias = noise(3, 8, 5, 7), noise(4, 8, 8, 3, 3), noise(5, 8)
    y = np.maximum(convolution(x, w) + bias[:, None, None], 0)
    blocked = lambda t: t.reshape(-1, 4, *t.shape[1:]).transpose(0, 2, 3, 1)
    packed = w.reshape(2, 4, 2, 4, 3, 3).transpose(0, 2, 4, 5, 3, 1)
    write("conv_nchwc.kir", run("conv", {}, {"x": blocked(x), "w": packed, "bias": bias}, {"y": blocked(y)}, True))


def winograd():
    x, w = noise(6, 2, 6, 6), noise(7, 4, 2, 3, 3)
    g = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24.0
    u = np.einsum("ai,ocij,bj->abco", g, w, g)
    y = convolution(x, w).transpose(1, 2, 0)
    write("winograd.kir", run("winograd", {}, {"x": x, "u": u}, {"y": y}, False))


def attention():
    lines = []
    for queries, keys in [(3, 6), (1, 1)]:
        q, k, v = noise(8, queries, 4), noise(9, keys, 4), noise(10, keys, 4)
        scores = np.exp(q @ k.T / 2)
        y = scores / scores.sum(axis=1, keepdims=True) @ v
        lines += run("attention", {"L": queries, "S": keys}, {"q": q, "k": k, "v": v}, {"y": y}, False)
    write("attention_online.kir", lines)


def lstm():
    batch = 2
    x, h, c = noise(11, batch, 3), noise(12, batch, 4) / 2, noise(13, batch, 4)
    w, b = noise(14, 4, 7, 4), noise(15, 4, 4)
    z = np.einsum("ni,gij->ngj", np.concatenate([x, h], axis=1), w) + b
    sigma = lambda t: 1 / (1 + np.exp(-t))
    i, f, g, o = sigma(z[:, 0]), sigma(z[:, 1]), np.tanh(z[:, 2]), sigma(z[:, 3])
    new = f * c + i * g
    inputs = {"x": x, "w": w, "b": b, "h": h, "c": c}
    write("lstm_step.kir", run("lstm", {"B": batch}, inputs, {"h": o * np.tanh(new), "c": new}, False))


if __name__ == "__main__":
    for kernel in (matmul, conv, winograd, attention, lstm):
        kernel()
