#!/usr/bin/env python3
"""Records layers of PyTorch with their gradients:  python record.py   (torch 2.15, f64; writes layers.json)

The gradient is that of Σ output · cotangent with respect to the inputs and the parameters."""

import json, math, pathlib
import torch
from torch import nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
cases = []


def tensor(value):
    return {"shape": list(value.shape), "values": value.detach().flatten().tolist(), "integer": not value.is_floating_point()}


def record(name, layer, *inputs, training=False, call=None):
    layer.train(training)
    inputs = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    states = {key: tensor(value) for key, value in layer.named_buffers() if "num_batches" not in key}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    output = (call or layer)(*inputs)
    output = output[0] if isinstance(output, tuple) else output
    cotangent = torch.randn_like(output)
    parameters = dict(layer.named_parameters())
    wrt = [x for x in inputs if x.is_floating_point()] + list(parameters.values())
    gradients = torch.autograd.grad((output * cotangent).sum(), wrt)
    count = len(wrt) - len(parameters)
    cases.append({
        "name": name,
        "training": training,
        "inputs": [tensor(x) for x in inputs],
        "parameters": {key: tensor(value) for key, value in parameters.items()},
        "states": states,
        "states_after": {key: tensor(value) for key, value in layer.named_buffers() if key in states},
        "output": tensor(output),
        "cotangent": tensor(cotangent),
        "input_gradients": [tensor(g) for g in gradients[:count]],
        "gradients": {key: tensor(g) for key, g in zip(parameters, gradients[count:])},
    })


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def draw(*shape):
    return torch.randn(*shape)


record("dense", nn.Linear(3, 2), draw(2, 4, 3))
record("dense_without_bias", nn.Linear(3, 2, bias=False), draw(5, 3))
record("embedding", nn.Embedding(5, 3), torch.tensor([[0, 4, 1], [4, 4, 2]]))
record("conv1d", nn.Conv1d(2, 3, 3, stride=2, padding=1), draw(2, 2, 6))
record("conv2d", nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), draw(2, 4, 6, 5))
record("conv3d", nn.Conv3d(1, 2, 2, padding=1), draw(1, 1, 3, 4, 2))
record("conv_transpose1d", nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1), draw(2, 2, 3))
record("conv_transpose2d", nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), draw(1, 3, 3, 4))
record("conv_transpose3d", nn.ConvTranspose3d(1, 2, 2, stride=2), draw(1, 1, 2, 2, 3))
record("batch_norm", nn.BatchNorm2d(3), draw(2, 3, 2, 4), training=True)
evaluated = nn.BatchNorm1d(3)
evaluated.running_mean.copy_(draw(3))
evaluated.running_var.copy_(draw(3) ** 2)
record("batch_norm_evaluation", evaluated, draw(4, 3))
record("layer_norm", nn.LayerNorm(5), draw(2, 3, 5))
record("group_norm", nn.GroupNorm(2, 4), draw(2, 4, 3))
record("rnn", nn.RNN(3, 4), draw(5, 2, 3))
record("lstm", nn.LSTM(3, 4), draw(5, 2, 3))
record("lstm_deep", nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True), draw(2, 4, 3))
record("gru", nn.GRU(3, 4), draw(5, 2, 3))
record("gru_bidirectional", nn.GRU(2, 3, bidirectional=True), draw(4, 3, 2))
attention = nn.MultiheadAttention(4, 2, batch_first=True)
record("attention", attention, draw(2, 3, 4), call=lambda x: attention(x, x, x, need_weights=False))
cross = nn.MultiheadAttention(4, 2, batch_first=True)
record("attention_cross", cross, draw(2, 3, 4), draw(2, 5, 4), call=lambda x, y: cross(x, y, y, need_weights=False))
causal = nn.MultiheadAttention(4, 2, batch_first=True)
mask = torch.triu(torch.full((3, 3), -math.inf), 1)
record("attention_causal", causal, draw(2, 3, 4), call=lambda x: causal(x, x, x, attn_mask=mask, need_weights=False))
# With gradients in training mode, where PyTorch does not take its fused path.
record("encoder_layer", nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True), draw(2, 3, 4), training=True)
record("encoder_layer_norm_first", nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"),
       draw(2, 3, 4), training=True)
decoder = nn.TransformerDecoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
record("decoder_layer", decoder, draw(2, 3, 4), draw(2, 5, 4), training=True, call=lambda x, y: decoder(x, y, tgt_mask=mask))
record("max_pool", nn.MaxPool2d(2, stride=1, padding=1), draw(2, 2, 3, 4))
record("average_pool", nn.AvgPool2d((2, 3), padding=(1, 1)), draw(1, 2, 4, 6))
record("global_average_pool", Function(lambda x: x.mean((2, 3))), draw(2, 3, 2, 4))
linear = nn.Linear(3, 3)
record("residual", linear, draw(2, 3), call=lambda x: x + linear(x))
for name, function in {
    "relu": F.relu, "leaky_relu": lambda x: F.leaky_relu(x, 0.1), "elu": F.elu, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    # In clamps: the gradients of F.hardsigmoid and F.hardswish round 1/6 to f32.
    "softplus": F.softplus, "hard_sigmoid": lambda x: (x + 3).clamp(0, 6) / 6, "hard_swish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "softmax": lambda x: F.softmax(x, -1), "log_softmax": lambda x: F.log_softmax(x, -1),
}.items():
    record(name, Function(function), draw(3, 5) * 3)

here = pathlib.Path(__file__).parent
(here / "layers.json").write_text(json.dumps(cases) + "\n")
