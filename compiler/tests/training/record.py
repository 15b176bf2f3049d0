#!/usr/bin/env python3
"""Records ten training steps of PyTorch on the models beside this file:  python record.py   (torch 2.15, f64; writes NAME.json)"""

import json, pathlib
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(5)
here = pathlib.Path(__file__).parent


def draw(*shape):
    return 2 * torch.rand(*shape, generator=generator) - 1


def numbers(tensor):
    return tensor.detach().flatten().tolist()


def mlp(x, p):
    return F.linear(torch.relu(F.linear(x, p["w1"], p["b1"])), p["w2"], p["b2"])


def lenet(x, p):
    x = F.max_pool2d(torch.relu(F.conv2d(x, p["c1"], p["d1"], padding=2)), 2)
    x = F.max_pool2d(torch.relu(F.conv2d(x, p["c2"], p["d2"])), 2)
    return F.linear(x.flatten(1), p["w"], p["b"])


def transformer(x, p):
    b, l, d = x.shape
    heads = lambda w: F.linear(x, w).reshape(b, l, 2, d // 2).transpose(1, 2)
    a = F.scaled_dot_product_attention(heads(p["wq"]), heads(p["wk"]), heads(p["wv"]))
    x = F.layer_norm(x + F.linear(a.transpose(1, 2).reshape(b, l, d), p["wo"]), (d,), p["g1"], p["h1"])
    return F.layer_norm(x + F.linear(F.gelu(F.linear(x, p["w1"], p["b1"])), p["w2"]), (d,), p["g2"], p["h2"])


def lstm(x, p):
    h = c = torch.zeros(x.shape[1], 4)
    for row in x:
        i, f, g, o = (F.linear(row, p["wx"], p["b"]) + F.linear(h, p["wh"])).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return F.linear(h, p["w"])


MODELS = {
    "mlp": (mlp, (6, 5), {"w1": (4, 5), "b1": (4,), "w2": (3, 4), "b2": (3,)}, "classes",
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "lenet": (lenet, (4, 1, 12, 12), {"c1": (3, 1, 5, 5), "d1": (3,), "c2": (4, 3, 3, 3), "d2": (4,), "w": (3, 16), "b": (3,)},
              "classes", lambda p: torch.optim.Adam(p, lr=0.01)),
    "transformer": (transformer, (2, 4, 8),
                    {"wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "wo": (8, 8), "g1": (8,), "h1": (8,),
                     "w1": (16, 8), "b1": (16,), "w2": (8, 16), "g2": (8,), "h2": (8,)},
                    (2, 4, 8), lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05)),
    "lstm": (lstm, (5, 2, 3), {"wx": (16, 3), "wh": (16, 4), "b": (16,), "w": (2, 4)}, (2, 2),
             lambda p: torch.optim.SGD(p, lr=0.2)),
}

for name, (model, shape, shapes, target, optimizer) in MODELS.items():
    x = draw(*shape)
    parameters = {key: torch.nn.Parameter(draw(*size)) for key, size in shapes.items()}
    classes = target == "classes"
    y = torch.randint(0, 3, (shape[0],), generator=generator) if classes else draw(*target)
    record = {
        "x": numbers(x),
        "target": numbers(y),
        "first": {key: numbers(value) for key, value in parameters.items()},
        "losses": [],
    }
    optimizer = optimizer(list(parameters.values()))
    for _ in range(10):
        optimizer.zero_grad()
        prediction = model(x, parameters)
        loss = F.cross_entropy(prediction, y) if classes else F.mse_loss(prediction, y)
        loss.backward()
        record["losses"].append(loss.item())
        optimizer.step()
    record["last"] = {key: numbers(value) for key, value in parameters.items()}
    (here / f"{name}.json").write_text(json.dumps(record) + "\n")
