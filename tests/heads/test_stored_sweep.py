"""Every architecture saved as a folder, and its head read from there alone; and how much memory a large one needs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from architectures import KINDS, build
from heads.test_cut_sweep import UNBUILDABLE

from irp_hf.heads import open_head
from irp_hf.heads import stored as stored_heads
from irp_hf.heads.cut import HeadCut

# Do not run on noise made up for them; the whole model is loaded, and the head cut from that:
WHOLE: dict[str, str] = {
    "ShieldGemma2ForImageClassification": "a vision-language model with its own words for yes and no",
}


def processor(model: Any) -> Any:
    """What lies beside a model that reads sound, or patches, fitted to the tiny one; None for others."""
    config = model.config
    if config.model_type == "siglip2":
        return transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    if KINDS[type(model).__name__] != "audio":
        return None
    if config.model_type == "whisper":  # one second, in as many frames as it has positions
        return transformers.WhisperFeatureExtractor(
            feature_size=config.num_mel_bins, chunk_length=1, hop_length=8000 // config.max_source_positions
        )
    if config.model_type == "audio-spectrogram-transformer":
        return transformers.ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    if config.model_type == "wav2vec2-bert":
        return transformers.SeamlessM4TFeatureExtractor(
            feature_size=config.feature_projection_input_dim // 2, num_mel_bins=config.feature_projection_input_dim // 2
        )
    return transformers.Wav2Vec2FeatureExtractor()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(KINDS) - set(UNBUILDABLE)))
def test_the_stored_head_is_the_models(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is a head that is silently another, or a backbone that is loaded without need."""
    model, batch = build(name)
    model.save_pretrained(tmp_path)
    if beside := processor(model):
        beside.save_pretrained(tmp_path)
    loaded: list[str] = []
    really_load = stored_heads._whole_cut
    monkeypatch.setattr(stored_heads, "_whole_cut", lambda *args: (loaded.append(name), really_load(*args))[1])
    head = open_head(tmp_path)
    assert bool(loaded) == (name in WHOLE), "read whole: put it on the list, or take it off"

    cut = HeadCut(model, **batch(3))
    assert head.dim == cut.dim
    want, got = cut.head_only(), head.scorer
    stored, own = want.model.state_dict(), got.model.state_dict()
    assert own.keys() == stored.keys()
    assert all(torch.equal(tensor, stored[key]) for key, tensor in own.items())
    z = torch.randn(5, cut.dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = want(z)
        assert float((got(z) - scores).abs().max() / scores.abs().max()) < 1e-6  # memory is aligned otherwise


def test_the_lists_name_classes_that_exist() -> None:
    assert set(WHOLE) <= set(KINDS) - set(UNBUILDABLE)


SCRIPT = """
import re, sys, torch, transformers
import irp_hf.heads.stored
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
small, large = sys.argv[1:]
irp_hf.heads.open_head(small)  # what libraries load at their first use
before = peak()
head = irp_hf.heads.open_head(large)
assert head(torch.zeros(2, head.dim)).shape == (2, 2)
after = peak()
whole = transformers.AutoModelForSequenceClassification.from_pretrained(large).bert
read = [parameter.max() for parameter in whole.parameters()]  # it is a window on the file, till it is used
print(after - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system tells no peak of one process")
def test_reading_the_head_of_a_large_classifier_needs_little_memory(tmp_path: Path) -> None:
    """Peak memory of a process that reads the head of BERT (220 MB in half precision), and then loads it whole."""
    for name, sizes in (("small", dict(hidden_size=32, num_attention_heads=2, num_hidden_layers=1)), ("large", {})):
        with torch.device("meta"):
            model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes)).half()
        model.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        model.save_pretrained(tmp_path / name)
    run = [sys.executable, "-c", SCRIPT, tmp_path / "small", tmp_path / "large"]
    exact = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # glibc gives back at once what is freed
    output = subprocess.run(run, capture_output=True, text=True, check=True, env=exact).stdout
    head, whole = map(int, output.split())
    assert whole > 150  # else the measure sees nothing
    assert head < 100
