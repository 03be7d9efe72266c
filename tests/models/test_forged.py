"""A folder whose checksum is right and whose numbers are not: what nobody's fit gives is refused when it is loaded."""

import numpy as np
import pytest
import torch
from forging import save_forged
from says import says
from transformers import AutoModel

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import DamagedFolderError

NAN, INF = float("nan"), float("inf")


def fill(value, row=...):
    def change(tensor):
        changed = tensor.clone()
        changed[row] = value
        return changed

    return change


def forge(folder, kind, name, change):
    """Save it again with another tensor, and the checksum that belongs to it."""
    model = kind.from_pretrained(folder)
    model._set_tensor(name, change(getattr(model, name)))
    save_forged(model, folder)


SPACES = {
    "NaN among anchors": ("anchors", fill(NAN, (3, 2)), ["NaN", "anchors"]),
    "anchors all alike": ("anchors", fill(0.5), ["anchors", "same vector"]),
    "anchors without length": ("anchors", lambda t: t * 1e-30, ["anchors"]),
    "no scale": ("mean_scale", fill(0.0), ["mean_scale 0"]),
    "a scale below 0": ("mean_scale", fill(-1.0), ["mean_scale -1"]),
    "a scale of NaN": ("mean_scale", fill(NAN), ["mean_scale"]),
    "another scale": ("mean_scale", lambda t: t * 1000, ["mean_scale"]),
    "an infinite mean": ("mean", fill(INF, 0), ["infinity", "mean"]),
    "another mean": ("mean", lambda t: t + 1e6, ["mean", "away"]),
}
ADAPTERS = {
    "NaN": ("kernel", "coefficients", fill(NAN, 0), ["NaN", "coefficients"]),
    "infinity": ("whitened", "weight", fill(INF, 0), ["infinity", "weight"]),
    "coefficients that overflow": ("kernel", "coefficients", fill(3e38), ["infinity"]),
    "weights that overflow": ("pruned", "weight", fill(3e38), ["infinity"]),
    "no scale": ("kernel", "target_scale", fill(0.0), ["target_scale 0"]),
    "a scale below 0": ("pruned", "target_scale", fill(-1.0), ["target_scale -1"]),
    "landmarks of no unit length": ("kernel", "landmarks", lambda t: t * 7, ["landmarks", "7"]),
    "anchors all alike": ("kernel", "target_anchors", fill(1.0), ["target_anchors"]),
    "a mean of NaN": ("whitened", "source_mean", fill(NAN, 0), ["source_mean"]),
    "a confidence of NaN": ("kernel", "confidence_bias", fill(NAN), ["confidence_bias"]),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_forged_space(saved, name, refusal):
    """Whoever connects with it would translate into NaN, or mirror every vector, without a word."""
    tensor, change, words = SPACES[name]
    folder = saved("space")
    forge(folder, AnchoredSpace, tensor, change)
    assert says(refusal(AnchoredSpace.from_pretrained, folder, error=DamagedFolderError), folder, *words)
    assert says(refusal(IRPAdapter.connect, folder, folder, error=DamagedFolderError), folder)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_forged_adapter(saved, name, refusal):
    """Every answer would be NaN, or noise, without a word."""
    method, tensor, change, words = ADAPTERS[name]
    folder = saved(method)
    forge(folder, IRPAdapter, tensor, change)
    for load in (IRPAdapter.from_pretrained, AutoModel.from_pretrained):
        assert says(refusal(load, folder, error=DamagedFolderError), folder, *words)


def test_a_kernel_without_gamma(saved, refusal):
    """The checksum covers the configuration, and whoever forges one writes both."""
    folder = saved("kernel")
    model = IRPAdapter.from_pretrained(folder)
    model.config.gamma = None
    save_forged(model, folder)
    assert says(refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError), folder, "gamma")


def test_what_a_pair_records_of_its_anchors(digits, spaces, anchor_set):
    """An adapter would claim that a side without a fingerprint was encoded from the other's anchors."""
    source, target = spaces
    unknown = AnchoredSpace.from_embeddings(digits.target)
    given = dict(method="kernel", gamma=1.0, ridge=0.01)
    source.config.anchor_set = {"id": "me/anchors", "license": "mit"}
    try:
        for pair in ((source, unknown), (AnchoredSpace.from_embeddings(digits.source), target)):
            adapter = IRPAdapter.connect(*pair, **given)
            back = adapter.reverse(**given)
            for made in (adapter, back, adapter.source, adapter.target):
                assert made.config.anchor_fingerprint is None
                assert made.config.anchor_set is None
        both = IRPAdapter.connect(source, target, **given)
        assert both.config.anchor_fingerprint == anchor_set.fingerprint
        assert both.config.anchor_set == {"id": "me/anchors", "license": "mit"}
        assert both.reverse(**given).source.config.anchor_fingerprint == anchor_set.fingerprint
    finally:
        source.config.anchor_set = None


def test_honest_folders_load(saved):
    """Bounds that refuse what was saved."""
    for name in ("kernel", "whitened", "pruned"):
        model = IRPAdapter.from_pretrained(saved(name))
        assert np.isfinite(model.translate(model.source_anchors).numpy()).all()
    assert torch.isfinite(AnchoredSpace.from_pretrained(saved("space")).anchors).all()
