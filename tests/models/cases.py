"""The reference cases of every test model: names, shapes and inputs.

Not a program: `reference.py` computes the outputs.  `CASES` is the one table; each
row names a model, a case and a function that makes the case's inputs.  All random
numbers have fixed seeds; pictures and texts are those that fetch.py gets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer

Arrays = dict[str, np.ndarray]
Run = Callable[[str, Arrays], Arrays]
"""Runs a model (folder/file) on inputs and returns its outputs by name."""

WORDS = ("Hello", "2024", "mlc")
PHOTOS = ("chelsea.png", "coffee.png", "astronaut.png")


@dataclass(frozen=True)
class Case:
    """One set of inputs of a model; `inputs(root, run)` makes them."""

    model: str
    name: str
    inputs: Callable[[Path, Run], Arrays]


def photos(root: Path, count: int, height: int, width: int) -> np.ndarray:
    """Return photographs as f32 [count, height, width, 3], RGB in 0..255."""
    images = []
    for name in PHOTOS[:count]:
        image = Image.open(root / "data/photos" / name).convert("RGB")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        images.append(np.asarray(image, np.float32))
    return np.stack(images)


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def efficientnet(root: Path, _: Run, batch: int) -> Arrays:
    return {"input": channels_first((photos(root, batch, 224, 224) - 127) / 128)}


def nsfw(root: Path, _: Run, batch: int) -> Arrays:
    blue_green_red = photos(root, batch, 224, 224)[..., ::-1]
    mean = np.array([104, 117, 123], np.float32)
    return {"input_0": np.ascontiguousarray(blue_green_red - mean)}


def ddddocr(root: Path, _: Run) -> Arrays:
    return {"images": channels_first(photos(root, 1, 416, 416))}


def ppocr(root: Path, _: Run, batch: int, height: int, width: int) -> Arrays:
    """Photographs with words on them: where there is no text, the output is 1e-7."""
    font = ImageFont.load_default(size=24)
    images = []
    for photo in photos(root, batch, height, width):
        image = Image.fromarray(photo.astype(np.uint8))
        for row, word in enumerate(WORDS * (height // 96 + 1)):
            place = (8, 8 + 32 * row)
            ImageDraw.Draw(image).text(place, word, "white", font)
        images.append(np.asarray(image, np.float32))
    return {"x": channels_first((np.stack(images) / 255 - 0.5) / 0.5)}


def text_ids(root: Path, model: str, count: int, line: int) -> list[int]:
    """Return the first tokens of a line of news, without special ones."""
    tokenizer = Tokenizer.from_file(str(root / model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = (root / "data/lee_background.cor").read_text(encoding="utf-8")
    ids = tokenizer.encode(text.splitlines()[line], add_special_tokens=False).ids
    if len(ids) < count:
        raise ValueError(f"line {line} has {len(ids)} tokens, not {count}")
    return ids[:count]


def minilm(root: Path, _: Run, batch: int, sequence: int) -> Arrays:
    """Sentences between [CLS] and [SEP], each a third shorter than the one before."""
    ids = np.zeros((batch, sequence), np.int64)
    mask = np.zeros((batch, sequence), np.int64)
    length = sequence
    for row in range(batch):
        words = text_ids(root, "minilm-l6", length - 2, line=row)
        ids[row, :length] = [101, *words, 102]
        mask[row, :length] = 1
        length -= length // 3
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": np.zeros_like(ids),
    }


def decoder_inputs(ids: np.ndarray, mask: np.ndarray, cache: Arrays) -> Arrays:
    batch, seq = ids.shape
    past = mask.shape[1] - seq
    positions = np.broadcast_to(np.arange(past, past + seq), (batch, seq))
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": np.ascontiguousarray(positions, np.int64),
    } | cache


def smollm2(root: Path, run: Run, batch: int, past: int, seq: int) -> Arrays:
    """A text, of which `past` tokens were seen; with a batch, rows after the first
    have their last first-call tokens masked, as padding is."""
    model, total = "smollm2-135m", past + seq
    rows = [text_ids(root, model, total, line=row) for row in range(batch)]
    ids = np.array(rows, np.int64)
    mask = np.ones((batch, total), np.int64)
    first = past or seq
    mask[1:, first - first // 3 : first] = 0
    shape = (batch, 3, 0, 64)
    names = [f"{layer}.{kind}" for layer in range(30) for kind in ("key", "value")]
    cache = {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names}
    if past:
        inputs = decoder_inputs(ids[:, :past], mask[:, :past], cache)
        outputs = run(f"{model}/model.onnx", inputs)
        cache = {f"past_key_values.{name}": outputs[f"present.{name}"] for name in names}
    return decoder_inputs(np.ascontiguousarray(ids[:, past:]), mask, cache)


def magika(root: Path, _: Run, batch: int) -> Arrays:
    """The first and last kilobyte of files; 256 fills up what is shorter."""
    data = root / "data"
    contents = [
        (data / "lee.cor").read_bytes(),
        (data / "photos/camera.png").read_bytes(),
        b"import sys\n\n\ndef main():\n    print(sys.argv)\n",
    ]
    values = np.full((batch, 2048), 256, np.int32)
    for row, content in enumerate(contents[:batch]):
        head, tail = content[:1024], content[-1024:]
        values[row, : len(head)] = np.frombuffer(head, np.uint8)
        values[row, 2048 - len(tail) :] = np.frombuffer(tail, np.uint8)
    return {"bytes": values}


def voice(rate: int, samples: int, seed: int) -> np.ndarray:
    """Return f32 in -1..1: a hummed tone with harmonics, that swells, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    pitch = rng.uniform(100, 220) * (1 + 0.05 * np.sin(2 * np.pi * 4 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * time)
    signal = 0.2 * tone * (0.2 + swell) + 0.01 * rng.standard_normal(samples)
    return signal.astype(np.float32)


def silero(_: Path, run: Run, rate: int, batch: int) -> Arrays:
    """The fourth piece of a voice: the state carries what came before."""
    context, new = rate // 250, rate * 4 // 125
    audio = np.stack([voice(rate, context + 4 * new, seed) for seed in range(batch)])
    state = np.zeros((2, batch, 128), np.float32)
    for start in range(0, 4 * new, new):
        piece = np.ascontiguousarray(audio[:, start : start + context + new])
        inputs = {"input": piece, "sr": np.array(rate, np.int64), "state": state}
        state = run("silero-vad/model.onnx", inputs)["stateN"]
    return inputs


def melspectrogram(_: Path, __: Run, batch: int, samples: int) -> Arrays:
    audio = np.stack([voice(16000, samples, seed) for seed in range(batch)])
    return {"input": np.round(audio * 32767).astype(np.float32)}


def embedding(_: Path, run: Run, batch: int) -> Arrays:
    """Windows of 76 frames of the mel spectrum, eight frames apart."""
    samples = (76 + 8 * (batch - 1)) * 160 + 480
    audio = melspectrogram(_, run, 1, samples)
    spectrum = run("openwakeword/melspectrogram.onnx", audio)["output"]
    frames = spectrum.reshape(-1, 32) / 10 + 2
    windows = [frames[8 * index : 8 * index + 76] for index in range(batch)]
    return {"input_1": np.stack(windows)[..., None].astype(np.float32)}


def hey_jarvis(_: Path, __: Run, seed: int) -> Arrays:
    """Random features with a score around one half.  The hum above scores 3e-5, which
    onnxruntime gives with an error of 6e-8, as its sigmoid does: no reference at all."""
    features = np.random.default_rng(seed).standard_normal((1, 16, 96))
    return {"x.1": (14 * features).astype(np.float32)}


def table() -> list[Case]:
    """Return every case of every model."""
    rows = []

    def add(model: str, name: str, inputs: Callable, **sizes: int) -> None:
        rows.append(Case(model, name, partial(inputs, **sizes)))

    for model in ("minilm-l6", "minilm-int8"):
        for batch, sequence in ((1, 7), (1, 16), (2, 33), (1, 128)):
            name = f"batch-{batch}-sequence-{sequence}"
            add(f"{model}/model.onnx", name, minilm, batch=batch, sequence=sequence)
    for past, seq in ((0, 5), (5, 1), (17, 3)):
        for batch in (1, 2):
            name = f"batch-{batch}-past-{past}-seq-{seq}"
            sizes = {"batch": batch, "past": past, "seq": seq}
            add("smollm2-135m/model.onnx", name, smollm2, **sizes)
    for batch in (1, 2):
        name = f"batch-{batch}"
        for file in ("model", "model-bn"):
            add(f"efficientnet-lite0/{file}.onnx", name, efficientnet, batch=batch)
        add("open-nsfw/model.onnx", name, nsfw, batch=batch)
        add("openwakeword/embedding_model.onnx", name, embedding, batch=batch)
        for rate in (16000, 8000):
            name = f"batch-{batch}-rate-{rate}"
            add("silero-vad/model.onnx", name, silero, rate=rate, batch=batch)
    for batch in (1, 3):
        add("magika/model.onnx", f"batch-{batch}", magika, batch=batch)
    add("ddddocr-det/model.onnx", "photo", ddddocr)
    for batch, height, width in ((1, 64, 96), (1, 160, 224), (1, 320, 320), (2, 96, 64)):
        name = f"batch-{batch}-{height}x{width}"
        sizes = {"batch": batch, "height": height, "width": width}
        add("ppocr-v4-det/model.onnx", name, ppocr, **sizes)
    for batch, samples in ((1, 1760), (1, 12640), (2, 4000)):
        name = f"batch-{batch}-samples-{samples}"
        sizes = {"batch": batch, "samples": samples}
        add("openwakeword/melspectrogram.onnx", name, melspectrogram, **sizes)
    for seed in (66, 84):
        add("openwakeword/hey_jarvis_v0.1.onnx", f"seed-{seed}", hey_jarvis, seed=seed)
    return rows


CASES = table()
