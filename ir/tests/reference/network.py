"""Whole functions in f64: a convolutional network and an LSTM, by torch.nn."""

import torch

from common import tensor

CONVOLUTIONAL = """
dim N in 1..=4

func @main(
    %x: f64[N, 1, 14, 12],
    %w1: f64[4, 1, 5, 5],
    %b1: f64[4],
    %w2: f64[4, 1, 3, 3],
    %scale: f64[4],
    %shift: f64[4],
    %w3: f64[10, 48],
    %b3: f64[10],
) -> (p: f64[N, 10]) {
  %c1 = conv %x, %w1 {dimensions = bf01_oi01_bf01, stride = [1, 1], padding_low = [2, 2], padding_high = [2, 2], base_dilation = [1, 1], kernel_dilation = [1, 1], feature_groups = 1, batch_groups = 1} : f64[N, 4, 14, 12]
  %b1b = broadcast %b1 {shape = [N, 4, 14, 12], dimensions = [1]} : f64[N, 4, 14, 12]
  %s1 = add %c1, %b1b : f64[N, 4, 14, 12]
  %t1 = tanh %s1 : f64[N, 4, 14, 12]
  %p1 = reduce_window %t1 {combine = max, size = [1, 1, 2, 2], stride = [1, 1, 2, 2], dilation = [1, 1, 1, 1], padding_low = [0, 0, 0, 0], padding_high = [0, 0, 0, 0]} : f64[N, 4, 7, 6]
  %c2 = conv %p1, %w2 {dimensions = bf01_oi01_bf01, stride = [2, 2], padding_low = [1, 1], padding_high = [1, 1], base_dilation = [1, 1], kernel_dilation = [1, 1], feature_groups = 4, batch_groups = 1} : f64[N, 4, 4, 3]
  %sb = broadcast %scale {shape = [N, 4, 4, 3], dimensions = [1]} : f64[N, 4, 4, 3]
  %hb = broadcast %shift {shape = [N, 4, 4, 3], dimensions = [1]} : f64[N, 4, 4, 3]
  %m2 = mul %c2, %sb : f64[N, 4, 4, 3]
  %s2 = add %m2, %hb : f64[N, 4, 4, 3]
  %zero = constant 0.0 : f64[]
  %z = broadcast %zero {shape = [N, 4, 4, 3], dimensions = []} : f64[N, 4, 4, 3]
  %r2 = max %s2, %z : f64[N, 4, 4, 3]
  %flat = reshape %r2 {shape = [N, 48]} : f64[N, 48]
  %d = dot_general %flat, %w3 {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[N, 10]
  %b3b = broadcast %b3 {shape = [N, 10], dimensions = [1]} : f64[N, 10]
  %s3 = add %d, %b3b : f64[N, 10]
  %p = softmax %s3 {axis = 1} : f64[N, 10]
  return %p
}
"""

# The gates stand in torch's order: input, forget, cell, output.
LSTM = """
dim T in 0..=32
dim N in 1..=8

func @main(
    %x: f64[T, N, 5],
    %h0: f64[N, 3],
    %c0: f64[N, 3],
    %w: f64[12, 5],
    %r: f64[12, 3],
    %b: f64[12],
) -> (y: f64[T, N, 3], h: f64[N, 3], c: f64[N, 3]) {
  %h, %c, %y = scan %h0, %c0, %x, %w, %r, %b {carried = 2, scanned = 1, length = T, reverse = false} : f64[N, 3], f64[N, 3], f64[T, N, 3] body (%h: f64[N, 3], %c: f64[N, 3], %x: f64[N, 5], %w: f64[12, 5], %r: f64[12, 3], %b: f64[12]) {
    %xw = dot_general %x, %w {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[N, 12]
    %hr = dot_general %h, %r {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[N, 12]
    %bb = broadcast %b {shape = [N, 12], dimensions = [1]} : f64[N, 12]
    %s = add %xw, %hr : f64[N, 12]
    %g = add %s, %bb : f64[N, 12]
    %gi = slice %g {start = [0, 0], limit = [N, 3], stride = [1, 1]} : f64[N, 3]
    %gf = slice %g {start = [0, 3], limit = [N, 6], stride = [1, 1]} : f64[N, 3]
    %gc = slice %g {start = [0, 6], limit = [N, 9], stride = [1, 1]} : f64[N, 3]
    %go = slice %g {start = [0, 9], limit = [N, 12], stride = [1, 1]} : f64[N, 3]
    %i = sigmoid %gi : f64[N, 3]
    %f = sigmoid %gf : f64[N, 3]
    %n = tanh %gc : f64[N, 3]
    %o = sigmoid %go : f64[N, 3]
    %kept = mul %f, %c : f64[N, 3]
    %new = mul %i, %n : f64[N, 3]
    %c1 = add %kept, %new : f64[N, 3]
    %t = tanh %c1 : f64[N, 3]
    %h1 = mul %o, %t : f64[N, 3]
    yield %h1, %c1, %h1
  }
  return %y, %h, %c
}
"""


def case(name, module, operands, results):
    encode = lambda values: [tensor("f64", v.detach().numpy()) for v in values]
    return {"name": name, "module": module, "operands": encode(operands), "results": encode(results), "ulps": 1 << 14}


def convolutional():
    convolutions = torch.nn.Conv2d(1, 4, 5, padding=2), torch.nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=False)
    norm, dense = torch.nn.BatchNorm2d(4), torch.nn.Linear(48, 10)
    network = torch.nn.Sequential(
        convolutions[0], torch.nn.Tanh(), torch.nn.MaxPool2d(2), convolutions[1], norm, torch.nn.ReLU(),
        torch.nn.Flatten(), dense, torch.nn.Softmax(1),
    )  # fmt: skip
    network.train()
    network(torch.randn(8, 1, 14, 12))  # The norm's running statistics.
    network.eval()
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    weights = [convolutions[0].weight, convolutions[0].bias, convolutions[1].weight, scale, shift, dense.weight, dense.bias]
    x = torch.randn(3, 1, 14, 12)
    return case("convolutional", CONVOLUTIONAL, [x] + weights, [network(x)])


def lstm():
    layer = torch.nn.LSTM(5, 3)
    weights = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0]
    x, h, c = torch.randn(7, 2, 5), torch.randn(2, 3), torch.randn(2, 3)
    y, (h1, c1) = layer(x, (h[None], c[None]))
    return case("lstm", LSTM, [x, h, c] + weights, [y, h1[0], c1[0]])


def cases():
    torch.manual_seed(9)
    torch.set_default_dtype(torch.float64)
    yield convolutional()
    yield lstm()
