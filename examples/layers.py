"""The layers of `train_digits.py`, forwards and backwards, in numpy.

Pictures are [count, height, width, channels] here, so that a convolution is one matrix
product.  Every layer has `forward(x)`, `backward(gradient)` and the lists `parameters`
and `gradients`.
"""

import numpy as np

OFFSETS = [(row, column) for row in range(3) for column in range(3)]


class Layer:
    """A layer without parameters."""

    def __init__(self, *parameters: np.ndarray) -> None:
        self.parameters = list(parameters)
        self.gradients = [np.zeros_like(parameter) for parameter in parameters]


def shifted(x: np.ndarray) -> list[np.ndarray]:
    """Return the nine pictures that a 3x3 window sees, zeros outside."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, row : row + height, column : column + width] for row, column in OFFSETS]


def unshifted(parts: list[np.ndarray]) -> np.ndarray:
    """Add up nine gradients; the reverse of `shifted`."""
    count, height, width, channels = parts[0].shape
    padded = np.zeros((count, height + 2, width + 2, channels), np.float32)
    for (row, column), part in zip(OFFSETS, parts):
        padded[:, row : row + height, column : column + width] += part
    return padded[:, 1:-1, 1:-1]


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


class Conv(Layer):
    """A 3x3 convolution with zeros around the picture."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int) -> None:
        weight = he_normal(rng, (9 * inputs, outputs), 9 * inputs)
        super().__init__(weight, np.zeros(outputs, np.float32))

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.windows = np.concatenate(shifted(x), axis=-1)
        return self.windows @ self.parameters[0] + self.parameters[1]

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        rows = gradient.reshape(-1, gradient.shape[-1])
        self.gradients[0] = self.windows.reshape(len(rows), -1).T @ rows
        self.gradients[1] = rows.sum(axis=0)
        return unshifted(np.split(gradient @ self.parameters[0].T, 9, axis=-1))

    def onnx_weight(self) -> np.ndarray:
        weight = self.parameters[0]
        return weight.reshape(3, 3, -1, weight.shape[1]).transpose(3, 2, 0, 1)


class Depthwise(Layer):
    """A 3x3 convolution of each channel with its own weights."""

    def __init__(self, rng: np.random.Generator, channels: int) -> None:
        weight = he_normal(rng, (9, channels), 9)
        super().__init__(weight, np.zeros(channels, np.float32))

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.windows = shifted(x)
        weight, bias = self.parameters
        return sum(part * row for part, row in zip(self.windows, weight)) + bias

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        parts = [np.einsum("nhwc,nhwc->c", part, gradient) for part in self.windows]
        self.gradients[0] = np.stack(parts)
        self.gradients[1] = gradient.sum(axis=(0, 1, 2))
        return unshifted([gradient * row for row in self.parameters[0]])

    def onnx_weight(self) -> np.ndarray:
        return self.parameters[0].reshape(3, 3, 1, -1).transpose(3, 2, 0, 1)


class Linear(Layer):
    """A matrix product over the last axis: a 1x1 convolution, or the classifier."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int) -> None:
        weight = he_normal(rng, (inputs, outputs), inputs)
        super().__init__(weight, np.zeros(outputs, np.float32))

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.parameters[0] + self.parameters[1]

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        rows = gradient.reshape(-1, gradient.shape[-1])
        self.gradients[0] = self.x.reshape(len(rows), -1).T @ rows
        self.gradients[1] = rows.sum(axis=0)
        return gradient @ self.parameters[0].T

    def onnx_weight(self) -> np.ndarray:
        return self.parameters[0].T[:, :, None, None]


class Relu(Layer):
    """max(x, 0)"""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.mask = x > 0
        return x * self.mask

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return gradient * self.mask


class MaxPool(Layer):
    """The largest of each 2x2 square."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        count, height, width, channels = x.shape
        self.squares = x.reshape(count, height // 2, 2, width // 2, 2, channels)
        self.largest = self.squares.max(axis=(2, 4), keepdims=True)
        return self.largest[:, :, 0, :, 0]

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        mask = self.squares == self.largest
        share = gradient[:, :, None, :, None] / mask.sum(axis=(2, 4), keepdims=True)
        count, rows, _, columns, _, channels = mask.shape
        result = (mask * share).astype(np.float32)
        return result.reshape(count, 2 * rows, 2 * columns, channels)


class Flatten(Layer):
    """All values of a picture in a row, channel by channel, as ONNX orders them."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        count, height, width, channels = self.shape
        return gradient.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


class Residual(Layer):
    """x + layers(x)"""

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        return x + y

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        inner = gradient
        for layer in reversed(self.layers):
            inner = layer.backward(inner)
        return gradient + inner
