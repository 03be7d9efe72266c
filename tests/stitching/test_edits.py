"""An encoder that is edited after it was stitched: it goes on as the anchors were encoded, follows, or is refused in words."""

import copy
import pickle
from typing import Any

import accelerate
import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tiny_encoders import LAYERS, VOCAB
from torch import nn
from transformers import AutoModel

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode

WIDTH, TEXTS = stitched.WIDTH, tiny.texts(9)
FITTED: dict[str, Any] = dict(method="kernel", gamma=1.0, ridge=0.1, restoration=0.0)
WORDS = [
    " ".join(tiny.WORDS[(row * step) % 40] for step in range(1, 2 + row % 9)) + f" w{row % 40}" for row in range(40)
]
HEAD = nn.Linear(WIDTH, 3).eval()


def sentences(plain: Any) -> SentenceTransformer:
    parts = [Transformer(str(plain)), Pooling(WIDTH, "mean"), Normalize()]
    return SentenceTransformer(modules=parts, device="cpu")


def anchored(encoder: Any, **options: Any) -> IRPAdapter:
    """From that encoder, with its record, its digests and a canary."""
    anchors = AnchorSet(list(dict.fromkeys(WORDS)))
    source = AnchoredSpace.encode(encoder, anchors, **options)
    target = AnchoredSpace.from_embeddings(stitched.rows(len(anchors)), anchors)
    return IRPAdapter.connect(source, target, **FITTED)


@pytest.fixture(scope="module")
def by_sentences(plain) -> IRPAdapter:
    return anchored(sentences(plain))


@pytest.fixture(scope="module")
def by_plain(plain) -> IRPAdapter:
    return anchored(plain, pooling="mean", device="cpu")


def shorter(model: Any) -> None:
    model.max_seq_length = 3


def cut(model: Any) -> None:
    model.truncate_dim = 8


def unscaled(model: Any) -> None:
    del model[2]


@pytest.mark.filterwarnings("ignore::irp_hf.errors.FitWarning")
@pytest.mark.parametrize("edit", [shorter, cut, unscaled])
def test_what_the_anchors_record_says_goes_on(edit, plain, by_sentences):
    """The pipeline asks the model for what its anchors were encoded with, whatever it would do by itself by now."""
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD)
    wanted = stitch.predict(TEXTS).logits
    edit(model)
    torch.testing.assert_close(stitch.predict(TEXTS).logits, wanted)
    torch.testing.assert_close(StitchedModel(model, by_sentences, HEAD).predict(TEXTS).logits, wanted)


def pooled(model: Any) -> None:
    model[1].pooling_mode = "max"


def another_pooling(model: Any) -> None:
    model[1] = Pooling(WIDTH, "cls").eval()


def padded_left(model: Any) -> None:
    model.tokenizer.padding_side = "left"


def another_tokenizer(model: Any) -> None:
    other = tiny.tokenizer()
    words = {word: (place * 7 + 3) % 44 for word, place in other.get_vocab().items()}
    other._tokenizer.model = type(other._tokenizer.model)(words, unk_token="[UNK]")
    model[0].processor = other


@torch.no_grad()
def trained(model: Any) -> None:
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight))


def by_its_data(model: Any) -> None:
    for weight in model.parameters():
        weight.data.mul_(torch.rand_like(weight) * 4)


def another_layer(model: Any) -> None:
    model[0].model.encoder.layer[0].output.dense = nn.Linear(LAYERS["intermediate_size"], WIDTH).eval()


def hooked(model: Any) -> None:
    model[0].model.embeddings.register_forward_hook(lambda module, given, output: output.flip(-1))


def attending_otherwise(model: Any) -> None:
    model[0].model.encoder.layer[1].attention.self.scaling = 9.0


REFUSED = [pooled, another_pooling, padded_left, another_tokenizer, trained, by_its_data, another_layer, hooked]


@pytest.mark.parametrize("edit", [*REFUSED, attending_otherwise])
def test_what_makes_other_vectors_is_refused(edit, plain, by_sentences, refusal):
    """Wrong answers came without a word, since the encoder had been recognised once."""
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD)
    wanted = stitch.predict(TEXTS).logits
    kept = copy.deepcopy(model)
    edit(model)
    for _ in range(2):
        assert says(refusal(stitch.predict, TEXTS, error=InputError), "plain", "on_mismatch='warn'")
    assert refusal(StitchedModel, model, by_sentences, HEAD)  # as one made anew
    torch.testing.assert_close(StitchedModel(kept, by_sentences, HEAD).predict(TEXTS).logits, wanted)


@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS])
def test_one_row_that_was_edited_through_numpy_is_seen(texts, plain, by_sentences):
    """Of texts that come one by one an eighth of the rows is looked at each time. No kept item has that word."""
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD)
    stitch.predict(texts)
    row = model.tokenizer.pad_token_id  # which no vector depends on
    model[0].model.embeddings.word_embeddings.weight.detach().numpy()[row] += 1
    times = 8 if len(texts) < 8 else 1
    with pytest.warns(UserWarning, match="other ones, with which 4 of the anchors come out alike"):
        assert len([stitch.predict(texts) for _ in range(times)]) == times


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("edit", [pooled, padded_left, trained])
def test_where_a_mismatch_may_pass_the_edit_is_followed(edit, plain, by_sentences):
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD, on_mismatch="ignore")
    before = stitch.predict(TEXTS).logits
    edit(model)
    found = stitch.predict(TEXTS).logits
    assert not torch.allclose(found, before, atol=1e-4)
    vectors = encode(model, TEXTS)[0]
    with torch.no_grad():
        torch.testing.assert_close(found, HEAD(by_sentences.translate(vectors)), atol=1e-5, rtol=1e-4)


def test_an_edit_that_was_taken_back_is_none(plain, by_sentences, refusal):
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD)
    wanted, weights = stitch.predict(TEXTS).logits, copy.deepcopy(model.state_dict())
    for edit, back in (
        (pooled, lambda: setattr(model[1], "pooling_mode", "mean")),
        (trained, lambda: model.load_state_dict(weights)),
    ):
        edit(model)
        assert refusal(stitch.predict, TEXTS, error=InputError)
        back()
        assert torch.equal(stitch.predict(TEXTS).logits, wanted)


def test_models_of_transformers_are_watched_too(plain, by_plain, classifier, refusal):
    """At their pooling and at their heads, with the tokenizer that they were given, and also where they came from a folder."""
    loaded, tokenizer = tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer()
    stitch = StitchedModel(loaded, by_plain, HEAD, processor=tokenizer)
    wanted = stitch.predict(TEXTS).logits
    tokenizer.padding_side = "left"  # which it is not asked for here
    assert torch.equal(stitch.predict(TEXTS).logits, wanted)
    tokenizer.pad_token = "[EOS]"
    tokenizer.backend_tokenizer.pre_tokenizer = type(tokenizer.backend_tokenizer.pre_tokenizer)()
    trained(loaded)
    assert says(refusal(stitch.predict, TEXTS, error=InputError), "on_mismatch='warn'")
    for folder, options in ((plain, dict(pooling="mean")), (classifier, dict(at="head"))):
        stitch = StitchedModel(folder, anchored(folder, device="cpu", **options), HEAD, device="cpu")
        stitch.predict(TEXTS)
        trained(stitch.encoder_module)
        assert says(refusal(stitch.predict, TEXTS, error=InputError), folder.name, "on_mismatch='warn'")


def test_a_lora_that_is_switched_off_is_seen(plain, refusal):
    """peft keeps it in an attribute of its own, beside weights that stay as they are."""
    peft = pytest.importorskip("peft")
    options: dict[str, Any] = dict(r=4, target_modules=["query", "value"], init_lora_weights=False)
    loaded = peft.get_peft_model(tiny.model("bert", **LAYERS, **VOCAB), peft.LoraConfig(**options)).eval()
    adapter = anchored(loaded, pooling="mean", processor=tiny.tokenizer())
    stitch = StitchedModel(loaded, adapter, HEAD, processor=tiny.tokenizer())
    wanted = stitch.predict(TEXTS).logits
    with loaded.disable_adapter():
        assert says(refusal(stitch.predict, TEXTS, error=InputError), "on_mismatch='warn'")
    assert torch.equal(stitch.predict(TEXTS).logits, wanted)
    loaded.merge_adapter()
    torch.testing.assert_close(stitch.predict(TEXTS).logits, wanted)


@pytest.mark.parametrize("offload", ["cpu_offload", "disk_offload"])
def test_an_encoder_that_is_brought_in_for_each_run(offload, plain, by_plain, tmp_path, monkeypatch):
    """Accelerate puts its weights elsewhere meanwhile, which is no edit, and no device to send inputs to."""
    wanted = StitchedModel(plain, by_plain, HEAD, device="cpu").predict(TEXTS).logits
    model = AutoModel.from_pretrained(plain).eval()
    more = {"offload_dir": str(tmp_path)} if offload == "disk_offload" else {}
    getattr(accelerate, offload)(model, execution_device=torch.device("cpu"), **more)
    stitch = StitchedModel(model, by_plain, HEAD, processor=tiny.tokenizer())
    times = looked(stitch, monkeypatch)
    for _ in range(2):
        torch.testing.assert_close(stitch.predict(TEXTS).logits, wanted)
    assert not times


def looked(stitch: StitchedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the encoder is opened again."""
    times: list[int] = []
    take = StitchedModel._take
    monkeypatch.setattr(StitchedModel, "_take", lambda model, encoder: (times.append(1), take(model, encoder))[1])
    return times


def test_what_is_no_edit_costs_nothing(plain, by_sentences, monkeypatch):
    """Answering, another batch, moving, casting, pickling: opening the encoder each time would take several times as long."""
    model = sentences(plain)
    stitch = StitchedModel(model, by_sentences, HEAD)
    times = looked(stitch, monkeypatch)
    for texts in (TEXTS, TEXTS[:1], TEXTS[::-1]):
        stitch.predict(texts)
        encode(model, texts)
        model.encode(texts)
        stitch(texts, max_length=2)
    stitch.to("cpu").to(torch.float64).to(torch.float32)
    for twin in (stitch, pickle.loads(pickle.dumps(stitch)), copy.deepcopy(stitch)):
        twin.predict(TEXTS)
    assert not times
    trained(twin.encoder_module)  # and yet the twin is watched
    with pytest.raises(InputError):
        twin.predict(TEXTS)
    stitch.predict(TEXTS)
    assert len(times) == 1


class Static:
    """An encoder that is an object with tables of its own, and writes down what it did."""

    def __init__(self) -> None:
        self.vectors = torch.randn(997, WIDTH, generator=torch.Generator().manual_seed(0))
        self.last: Any = None

    def __call__(self, texts: list[str]) -> torch.Tensor:
        places = [[sum(map(ord, word)) * 31 % 997 for word in text.split()] or [0] for text in texts]
        self.last = torch.stack([self.vectors[place].mean(0) for place in places])
        return self.last


def test_an_object_that_is_called_is_watched(refusal, monkeypatch):
    """Another table in the same object gave wrong answers, silently."""
    static = Static()
    adapter = anchored(static)
    for encoder in (static, lambda texts: static(texts)):
        stitch = StitchedModel(encoder, adapter, HEAD)
        with monkeypatch.context() as patched:
            times = looked(stitch, patched)
            wanted = [stitch.predict(TEXTS).logits for _ in range(3)]
            assert not times  # its own notes are no edit
            assert torch.equal(wanted[0], wanted[2])
        before = static.vectors
        static.vectors = before[torch.randperm(len(before), generator=torch.Generator().manual_seed(1))]
        for _ in range(2):
            assert says(refusal(stitch.predict, TEXTS, error=InputError), "on_mismatch='warn'")
        static.vectors = before
        assert torch.equal(stitch.predict(TEXTS).logits, wanted[0])
        twin = copy.deepcopy(stitch)
        assert torch.equal(twin.predict(TEXTS).logits, wanted[0])
