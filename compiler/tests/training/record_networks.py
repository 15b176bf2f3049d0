#!/usr/bin/env python3
"""Records ten training steps of PyTorch on the networks of `network.rs`:  python record_networks.py   (torch 2.15, torchvision, f64)

Of each tensor NAME.json holds the largest magnitude, the projection on `numbers(name + "?")` and eight elements.
"""

import json, math, pathlib
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent


def numbers(name, count):
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    mask = np.uint64(0xFFFFFFFF)
    x = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1) + np.uint64(seed)) & mask
    x = (x ^ (x >> np.uint64(15))) * np.uint64(0x2C1B3C6D) & mask
    x = (x ^ (x >> np.uint64(12))) * np.uint64(0x297A2D39) & mask
    return (x ^ (x >> np.uint64(15))).astype(np.float64) / 2147483648.0 - 1.0


def first(name, shape):
    base, factor = 0.0, 0.1
    if len(shape) > 1:
        factor = math.sqrt(6.0 / math.prod(shape[1:]))
    elif name.endswith((".weight", "_var")):
        base = 1.0
    return torch.from_numpy(base + factor * numbers(name, math.prod(shape))).reshape(shape)


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def resnet18():
    model = torchvision.models.resnet18(num_classes=10)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # What the f32 attributes of an ONNX file say.
            layer.eps, layer.momentum = float(np.float32(1e-5)), 1 - float(np.float32(0.9))
    return model


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=0.9)


CASES = {
    "lenet5": (LeNet5, (8, 1, 28, 28), True, lambda p: torch.optim.Adam(p, lr=0.001), 10),
    "resnet18": (resnet18, (4, 3, 64, 64), True, sgd(0.01), 10),
    "resnet18_frozen": (resnet18, (4, 3, 64, 64), False, sgd(1e-5), 3),
}

for case, (make, shape, batch_statistics, optimizer, steps) in CASES.items():
    model = make()
    states = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
    for name, value in states.items():
        value.copy_(first(name, value.shape))
    x = torch.from_numpy(numbers("x", math.prod(shape))).reshape(shape)
    y = torch.arange(shape[0]) * 7 % 10
    optimizer = optimizer(model.parameters())
    record = {"losses": [], "states": {}}
    model.train(batch_statistics)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        record["losses"].append(loss.item())
        optimizer.step()
    model.eval()
    record["evaluation"] = F.cross_entropy(model(x), y).item()
    for name, value in states.items():
        flat = value.detach().flatten()
        projection = flat @ torch.from_numpy(numbers(name + "?", len(flat)))
        elements = [flat[len(flat) * k // 8].item() for k in range(8)]
        record["states"][name] = [flat.abs().max().item(), projection.item(), *elements]
    (here / f"{case}.json").write_text(json.dumps(record) + "\n")
    print(case, record["losses"], record["evaluation"])
