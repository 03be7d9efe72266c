"""Tiny random encoders of every kind, saved as the real ones are: model, and tokenizer or processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

WORDS = [f"w{i}" for i in range(40)]
LAYERS = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
VOCAB = dict(vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
PATCHES = dict(image_size=32, patch_size=8)
SPEECH = dict(
    conv_dim=(16, 16), conv_kernel=(10, 8), conv_stride=(8, 4), num_feat_extract_layers=2, vocab_size=64
) | dict(num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, mask_time_prob=0.0)
RATE = 16000


def tokenizer(side: str = "right", pads: bool = True, limit: int = 64) -> PreTrainedTokenizerFast:
    """One token a word, and "[EOS]" after every text; "[BOS]" before it would make a decoder's first vector constant."""
    vocab = {word: i for i, word in enumerate(["[PAD]", "[BOS]", "[EOS]", "[UNK]", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing("$A [EOS]", special_tokens=[("[EOS]", 2)])
    special = dict(bos_token="[BOS]", eos_token="[EOS]", unk_token="[UNK]") | ({"pad_token": "[PAD]"} if pads else {})
    return PreTrainedTokenizerFast(tokenizer_object=inner, padding_side=side, model_max_length=limit, **special)


def texts(count: int = 9) -> list[str]:
    """Of many lengths, in no order of length."""
    return [" ".join(WORDS[(row + i) % len(WORDS)] for i in range(1 + 5 * row % 13)) for row in range(count)]


def pictures(count: int = 5) -> list[Image.Image]:
    """Noise of several sizes."""
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (30 + 9 * row, 64, 3), np.uint8)) for row in range(count)]


def waves(count: int = 5) -> list[np.ndarray]:
    """Noise of several lengths, no two alike."""
    random = np.random.default_rng(0)
    return [random.normal(0, 0.2, 3000 + 700 * (3 * row % count)).astype(np.float32) for row in range(count)]


def model(kind: str, auto: Any = AutoModel, **settings: Any) -> Any:
    """A random model of that type."""
    torch.manual_seed(0)
    return perturbed(auto.from_config(AutoConfig.for_model(kind, **settings)))


def perturbed(made: Any) -> Any:
    """With weights so large that every input matters, and ready to run."""
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return made.eval()


def save(folder: Path, *parts: Any) -> Path:
    """Save model and processors to a folder, and return it."""
    for part in parts:
        part.save_pretrained(folder)
    return folder


def image_processor(name: str = "ViTImageProcessorPil") -> Any:
    """To 32 pixels."""
    size = {"shortest_edge": 32} if "CLIP" in name or "ConvNext" in name else {"height": 32, "width": 32}
    return getattr(transformers, name)(size=size, crop_size={"height": 32, "width": 32})


def trained(model: Any, texts: list[str], rate: float) -> Any:
    """The model itself after a step of training on texts, in evaluation mode."""
    model.train()
    batch = tokenizer()(texts, padding=True, return_tensors="pt")
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    hidden.square().mean().backward()
    optimizer.step()
    return model.eval()
