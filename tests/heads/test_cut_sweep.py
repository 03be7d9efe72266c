"""The head cut on every classification architecture of transformers, and the judge on cuts that are broken on purpose."""

import re
from collections.abc import Callable

import architectures
import pytest
import torch
from architectures import KINDS, Batch, build, logits
from architectures.judge import judge
from torch import Tensor, nn

from irp_hf.errors import InputError
from irp_hf.heads.cut import HeadCut

BERT, VIT = "BertForSequenceClassification", "ViTForImageClassification"
# Stand for the kinds of head in the everyday run; the slow run has all.
EVERYDAY = (
    "ASTForAudioClassification",  # a small module of norm and linear layer
    "BartForSequenceClassification",  # pools at the last end-of-sequence token
    "BertForSequenceClassification",  # the pooler belongs to the backbone
    "CLIPForImageClassification",  # base_model_prefix is wrong
    "DeiTForImageClassificationWithTeacher",  # two classifiers read two tokens
    "Dinov2ForImageClassification",  # class token and mean of patches, twice as wide
    "DistilBertForSequenceClassification",  # a pre_classifier outside the backbone
    "GPT2ForSequenceClassification",  # scores per token, pooled afterwards
    "LlamaForSequenceClassification",
    "PerceiverForSequenceClassification",  # all within one part
    "ResNetForImageClassification",  # pictures (n, c, 1, 1), flattened in the head
    "RobertaForSequenceClassification",  # the head takes the first token itself
    "SwiftFormerForImageClassification",  # two classifiers read one tensor
    "SwinForImageClassification",
    "T5ForSequenceClassification",
    "ViTForImageClassification",
    "Wav2Vec2ForSequenceClassification",  # a projector, then a mean over time
    "WhisperForAudioClassification",
    "XLNetForSequenceClassification",  # a sequence summary outside the backbone
)
# No tiny model can be had without these libraries; timm wants torchvision besides.
UNBUILDABLE = {
    "DinatForImageClassification": "natten",
    "LayoutLMv2ForSequenceClassification": "detectron2",
    "TimmWrapperForImageClassification": "timm",
}
# The cut refuses these, in words that hold:
REFUSED: dict[str, str] = {}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in EVERYDAY else pytest.mark.slow) for name in sorted(KINDS)]
)
def test_the_head_alone_gives_the_models_logits(name: str) -> None:
    """A failure is a model on which stitching is silently wrong, or refused without need."""
    if name in UNBUILDABLE:
        with pytest.raises(ImportError, match=UNBUILDABLE[name]):
            build(name)
        return
    verdict = judge(HeadCut, *build(name))
    if name in REFUSED:
        assert verdict.outcome == "refused", f"{name} is no longer refused: take it off the list"
        assert REFUSED[name] in verdict.why
    else:
        assert verdict.outcome == "exact", verdict.why


def test_the_lists_name_classes_that_exist() -> None:
    """A name that transformers renamed would otherwise leave the sweep in silence."""
    assert {*EVERYDAY, *UNBUILDABLE, *REFUSED} <= set(KINDS)
    assert len(KINDS) > 180


def test_a_model_whose_logits_say_nothing_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """On constant logits any head would be exact."""

    @torch.no_grad()
    def deaden(model: nn.Module, _: Batch) -> None:
        model.classifier.weight.zero_()

    monkeypatch.setattr(architectures, "enliven", deaden)
    with pytest.raises(ValueError, match="hardly depend on the row"):
        build("BertForSequenceClassification")


class HonestCut:
    """Written by hand for BERT and ViT; what is broken below breaks one thing in it."""

    num_labels = architectures.NUM_LABELS

    def __init__(self, model: nn.Module, **inputs: Tensor) -> None:
        self.model, self.traced, self.dim = model, inputs, model.config.hidden_size

    def features(self, **inputs: Tensor) -> Tensor:
        out = self.model.base_model(**inputs)
        return out.last_hidden_state[:, 0] if out.pooler_output is None else out.pooler_output

    def head_only(self) -> Callable[[Tensor], Tensor]:
        return self.model.classifier


class OffByOneRow(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        return super().features(**inputs).roll(1, 0)


class ForgetsRowsButTheTraced(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        rows = len(next(iter(inputs.values())))
        return super().features(**self.traced).repeat(2, 1)[:rows]


class OneBufferForAll(HonestCut):
    buffer = torch.zeros(8, 32)

    def features(self, **inputs: Tensor) -> Tensor:
        rows = len(next(iter(inputs.values())))
        return self.buffer[:rows].copy_(super().features(**inputs))


class MeanOverTheBatch(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        z = super().features(**inputs)
        return z - z.mean(0)


class ThreeDimensions(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        return super().features(**inputs)[:, None]


class NaNInOneRow(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        z = super().features(**inputs).clone()
        z[-1, 0] = torch.nan
        return z


class NoBias(HonestCut):
    def head_only(self) -> Callable[[Tensor], Tensor]:
        return lambda z: z @ self.model.classifier.weight.T


class NearlyRight(HonestCut):
    def head_only(self) -> Callable[[Tensor], Tensor]:
        return lambda z: self.model.classifier(z) * 1.0001


class HalfPrecision(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        return super().features(**inputs).half().float()


class BatchOfThreeOnly(HonestCut):
    def head_only(self) -> Callable[[Tensor], Tensor]:
        return lambda z: self.model.classifier(z.view(3, self.dim))


class LogitsAsFeatures(HonestCut):
    dim = property(lambda self: self.num_labels, lambda self, _: None)

    def features(self, **inputs: Tensor) -> Tensor:
        return self.model(**inputs).logits

    def head_only(self) -> Callable[[Tensor], Tensor]:
        return nn.Identity()


class ModelAsHead(HonestCut):
    """The features are the flattened inputs."""

    def __init__(self, model: nn.Module, **inputs: Tensor) -> None:
        super().__init__(model, **inputs)
        self.dim = 24 if "input_ids" in inputs else inputs["pixel_values"][0].numel()

    def features(self, **inputs: Tensor) -> Tensor:
        if "pixel_values" in inputs:
            return inputs["pixel_values"].flatten(1)
        ids = inputs["input_ids"].float()
        return nn.functional.pad(ids, (0, self.dim - ids.shape[1]))

    def head_only(self) -> Callable[[Tensor], Tensor]:
        def head(z: Tensor) -> Tensor:
            if "pixel_values" in self.traced:
                return logits(self.model, {"pixel_values": z.view(len(z), *self.traced["pixel_values"].shape[1:])})
            return logits(self.model, {"input_ids": z.long(), "attention_mask": (z > 0).long()})

        return head


class WrongWidth(HonestCut):
    dim = property(lambda self: 7, lambda self, _: None)


class ChangesTheModel(HonestCut):
    def __init__(self, model: nn.Module, **inputs: Tensor) -> None:
        super().__init__(model, **inputs)
        self.weight = model.classifier.weight.detach().clone()
        self.bias = model.classifier.bias.detach().clone()
        model.classifier.weight.data.mul_(2)

    def head_only(self) -> Callable[[Tensor], Tensor]:
        return lambda z: nn.functional.linear(z, self.weight, self.bias)


class LeavesAHook(HonestCut):
    def __init__(self, model: nn.Module, **inputs: Tensor) -> None:
        super().__init__(model, **inputs)
        model.classifier.register_forward_hook(lambda *_: None)


class LeavesTrainingMode(HonestCut):
    def __init__(self, model: nn.Module, **inputs: Tensor) -> None:
        super().__init__(model, **inputs)
        model.classifier.train()


class RefusesInAForeignError(HonestCut):
    def head_only(self) -> Callable[[Tensor], Tensor]:
        raise ValueError("The model has no head. Name one.")


class RefusesWithoutAdvice(HonestCut):
    def head_only(self) -> Callable[[Tensor], Tensor]:
        raise InputError("The model has no head.")


class RefusesInWords(HonestCut):
    def features(self, **inputs: Tensor) -> Tensor:
        raise InputError("The model has no head. Name one.")


BROKEN: dict[type[HonestCut], str] = {
    OffByOneRow: "off by .* in a batch of 3",
    ForgetsRowsButTheTraced: "off by .* in a batch of 5",
    OneBufferForAll: "off by",
    MeanOverTheBatch: "off by",
    ThreeDimensions: "shapes",
    NaNInOneRow: "off by nan",
    NoBias: "off by",
    NearlyRight: "off by 1.0e-04",
    HalfPrecision: "off by",
    BatchOfThreeOnly: "raises RuntimeError",
    LogitsAsFeatures: "the features are the logits",
    ModelAsHead: "the head is the model over again",
    WrongWidth: "shapes",
    ChangesTheModel: "the model gives other logits after the cut",
    LeavesAHook: "other modules or hooks",
    LeavesTrainingMode: "other modules or hooks",
    RefusesInAForeignError: "raises ValueError",
    RefusesWithoutAdvice: "InputError: The model has no head.$",
}


class TestTheJudge:
    @pytest.mark.parametrize(
        ("broken", "name"),
        [*((broken, BERT) for broken in BROKEN), *((broken, VIT) for broken in (ForgetsRowsButTheTraced, ModelAsHead))],
    )
    def test_finds_what_is_broken(self, broken: type[HonestCut], name: str) -> None:
        """A cut that is broken like this would pass the sweep."""
        verdict = judge(broken, *build(name))
        assert verdict.outcome == "wrong"
        assert re.search(BROKEN[broken], verdict.why)

    @pytest.mark.parametrize("name", [BERT, VIT])
    def test_finds_nothing_in_an_honest_cut(self, name: str) -> None:
        """The sweep would find fault with cuts that have none."""
        assert judge(HonestCut, *build(name)).outcome == "exact"

    def test_takes_a_refusal_in_words_for_one(self) -> None:
        """A cut that refuses as it should would count as wrong."""
        assert judge(RefusesInWords, *build(BERT)) == ("refused", "InputError: The model has no head. Name one.")


def test_the_judge_finds_padding_that_is_read() -> None:
    class IgnoresTheMask(HonestCut):
        def features(self, **inputs: Tensor) -> Tensor:
            return super().features(input_ids=inputs["input_ids"])

    assert judge(IgnoresTheMask, *build("BertForSequenceClassification")).outcome == "wrong"
