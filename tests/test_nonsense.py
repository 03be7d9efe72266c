"""Nonsense for every argument of what users call: an error of ours each time, never one from the depths of a library."""

import itertools

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from datasets import Dataset
from transformers import pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.encoding import encode
from irp_hf.errors import InputError, IRPError
from irp_hf.heads import Head, open_head
from irp_hf.parallel import encode_dataset, run_sharded
from irp_hf.stitching.model import StitchedModel


class Thing:
    """Of a class that nobody knows."""


NONSENSE = (
    *(None, True, 0, -1, 1.5, float("nan"), 10**400, np.float32(1.5), "", "nonsense", "\ud800", "x\0y", b"x"),
    *([], [None], ("a",), {}, {1: 2}, {"a"}, np.array([]), object, Thing(), lambda *a: None),
)
SOURCE = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
TARGET = np.tanh(SOURCE @ np.random.default_rng(1).normal(size=(6, 5))).astype(np.float32)
FIT = dict(method="kernel", gamma=1.0, ridge=0.01)
ADAPTER = IRPAdapter.from_anchors(SOURCE, TARGET, **FIT)
SPACE, OTHER = AnchoredSpace.from_embeddings(SOURCE), AnchoredSpace.from_embeddings(TARGET)
SET = AnchorSet(tiny.texts(9))
TABLE = Dataset.from_dict({"text": tiny.texts(5), "label": [0, 1, 0, 1, 0]})
HEAD = torch.nn.Linear(stitched.WIDTH, 3)


def lengths(items):
    return np.array([[len(str(item)), 1.0, 2.0] for item in items], np.float32)


def embed(items):
    """An encoder that takes anything."""
    return stitched.embed([str(item) for item in items])


MODEL = StitchedModel(embed, stitched.identity(), HEAD)
OF_ENCODERS = (
    *("pooling", "prompt", "prompt_name", "task", "max_length", "truncate_dim", "normalize", "at", "modality"),
    *("processor", "device", "device_map", "dtype", "revision", "token", "trust_remote_code", "subfolder", "variant"),
)
CALLS = {
    "from_anchors": (
        IRPAdapter.from_anchors,
        dict(source_embeddings=SOURCE, target_embeddings=TARGET, **FIT),
        ("method", "head", "restoration", "num_landmarks", "seed", "lift", "balance", "num_subspaces"),
    ),
    "connect": (IRPAdapter.connect, dict(source=SPACE, target=OTHER, **FIT), ("objective",)),
    "translate": (ADAPTER.translate, dict(x=SOURCE[:3]), ("out", "chunk_size", "return_confidence")),
    "confidence": (ADAPTER.confidence, dict(x=SOURCE[:3]), ("chunk_size",)),
    "forward": (ADAPTER, dict(embeddings=torch.from_numpy(SOURCE[:3])), ("return_confidence",)),
    "evaluate": (ADAPTER.evaluate, dict(x=SOURCE[:9], y=TARGET[:9]), ("head",)),
    "load": (
        IRPAdapter.from_pretrained,
        dict(pretrained_model_name_or_path="saved", local_files_only=True),
        ("revision", "token", "subfolder", "device_map", "gamma", "method"),
    ),
    "save": (ADAPTER.save_pretrained, dict(save_directory="saved-again"), ()),
    "anchors": (AnchorSet, dict(items=tiny.texts(5)), ("dataset_id", "license")),
    "sample": (
        AnchorSet.sample,
        dict(dataset=TABLE, num_anchors=3),
        ("column", "seed", "strategy", "embeddings", "label_column", "views"),
    ),
    "load anchors": (AnchorSet.from_pretrained, dict(folder="anchors"), ("revision", "token")),
    "save anchors": (SET.save_pretrained, dict(folder="anchors-again"), ()),
    "space": (AnchoredSpace.from_embeddings, dict(embeddings=SOURCE), ("anchor_set", "encoder")),
    "encode a space": (AnchoredSpace.encode, dict(encoder=lengths, anchors=SET), ("view",)),
    "relative": (SPACE.to_relative, dict(x=SOURCE[:3]), ("method", "gamma", "ridge", "balance")),
    "absolute": (OTHER.to_absolute, dict(z=np.ones((2, 40), np.float32)), ("method",)),
    "encode": (encode, dict(encoder=lengths, items=["a", "b"]), ("batch_size", "out", "progress", *OF_ENCODERS)),
    "encode_dataset": (
        encode_dataset,
        dict(encoder=lengths, dataset=TABLE, column="text", out="vectors.npy"),
        ("batch_size", "block_size", "progress"),
    ),
    "run_sharded": (
        run_sharded,
        dict(function=lengths, items=["a", "b"], out_folder="sharded"),
        ("block_size", "record", "progress"),
    ),
    "open_head": (open_head, dict(head=HEAD), ("revision", "token", "subfolder", "variant")),
    "head": (Head, dict(scorer=HEAD), ("labels", "problem_type", "dim", "record", "classes")),
    "stitch": (
        StitchedModel,
        dict(encoder=embed, adapter=stitched.identity(), head=HEAD),
        ("on_mismatch", "head_revision", "head_trust_remote_code", "head_subfolder", "adapter_revision", *OF_ENCODERS),
    ),
    "predict": (MODEL.predict, dict(items=["a", "b"]), ("batch_size", "return_confidence", "progress", "confidence")),
    "classify a batch": (MODEL, dict(items=["a", "b"]), ("return_confidence", "max_length")),
    "predict_dataset": (
        MODEL.predict_dataset,
        dict(dataset=TABLE, column="text", out_folder="predicted"),
        ("batch_size", "block_size", "return_confidence"),
    ),
    "pipeline": (
        lambda **given: pipeline("irp-stitch", model=stitched.identity(), **given),
        dict(encoder=embed, head=HEAD),
        ("top_k", "function_to_apply", "timeout", "truncation", "max_length", "encoder_device", "encoder_subfolder"),
    ),
    "configuration": (IRPConfig, {}, ("method", "gamma", "given", "anchor_set", "source_encoder", "num_anchors")),
    "configuration of a space": (AnchoredSpaceConfig, {}, ("encoder", "hidden_size", "weights_sha256")),
}


@pytest.fixture(autouse=True)
def at_a_desk(tmp_path, monkeypatch):
    """Saved things lie here, and whatever a call writes."""
    monkeypatch.chdir(tmp_path)
    ADAPTER.save_pretrained("saved")
    SET.save_pretrained("anchors")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_nonsense_is_refused_in_words(name):
    """A raw error of numpy, torch or transformers says nothing of the argument that was wrong."""
    call, good, more = CALLS[name]
    call(**good)
    for argument, value in itertools.product((*good, *more), NONSENSE):
        try:
            call(**{**good, argument: value})
        except IRPError:
            pass
        except Exception as error:
            raise AssertionError(f"{name}: {argument}={value!r:.40}") from error


def test_what_was_saved_is_not_loaded_as_something_else(refusal):
    """The folder would be called damaged."""
    text = refusal(IRPAdapter.from_pretrained, "saved", gamma=5, error=InputError)
    assert text.startswith("gamma: expected nothing")
    for device_map in ("nonsense", "cuda:77", {"": "gpu"}, 1.5, ["cpu"]):
        text = refusal(IRPAdapter.from_pretrained, "saved", device_map=device_map, error=InputError)
        assert text.startswith("device_map: expected")
    assert IRPAdapter.from_pretrained("saved", device_map="cpu").device == torch.device("cpu")


def test_a_configuration_says_what_is_wrong(refusal):
    """`StrictDataclassFieldValidationError` is no error of ours, and names no way out."""
    assert "'kernel', 'whitened', 'rigid', 'pruned', got 'x'" in refusal(IRPConfig, method="x", error=InputError)
    assert "gamma" in refusal(IRPConfig, gamma="x", error=InputError)
    config = IRPConfig()
    assert "gamma" in refusal(setattr, config, "gamma", "x", error=InputError)
    assert config.method == "kernel"
