"""A head is known again by its content: where the target's anchors are what a classifier's head reads, another head is told."""

import copy
import warnings
from typing import Any

import pytest
import stitched
import torch
from says import says
from sklearn.linear_model import LogisticRegression
from torch import nn

from irp_hf import InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode
from irp_hf.heads import open_head


@pytest.fixture(scope="module")
def adapter(classifiers) -> IRPAdapter:
    """To the input of the picture classifier's head, one linear layer. Not to be changed."""
    _, record = encode(classifiers["image"], stitched.items("image", 2), at="head", device="cpu")
    assert record["head_sha256"]
    return stitched.identity(target=record)


def pictures(items: Any) -> torch.Tensor:
    return stitched.embed([str(item.size) for item in items])


def stitch(adapter: IRPAdapter, head: Any, **options: Any) -> StitchedModel:
    return StitchedModel(pictures, adapter, head, modality="image", **options)


def of_its_own(classifier: Any, folder: Any) -> dict[str, Any]:
    """The classifier's own head, in every way in which it can be given."""
    linear = copy.deepcopy(classifier.classifier)
    return {
        "a folder": folder,
        "the classifier": classifier,
        "an opened head": open_head(classifier),
        "its layer": classifier.classifier,
        "a copy of it": linear,
        "inside another": nn.Sequential(nn.Dropout(), nn.Sequential(linear)).eval(),
        "compiled": torch.compile(linear, backend="eager"),
        "in parallel": nn.DataParallel(linear),
    }


def test_its_own_head_passes_however_it_is_given(adapter, classifiers):
    """A refusal or a warning there would make every pipeline of one's own layers useless."""
    heads = of_its_own(stitched.classifier("image"), classifiers["image"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for head in heads.values():
            stitch(adapter, head)


def test_another_head_is_refused_however_it_is_given(adapter, tmp_path, refusal):
    """It has the right width, and its answers would mean nothing, without a word."""
    other = stitched.classifier("image")
    with torch.no_grad():
        other.classifier.weight.add_(0.1)
    folder = tmp_path / "other"
    other.save_pretrained(folder)
    stitched.processor("image").save_pretrained(folder)
    for head in of_its_own(other, folder).values():
        text = refusal(stitch, adapter, head, error=InputError)
        assert says(text, "The head", "whose input the target's anchors are", "on_mismatch='warn'")
        with pytest.warns(UserWarning, match="whose input the target's anchors are"):
            stitch(adapter, head, on_mismatch="warn")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stitch(adapter, head, on_mismatch="ignore")


def test_a_head_that_cannot_be_compared_is_warned_of(adapter):
    """Silence would say that it is the classifier's."""
    own = stitched.classifier("image")
    estimator = LogisticRegression().fit(stitched.rows(), [row % 3 for row in range(200)])
    heads = {
        "a LogisticRegression": estimator,
        "a function": lambda vectors: own.classifier(vectors),
        "in float64": copy.deepcopy(own.classifier).double(),
        "in float16": nn.Linear(stitched.WIDTH, 7).half(),
        "an Identity": nn.Identity(),
    }
    for name, head in heads.items():
        with pytest.warns(UserWarning, match=f"{name}.*cannot be compared") as caught:
            stitch(adapter, head)
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stitch(adapter, head, on_mismatch="ignore")


def test_where_nothing_was_recorded_any_head_passes():
    """A head of one's own for the vectors of an encoder, or for rows that were made elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for record in (None, "me/encoder", stitched.record("then", at=None, pooling="mean"), stitched.record("old")):
            for head in (nn.Linear(stitched.WIDTH, 2), lambda vectors: vectors):
                stitch(stitched.identity(target=record), head)


def test_a_head_that_is_edited_later_is_refused(adapter, refusal):
    """It was compared once: weights that were zeroed afterwards in place gave answers without a word."""
    for name in ("the classifier", "an opened head", "its layer", "inside another", "compiled"):
        own = stitched.classifier("image")
        model = stitch(adapter, of_its_own(own, None)[name])
        items = stitched.items("image", 3)
        wanted = model.predict(items).logits
        assert torch.equal(model.to("cpu").predict(items).logits, wanted)
        weight = next(weight for weight in model.head.parameters() if weight.shape == own.classifier.weight.shape)
        kept = weight.detach().clone()
        for edit in (lambda weight: weight.zero_(), lambda weight: weight.data.add_(1)):
            with torch.no_grad():
                edit(weight)
            for _ in range(2):
                assert says(refusal(model.predict, items, error=InputError), "whose input the target's anchors are")
            twin = copy.deepcopy(model)
            assert says(refusal(twin.predict, items, error=InputError), "whose input the target's anchors are")
        with torch.no_grad():
            weight.copy_(kept)
        assert torch.equal(model.predict(items).logits, wanted)
