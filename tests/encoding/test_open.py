"""Options of the wrong type: each is refused by its name before anything is loaded, whatever the encoder is."""

from typing import Any

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from says import says

from irp_hf import InputError
from irp_hf.checkpoints.repository import Repository, find
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.errors import kind_of

WRONG: dict[str, tuple[Any, ...]] = {
    "pooling": (3, True, [], ["mean", 3], {"mean": 1}),
    "prompt": (3, b"query: ", ["query: "], True),
    "normalize": (1, "yes", "False"),
    "device": ("cdua", "", 0.5, True, ["cpu"]),
    "dtype": ("float12", "int8", "Tensor", np.float32, float, torch.int64, 16),
    "revision": (3, "", "a b", "../main", b"main"),
    "at": ("tail", True, ["head"]),
    "modality": ("smell", 1, ["text"]),
    "device_map": (0.5, ["cpu"], {"cpu"}),
    "trust_remote_code": ("no", 1, None),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_of_the_wrong_type(name, refusal, tmp_path):
    """A raw TypeError of another library, after minutes of loading; or code that runs since "no" is true."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    for wrong in WRONG[name]:
        options = {"pooling": "mean"} | {name: wrong}
        for encoder in (folder, len):
            text = refusal(encode, encoder, ["w1"], **options, error=InputError)
            assert text.startswith(f"{name}: expected ")


def test_a_token_is_not_shown(refusal):
    """Errors are logged and sent to others."""
    assert says(refusal(Options, token=b"hf_secret", error=InputError), "token", "a bytes")
    assert "hf_secret" not in refusal(Options, token=b"hf_secret")
    assert "hf_secret" not in refusal(encode, len, ["w1"], token="hf_secret", error=InputError)
    assert "hf_secret" not in repr(Options(token="hf_secret"))


def test_what_does_not_go_together(refusal):
    text = refusal(Options, device="cpu", device_map="auto", error=InputError)
    assert says(text, "device", "'cpu'", "device_map", "'auto'")


def test_what_is_no_encoder(refusal):
    """A class instead of one of its objects would be called with the items."""
    for wrong in (int, 3, None, torch.nn.Linear(2, 2), b"bert"):
        text = refusal(encode, wrong, ["w1"], error=InputError)
        assert says(text, "encoder: expected a folder, an id,", kind_of(wrong))


def test_a_device_that_is_not_here(refusal, tmp_path):
    """It would end in an AssertionError of PyTorch's after the model is loaded."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    for device in ("cuda:99", torch.device("cuda:99"), 99, 10**30):
        text = refusal(encode, folder, ["w1"], pooling="mean", device=device, error=InputError)
        assert says(text, "device", repr(device))


def test_a_repository_that_was_found_is_not_looked_for_again(tmp_path):
    """Each look is requests to the Hub."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    found = encode(find(str(folder)), ["w1"], pooling="mean", device="cpu")
    wanted = encode(folder, ["w1"], pooling="mean", device="cpu")
    assert torch.equal(found[0], wanted[0])
    assert found[1] == wanted[1]


def test_a_model_inside_a_package_is_called_after_the_package(tmp_path):
    """Every message would speak of "model", whichever of several encoders it means."""
    (tmp_path / "gt_small" / "model").mkdir(parents=True)
    (tmp_path / "gt_small" / "__init__.py").touch()
    (tmp_path / "private" / "model").mkdir(parents=True)
    assert Repository(str(tmp_path / "gt_small" / "model"), None, False).name == "gt_small-model"
    assert Repository(str(tmp_path / "private" / "model"), None, False).name == "model"  # where it lies stays a secret
    assert Repository("me/model", None, False).name == "me/model"
