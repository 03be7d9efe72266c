"""In training mode dropout is at work: the same text would get another label each time it is asked for."""

import stitched
import tiny_encoders as tiny
import torch
from says import says
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from irp_hf import IRPStitchPipeline, StitchedModel
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.encoding.batches import encode_all
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import InputError


def made(classifier) -> StitchedModel:
    record = stitched.record(str(classifier))
    return StitchedModel(str(classifier), stitched.identity(record, record), str(classifier))


def test_train_leaves_a_stitched_model_as_it_is(classifier):
    model, texts = made(classifier), tiny.texts()
    want = model.predict(texts).logits
    assert model.train() is model
    assert not any(part.training for part in model.modules())
    assert torch.equal(model.predict(texts).logits, want)
    assert IRPStitchPipeline(model)(texts) == IRPStitchPipeline(made(classifier))(texts)


def test_a_part_that_was_put_into_training_mode_is_refused(classifier, refusal):
    model, texts = made(classifier), tiny.texts()
    for part in (model.encoder_module, next(iter(model.encoder_module.children())), model.head):
        part.train()
        assert says(refusal(model.predict, texts, error=InputError), "training", "eval()")
        part.eval()
    model.predict(texts)
    head = StitchedModel(stitched.embed, stitched.rough(), nn.Sequential(nn.Dropout(), nn.Linear(stitched.WIDTH, 3)))
    head.head.scorer.train()
    assert says(refusal(head.predict, texts, error=InputError), "training", "eval()")


def test_an_encoder_that_trains_is_refused_however_late(classifier, plain, refusal):
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    model.train()
    assert says(refusal(encode, model, tiny.texts(), at="head", processor=tokenizer, error=InputError), "training")
    opened = open_encoder(str(plain), Options(pooling="mean"))
    want = encode_all(opened, tiny.texts(), 4, None)
    opened.module.train()
    assert says(refusal(encode_all, opened, tiny.texts(), 4, None, error=InputError), "training")
    opened.module.eval()
    assert torch.equal(encode_all(opened, tiny.texts(), 4, None), want)
