"""A pipeline goes to another process as transformers' own do: by pickle, without tokens, and answers there as it did here."""

import copy
import functools
import multiprocessing
import pickle
from typing import Any

import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from irp_hf import IRPStitchPipeline, StitchedModel
from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import InputError

MADE = {
    "text": lambda classifiers, plain, sentence: same(classifiers["text"], "text"),
    "image": lambda classifiers, plain, sentence: same(classifiers["image"], "image"),
    "audio": lambda classifiers, plain, sentence: same(classifiers["audio"], "audio"),
    "pooled": lambda classifiers, plain, sentence: other(str(plain), pooling="mean", normalize=True, prompt="w1 "),
    "sentence": lambda classifiers, plain, sentence: other(sentence),
    "function": lambda classifiers, plain, sentence: other(stitched.embed, prompt="w2 "),
}


def same(folder: Any, modality: str) -> StitchedModel:
    record = stitched.record(str(folder), modality)
    return StitchedModel(str(folder), stitched.identity(record, record), str(folder), token="hf_secret")


def other(encoder: Any, **settings: Any) -> StitchedModel:
    head = LogisticRegression().fit(stitched.rows(), [row % 3 for row in range(200)])
    return StitchedModel(encoder, stitched.rough(), head, on_mismatch="warn", **settings)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", MADE)
def test_what_comes_out_of_a_pickle_answers_alike(kind, classifiers, plain, sentence):
    model = MADE[kind](classifiers, plain, sentence)
    items = stitched.items(kind if kind in ("image", "audio") else "text", 4)
    want = model.predict(items, return_confidence=True)
    saved = pickle.dumps(model)
    assert b"hf_secret" not in saved
    for twin in (
        pickle.loads(saved),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(IRPStitchPipeline(model))).stitched,
    ):
        got = twin.predict(items, return_confidence=True)
        assert torch.equal(got.logits, want.logits)
        assert torch.equal(got.confidence, want.confidence)
        if twin.encoder_module is not None:
            assert twin.encoder_module is not model.encoder_module
            assert twin.encoder.module is twin.encoder_module  # the one that runs is the one that moves
            for weight in twin.encoder_module.parameters():
                weight.data.add_(torch.randn_like(weight))
            changed = twin.predict(items).logits
            assert not torch.equal(changed, want.logits)
    assert torch.equal(model.predict(items).logits, want.logits)


@pytest.mark.slow
def test_a_spawned_process_answers_alike(classifiers):
    classify, texts = IRPStitchPipeline(same(classifiers["text"], "text")), tiny.texts(4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(classify, (texts,)) == classify(texts)


def test_a_function_of_the_user_that_pickle_cannot_find_is_named(refusal):
    model = StitchedModel(lambda texts: stitched.embed(texts), stitched.rough(), torch.nn.Linear(stitched.WIDTH, 3))
    assert says(refusal(pickle.dumps, model, error=InputError), "<lambda>", "test_pickle")
    assert copy.deepcopy(model).predict(tiny.texts(2)).logits.shape == (2, 3)


def double(texts, times):
    return times * stitched.embed(texts)


def test_a_head_and_an_encoder_that_pickle_cannot_carry_are_named(refusal):
    """Python says "Can't pickle local object", and nothing of which part it was."""

    class Local(torch.nn.Linear):
        pass

    linear = torch.nn.Linear(stitched.WIDTH, 3)
    scaled = make_pipeline(FunctionTransformer(lambda x: 2 * x), LogisticRegression())
    scaled.fit(stitched.rows(), [row % 3 for row in range(200)])
    for head in (lambda x: linear(x), Local(stitched.WIDTH, 3), scaled, functools.partial(lambda x: linear(x))):
        model = StitchedModel(stitched.embed, stitched.rough(), head)
        wanted = model.predict(tiny.texts(2)).logits
        for part in (model, model.head, IRPStitchPipeline(model)):
            assert says(refusal(pickle.dumps, part, error=InputError), "The head", "at the top of a module")
        assert torch.equal(copy.deepcopy(model).predict(tiny.texts(2)).logits, wanted)
    for encoder in (
        functools.partial(lambda texts: stitched.embed(texts)),
        functools.partial(double, times=Local(1, 1)),
    ):
        opened = open_encoder(encoder, Options())
        assert says(refusal(pickle.dumps, opened, error=InputError), "The encoder partial", "at the top of a module")
    carried = pickle.loads(pickle.dumps(StitchedModel(functools.partial(double, times=2), stitched.rough(), linear)))
    assert carried.predict(tiny.texts(2)).logits.shape == (2, 3)
