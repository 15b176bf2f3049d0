#!/usr/bin/env python3
"""Records three meta-steps of MAML with PyTorch:  python maml.py   (torch 2.15, f64; writes maml.json)"""

import json, math, pathlib
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(3)
POINTS, TASKS, STEPS, INNER_RATE = 10, 2, 3, 0.01
SHAPES = {"0.weight": (40, 1), "0.bias": (40,), "2.weight": (40, 40), "2.bias": (40,), "4.weight": (1, 40), "4.bias": (1,)}


def net(x, p):
    x = torch.tanh(F.linear(x, p["0.weight"], p["0.bias"]))
    x = torch.tanh(F.linear(x, p["2.weight"], p["2.bias"]))
    return F.linear(x, p["4.weight"], p["4.bias"])


def numbers(tensor):
    return [float(f"{value:.6f}") for value in tensor.detach().flatten().tolist()]


def rounded(tensor):
    return torch.tensor(numbers(tensor)).reshape(tensor.shape)


parameters = {name: rounded(torch.randn(shape) * 0.3).requires_grad_() for name, shape in SHAPES.items()}
record = {"first": {name: numbers(value) for name, value in parameters.items()}, "data": [], "losses": []}
optimizer = torch.optim.Adam(list(parameters.values()), lr=1e-3)
for _ in range(STEPS):
    data, total = [], 0
    for _ in range(TASKS):
        amplitude, phase = 0.1 + 4.9 * torch.rand(()), math.pi * torch.rand(())
        x, new_x = (rounded(10 * torch.rand(POINTS, 1) - 5) for _ in range(2))
        y, new_y = (rounded(amplitude * torch.sin(value - phase)) for value in (x, new_x))
        inner = F.mse_loss(net(x, parameters), y)
        gradients = torch.autograd.grad(inner, list(parameters.values()), create_graph=True)
        adapted = {name: value - INNER_RATE * g for (name, value), g in zip(parameters.items(), gradients)}
        total = total + F.mse_loss(net(new_x, adapted), new_y)
        data += [numbers(value) for value in (x, y, new_x, new_y)]
    loss = total / TASKS
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    record["data"].append(data)
    record["losses"].append(loss.item())
(pathlib.Path(__file__).parent / "maml.json").write_text(json.dumps(record) + "\n")
