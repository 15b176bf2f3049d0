#!/usr/bin/env python3
"""Makes digits.onnx, a small network that reads handwritten digits, and an image and its result to try it with.

    python make_digits.py FOLDER

FOLDER holds the four files of MNIST (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"), packed with gzip.
Needs numpy, onnx, onnxruntime and torch. The three files next to this script were made with it; the training is seeded, but
other versions of torch may give other weights.
"""

import gzip
import pathlib
import sys

import numpy
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
EPOCHS = 4


def read_idx(path):
    """An IDX file of bytes: two zeros, type 8, rank, big-endian extents, elements."""
    data = gzip.open(path).read()
    rank = data[3]
    shape = numpy.frombuffer(data, ">i4", rank, 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder, part):
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz").astype(numpy.float32)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(numpy.int64)
    return torch.from_numpy(images[:, None]), torch.from_numpy(labels)


class Digits(torch.nn.Module):
    """Two strided convolutions and a linear layer, 3898 parameters."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 6, 5, stride=2)
        self.second = torch.nn.Conv2d(6, 12, 5, stride=2)
        self.linear = torch.nn.Linear(12 * 16, 10)

    def forward(self, image):
        x = torch.relu(self.first(image / 255))
        x = torch.relu(self.second(x))
        return self.linear(x.flatten(1))


def train(images, labels):
    torch.manual_seed(1)
    network = Digits()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    steps = EPOCHS * len(images) // 100
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(100):
            loss = torch.nn.functional.cross_entropy(network(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def export(network):
    """The same network in ONNX, with probabilities instead of logits."""
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}
    weights["scale"] = numpy.float32(1 / 255)
    conv = {"kernel_shape": [5, 5], "strides": [2, 2]}
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"], "scaling"),
        helper.make_node("Conv", ["scaled", "first.weight", "first.bias"], ["conv1"], "first", **conv),
        helper.make_node("Relu", ["conv1"], ["relu1"], "first_relu"),
        helper.make_node("Conv", ["relu1", "second.weight", "second.bias"], ["conv2"], "second", **conv),
        helper.make_node("Relu", ["conv2"], ["relu2"], "second_relu"),
        helper.make_node("Flatten", ["relu2"], ["features"], "flatten"),
        helper.make_node("Gemm", ["features", "linear.weight", "linear.bias"], ["logits"], "linear", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    network = train(*load(folder, "train"))
    images, labels = load(folder, "t10k")
    with torch.no_grad():
        right = (network(images).argmax(1) == labels).float().mean().item()
    print(f"{100 * right:.2f} % of the test images")
    model = export(network)
    onnx.save(model, HERE / "digits.onnx")
    image = images[:1].numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (probabilities,) = session.run(None, {"image": image})
    numpy.savez_compressed(HERE / "digits_inputs.npz", image=image)
    numpy.savez_compressed(HERE / "digits_outputs.npz", probabilities=probabilities)


main()
