"""Train the network that reads digits and write it as digits.onnx.

usage: train_digits.py [--data mnist_5k.csv.gz] [--out FOLDER]

    input    image   float [batch, 1, 28, 28]  0 (paper) to 1 (ink)
    output   scores  float [batch, 10]         probability of each digit

Two convolutions and a residual block of a depthwise and a 1x1 convolution, trained by
Adam on 4,000 digits that are turned, scaled and moved a little each time.  The other
1,000 are never trained on; the accuracy is measured on them, and the first of each
digit among them is written to FOLDER/pictures.  Takes about a minute.

needs: numpy onnx pillow; the data, which tests/models/fetch.py gets
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from layers import Conv, Depthwise, Flatten, Layer, Linear, MaxPool, Relu, Residual

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / ".models/data/mnist_5k.csv.gz"
SEED = 2024
TRAINED = 4000
EPOCHS = 24
BATCH = 50
RATE = 2e-3


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures u8 [5000, 28, 28] and labels, shuffled."""
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    rows = np.random.default_rng(SEED).permutation(rows)
    return rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1]


def distorted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn, scale and move each picture [count, 28, 28] by a random bit."""
    count = len(images)
    angle = rng.uniform(-0.2, 0.2, count)
    scale = rng.uniform(0.9, 1.1, (2, count))
    shift = rng.uniform(-2, 2, (2, count))
    rows, columns = np.mgrid[0:28, 0:28] - 13.5
    sine, cosine = (f(angle)[:, None, None] for f in (np.sin, np.cos))
    y = (cosine * rows - sine * columns) * scale[0][:, None, None] + shift[0][:, None, None]
    x = (sine * rows + cosine * columns) * scale[1][:, None, None] + shift[1][:, None, None]
    y, x = (np.clip(axis + 13.5, 0, 26.999) for axis in (y, x))
    top, left = y.astype(int), x.astype(int)
    y, x = y - top, x - left
    which = np.arange(count)[:, None, None]
    upper = images[which, top, left] * (1 - x) + images[which, top, left + 1] * x
    lower = images[which, top + 1, left] * (1 - x) + images[which, top + 1, left + 1] * x
    return (upper * (1 - y) + lower * y).astype(np.float32)


def make_network(rng: np.random.Generator) -> list[Layer]:
    block = Residual(Depthwise(rng, 24), Relu(), Linear(rng, 24, 24))
    first = [Conv(rng, 1, 12), Relu(), MaxPool()]
    return [*first, Conv(rng, 12, 24), Relu(), block, Relu(), MaxPool(), Flatten(), Linear(rng, 24 * 49, 10)]


def forward(network: list[Layer], x: np.ndarray) -> np.ndarray:
    """Return the probabilities of the digits."""
    for layer in network:
        x = layer.forward(x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def backward(network: list[Layer], scores: np.ndarray, labels: np.ndarray) -> None:
    """Set every layer's gradients for the mean cross-entropy."""
    gradient = (scores - np.eye(10, dtype=np.float32)[labels]) / len(labels)
    for layer in reversed(network):
        gradient = layer.backward(gradient)


def with_parameters(network: list[Layer]) -> list[Layer]:
    inner = [part for layer in network for part in getattr(layer, "layers", [layer])]
    return [layer for layer in inner if layer.parameters]


class Adam:
    """Adam with decoupled weight decay."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self.step = 0
        self.means = [[np.zeros_like(p) for p in layer.parameters] for layer in layers]
        self.squares = [[np.zeros_like(p) for p in layer.parameters] for layer in layers]

    def update(self, rate: float) -> None:
        self.step += 1
        rate *= np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        for layer, means, squares in zip(self.layers, self.means, self.squares):
            for parameter, gradient, mean, square in zip(layer.parameters, layer.gradients, means, squares):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient * gradient - square)
                parameter -= rate * mean / (np.sqrt(square) + 1e-8)
                if parameter.ndim > 1:
                    parameter -= rate * 0.02 * parameter


def accuracy(network: list[Layer], images: np.ndarray, labels: np.ndarray) -> float:
    return float((forward(network, images).argmax(axis=1) == labels).mean())


def train(images: np.ndarray, labels: np.ndarray, held_out: tuple[np.ndarray, np.ndarray]) -> list[Layer]:
    """Train on pictures f32 [count, 28, 28] in 0..1."""
    rng = np.random.default_rng(SEED)
    network = make_network(rng)
    adam = Adam(with_parameters(network))
    steps = EPOCHS * (len(images) // BATCH)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            scores = forward(network, distorted(images[rows], rng)[..., None])
            backward(network, scores, labels[rows])
            adam.update(RATE * 0.5 * (1 + np.cos(np.pi * adam.step / steps)))
        print(f"epoch {epoch + 1} of {EPOCHS}: {accuracy(network, *held_out):.1%} on held-out digits", flush=True)
    return network


def to_onnx(network: list[Layer]) -> onnx.ModelProto:
    """Write the network as a graph; the middle part of `make_network` is its residual block."""
    conv1, conv2, depthwise, pointwise, classifier = with_parameters(network)
    initializers = []

    def weights(name: str, weight: np.ndarray, bias: np.ndarray) -> list[str]:
        arrays = {f"{name}.weight": weight, f"{name}.bias": bias}
        initializers.extend(numpy_helper.from_array(np.array(a, order="C"), n) for n, a in arrays.items())
        return list(arrays)

    def conv(layer: Layer, x: str, y: str, size: int = 3, group: int = 1) -> onnx.NodeProto:
        names = weights(y, layer.onnx_weight(), layer.parameters[1])
        pads = [size // 2] * 4
        return helper.make_node("Conv", [x, *names], [y], y, kernel_shape=[size, size], pads=pads, group=group)

    def node(op: str, inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [output], output, **attributes)

    square = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        conv(conv1, "image", "conv1"),
        node("Relu", ["conv1"], "relu1"),
        node("MaxPool", ["relu1"], "pool1", **square),
        conv(conv2, "pool1", "conv2"),
        node("Relu", ["conv2"], "relu2"),
        conv(depthwise, "relu2", "depthwise", group=24),
        node("Relu", ["depthwise"], "relu3"),
        conv(pointwise, "relu3", "pointwise", size=1),
        node("Add", ["relu2", "pointwise"], "sum"),
        node("Relu", ["sum"], "relu4"),
        node("MaxPool", ["relu4"], "pool2", **square),
        node("Flatten", ["pool2"], "features"),
        node("Gemm", ["features", *weights("classifier", *classifier.parameters)], "logits"),
        node("Softmax", ["logits"], "scores", axis=-1),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])]
    graph = helper.make_graph(nodes, "digits", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, producer_name="train_digits", ir_version=8, opset_imports=opsets)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_pictures(images: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write the first picture of each digit, named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    for digit in range(10):
        image = images[np.flatnonzero(labels == digit)[0]]
        Image.fromarray(image).save(folder / f"{digit}-a.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    pictures, labels = load(args.data)
    images = pictures.astype(np.float32) / 255
    held_out = (images[TRAINED:, ..., None], labels[TRAINED:])
    network = train(images[:TRAINED], labels[:TRAINED], held_out)
    path = args.out / "digits.onnx"
    onnx.save(to_onnx(network), path)
    write_pictures(pictures[TRAINED:], labels[TRAINED:], args.out / "pictures")
    print(f"{path}: {path.stat().st_size / 1e3:.0f} KB, {accuracy(network, *held_out):.1%} on held-out digits")


if __name__ == "__main__":
    main()
