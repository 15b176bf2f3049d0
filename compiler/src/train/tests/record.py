#!/usr/bin/env python3
"""Records what PyTorch computes for losses, optimisers, schedules and clipping:  python record.py > torch.json   (torch 2.15, f64)"""

import json, sys
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(1)


def draw(*shape, low=-1.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, generator=generator)


def numbers(tensor):
    return tensor.detach().flatten().tolist()


def loss(name, function, predictions, targets):
    predictions = predictions.clone().requires_grad_()
    value = function(predictions, targets)
    value.backward()
    return {
        "name": name,
        "shape": list(predictions.shape),
        "predictions": numbers(predictions),
        "target_shape": list(targets.shape),
        "targets": numbers(targets),
        "classes": not targets.is_floating_point(),
        "value": value.item(),
        "gradient": numbers(predictions.grad),
    }


def losses():
    logits = draw(4, 3, low=-3, high=3)
    image = draw(2, 3, 2, 2, low=-3, high=3)
    labels = torch.tensor([2, 0, 1, 1])
    pixels = torch.randint(0, 3, (2, 2, 2), generator=generator)
    soft = torch.softmax(draw(4, 3), 1)
    p = draw(5, low=0.05, high=0.95)
    t = draw(5, low=0.0, high=1.0)
    sparse = soft.clone()
    sparse[0, 1] = 0.0
    yield loss("mse", F.mse_loss, draw(2, 3), draw(2, 3))
    yield loss("mae", F.l1_loss, draw(2, 3), draw(2, 3))
    yield loss("cross-entropy", F.cross_entropy, logits, labels)
    yield loss("cross-entropy", F.cross_entropy, image, pixels)
    yield loss("cross-entropy", F.cross_entropy, logits, soft)
    yield loss("nll", F.nll_loss, torch.log_softmax(logits, 1), labels)
    yield loss("bce", F.binary_cross_entropy, p, t)
    yield loss("bce-with-logits", F.binary_cross_entropy_with_logits, draw(6, low=-40, high=40), draw(6, low=0, high=1))
    yield loss("kl-div", lambda a, b: F.kl_div(a, b, reduction="batchmean"), torch.log_softmax(logits, 1), sparse)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "sgd-nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "rmsprop-momentum": lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.9, momentum=0.8, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adam-decay": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.05),
}


def optimizers():
    for name, make in OPTIMIZERS.items():
        parameter = torch.nn.Parameter(draw(4))
        optimizer = make([parameter])
        case = {"name": name, "first": numbers(parameter), "gradients": [], "parameters": []}
        for _ in range(6):
            parameter.grad = draw(4)
            case["gradients"].append(numbers(parameter.grad))
            optimizer.step()
            case["parameters"].append(numbers(parameter))
        yield case


def schedules():
    schedulers = torch.optim.lr_scheduler
    for name, make in {
        "step": lambda o: schedulers.StepLR(o, 5, 0.3),
        "exponential": lambda o: schedulers.ExponentialLR(o, 0.9),
        "cosine": lambda o: schedulers.CosineAnnealingLR(o, 12, 0.1),
    }.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make(optimizer)
        factors = []
        for _ in range(12):
            factors.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        yield {"name": name, "factors": factors}


def clips():
    for name, bound in [("norm", 0.5), ("norm", 100.0), ("value", 0.4)]:
        parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
        for parameter in parameters:
            parameter.grad = draw(parameter.numel())
        given = [numbers(parameter.grad) for parameter in parameters]
        if name == "norm":
            torch.nn.utils.clip_grad_norm_(parameters, bound)
        else:
            torch.nn.utils.clip_grad_value_(parameters, bound)
        yield {"name": name, "bound": bound, "given": given, "clipped": [numbers(p.grad) for p in parameters]}


sections = {"losses": losses(), "optimizers": optimizers(), "schedules": schedules(), "clips": clips()}
lines = [f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in sections.items()]
sys.stdout.write("{" + ",\n".join(lines) + "}\n")
