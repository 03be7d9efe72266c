"""Models of transformers without one answer for a whole item are refused by what they answer, whatever their weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import stitched
import tiny_encoders as tiny
import torch
import transformers
from says import says
from tiny_encoders import LAYERS, PATCHES, SPEECH, VOCAB
from torch import nn
from transformers import AutoModelForSequenceClassification, pipeline
from transformers.models.auto import modeling_auto

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.encoding import encode
from irp_hf.errors import HeadCutError, InputError
from irp_hf.heads import open_head
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.other_answers import ANSWERS, WHOLE, other_answer
from irp_hf.heads.stored import KINDS

LLAMA = LAYERS | VOCAB | dict(num_key_value_heads=1)
MODERN = LAYERS | VOCAB | dict(global_attn_every_n_layers=1, cls_token_id=1, sep_token_id=2)
SEGMENTS = dict(hidden_sizes=[8, 8, 8, 8], decoder_hidden_size=8, depths=[1] * 4, num_attention_heads=[1] * 4)
VOICES = dict(tdnn_dim=[16], tdnn_kernel=[3], tdnn_dilation=[1], xvector_output_dim=5, classifier_proj_size=16)
TOKENS = "a label for each token"
OTHERS: dict[
    str, tuple[str, str, dict[str, Any], str]
] = {  # by the class: type, modality, settings, and what it answers
    "BertForTokenClassification": ("bert", "text", LAYERS | VOCAB, TOKENS),
    "LlamaForTokenClassification": ("llama", "text", LLAMA, TOKENS),
    "ModernBertForTokenClassification": ("modernbert", "text", MODERN, TOKENS),
    "BertForQuestionAnswering": ("bert", "text", LAYERS | VOCAB, "where an answer begins and ends"),
    "ModernBertForQuestionAnswering": ("modernbert", "text", MODERN, "where an answer begins and ends"),
    "BertForMultipleChoice": ("bert", "text", LAYERS | VOCAB, "the best of several answers"),
    "BertForMaskedLM": ("bert", "text", LAYERS | VOCAB, "words for gaps"),
    "LlamaForCausalLM": ("llama", "text", LLAMA, "text"),
    "SegformerForSemanticSegmentation": ("segformer", "image", SEGMENTS, "a label for each pixel"),
    "ViTForMaskedImageModeling": ("vit", "image", LAYERS | PATCHES, "a picture"),
    "Wav2Vec2ForCTC": ("wav2vec2", "audio", LAYERS | SPEECH, "text"),
    "Wav2Vec2ForXVector": ("wav2vec2", "audio", LAYERS | SPEECH | VOICES, "a vector of a voice"),
    "Wav2Vec2ForAudioFrameClassification": ("wav2vec2", "audio", LAYERS | SPEECH, "a label for each moment"),
}
SILENT = ("LlamaForTokenClassification", "ModernBertForTokenClassification", "ModernBertForQuestionAnswering")
PROCESSORS = {
    "text": tiny.tokenizer,
    "image": tiny.image_processor,
    "audio": transformers.Wav2Vec2FeatureExtractor,
}


@pytest.fixture(scope="module")
def made() -> Any:
    """Such a model, made once."""
    known: dict[str, Any] = {}

    def make(name: str) -> Any:
        if name not in known:
            kind, _, settings, _ = OTHERS[name]
            count = {} if name.endswith(("QuestionAnswering", "MultipleChoice")) else {"num_labels": 5}
            torch.manual_seed(0)
            config = transformers.AutoConfig.for_model(kind, **settings, **count)
            known[name] = tiny.perturbed(getattr(transformers, name)(config))
        return known[name]

    return make


@pytest.fixture
def folder(made, tmp_path) -> Any:
    return lambda name: tiny.save(tmp_path / "it", made(name), PROCESSORS[OTHERS[name][1]]())


def test_every_class_of_transformers_is_told() -> None:
    """If it fails, a class of a version of transformers is taken for a classifier of whole items, or such a one refused."""
    found = 0
    for answer, tasks in ANSWERS.items():
        for task in tasks:
            for names in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {}).values():
                for name in [names] if isinstance(names, str) else names:
                    told = other_answer([name])
                    assert (told is None) == (name in KINDS), name
                    found += told == answer
    assert found > 500
    assert not [name for name in KINDS if other_answer([name])]
    assert other_answer(["BertForMaskedLM", "BertForSequenceClassification"]) is None
    assert other_answer([]) is other_answer(["MyModel"]) is other_answer(["BertModel"]) is None
    assert all(hasattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES") for task in WHOLE)


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder(name: str, folder: Any, refusal: Any) -> None:
    """If it fails, a space is published, and a head fed, of vectors that this model's head never reads."""
    where, (_, modality, _, answer) = str(folder(name)), OTHERS[name]
    items = stitched.items(modality, 3)
    assert says(refusal(encode, where, items, at="head", progress=False, error=InputError), name, answer)
    assert says(refusal(open_head, where, error=InputError), name, answer)
    if modality == "text":
        text = refusal(AnchoredSpace.encode, where, AnchorSet(items), at="head", progress=False, error=InputError)
        assert says(text, name, answer)


@pytest.mark.parametrize("name", OTHERS)
def test_a_loaded_model(name: str, made: Any, refusal: Any) -> None:
    """The same of one in memory, whatever it calls its outputs; two numbers for each token are no logits of labels."""
    model, (_, modality, _, answer) = made(name), OTHERS[name]
    processor = PROCESSORS[modality]()
    items = stitched.items(modality, 3)
    text = refusal(encode, model, items, at="head", processor=processor, progress=False, error=InputError)
    assert says(text, name, answer)
    assert says(refusal(open_head, model, error=InputError), name, answer)
    batch = {"input_ids": torch.arange(8).reshape(2, 4)} if modality == "text" else {}
    assert says(refusal(HeadCut, model, error=HeadCutError, **batch), name, answer)


@pytest.mark.parametrize("name", OTHERS)
def test_the_head_of_a_pipeline(name: str, folder: Any, refusal: Any) -> None:
    """Refused before anything is classified."""
    model = stitched.identity()
    text = refusal(
        pipeline,
        "irp-stitch",
        model=model,
        encoder=stitched.embed,
        head=str(folder(name)),
        modality="text",
        error=InputError,
    )
    assert says(text, name, OTHERS[name][3])


@pytest.mark.parametrize("name", SILENT)
def test_weights_do_not_tell(name: str, folder: Any) -> None:
    """Why the class is asked: under the name of a classifier the very weights of these pass, and nothing is missing."""
    where: Path = folder(name)
    config = json.loads((where / "config.json").read_text("utf-8"))
    whole = name[: name.index("For")] + "ForSequenceClassification"
    (where / "config.json").write_text(json.dumps(config | {"architectures": [whole]}), "utf-8")
    vectors, record = encode(str(where), tiny.texts(3), at="head", progress=False)
    assert vectors.shape == (3, LAYERS["hidden_size"])
    assert record["at"] == "head"


def test_a_classifier_made_of_another_model(tmp_path: Path) -> None:
    """Until it is saved, its configuration names what it was made of: fine-tuned in this process, it must not be refused."""
    masked = tiny.model("bert", transformers.AutoModelForMaskedLM, **LAYERS, **VOCAB)
    tiny.save(tmp_path / "masked", masked)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "masked", num_labels=3)
    tiny.perturbed(model)
    assert model.config.architectures == ["BertForMaskedLM"]
    vectors, _ = encode(model, tiny.texts(3), at="head", processor=tiny.tokenizer(), progress=False)
    assert vectors.shape == (3, LAYERS["hidden_size"])
    assert open_head(model).dim == LAYERS["hidden_size"]


def test_a_layer_of_a_tagger_is_a_head(made: Any) -> None:
    """What the refusal tells to do instead: its last layer reads one vector, of a token that the user chose."""
    model = made("BertForTokenClassification")
    vectors = torch.randn(4, LAYERS["hidden_size"])
    assert isinstance(model.classifier, nn.Linear)
    assert torch.equal(open_head(model.classifier)(vectors), model.classifier(vectors))
