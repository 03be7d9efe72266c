"""The translation as a module of sentence-transformers: what `encode` gives, saves, loads, refuses and warns of."""

import copy
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace, Whitespace
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from irp_hf import AnchoredSpace, AnchorSet, DamagedFolderError, InputError, IRPAdapter
from irp_hf.integrations.sentence_transformers import IRPTranslation

WORDS = ["who", "where", "what", "is", "was", "the", "a", "deep", "lake", "moon", "of", "Jupiter", "painted", "ceiling"]
TEXTS = [" ".join(np.random.RandomState(row).choice(WORDS, 2 + row % 9)) for row in range(50)]
WIDTH, TARGET = 12, 7
ROOT = Path(__file__).parent.parent.parent


def tokenizer() -> Tokenizer:
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(["[PAD]", "[UNK]", *WORDS])}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    """A random BERT, 12 wide, with its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": len(WORDS) + 2}
    BertModel(BertConfig(hidden_size=WIDTH, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(backbone) -> SentenceTransformer:
    return SentenceTransformer(modules=[Transformer(str(backbone)), Pooling(WIDTH, "mean"), Normalize()], device="cpu")


def adapter_from(width: int, recorded: dict | None = None) -> IRPAdapter:
    """A random translation to a target 7 wide."""
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(40, width, generator=generator) / width**0.5
    target = torch.tanh(source @ torch.randn(width, TARGET, generator=generator)) + 1
    spaces = AnchoredSpace.from_embeddings(source, encoder=recorded), AnchoredSpace.from_embeddings(target)
    return IRPAdapter.connect(*spaces, method="kernel", gamma=1.0, ridge=1e-2)


def stitch(encoder: SentenceTransformer, *behind: nn.Module, adapter: IRPAdapter | None = None) -> SentenceTransformer:
    translation = IRPTranslation(adapter or adapter_from(WIDTH))
    return SentenceTransformer(modules=[*encoder, translation, *behind], device="cpu")


def test_encode_is_translate_of_encode(encoder):
    """In order, for one text and many, as numpy and as tensors, cut and normalised."""
    adapter = adapter_from(WIDTH)
    model = stitch(encoder, adapter=adapter)
    wanted = adapter.translate(encoder.encode(TEXTS))
    given = model.encode(TEXTS, batch_size=8)
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS[3]), wanted[3], atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, truncate_dim=3), wanted[:, :3], atol=1e-5)
    unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS, normalize_embeddings=True), unit, atol=1e-5)
    np.testing.assert_allclose(stitch(encoder, Normalize(), adapter=adapter).encode(TEXTS), unit, atol=1e-5)
    np.testing.assert_allclose(model.similarity(given, given), unit @ unit.T, atol=1e-5)
    assert model.get_embedding_dimension() == TARGET


def test_token_embeddings_stay_the_encoders(encoder):
    """Only the sentence's vector lies in the target's space."""
    ours, theirs = (model.encode(TEXTS, output_value="token_embeddings") for model in (stitch(encoder), encoder))
    for mine, native in zip(ours, theirs, strict=True):
        assert torch.equal(mine, native)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_translated_as_translate_does(encoder, dtype):
    """The adapter stays float32 when sentence-transformers casts all modules to the encoder's dtype."""
    encoder.to(dtype)
    adapter = adapter_from(WIDTH)
    model = stitch(encoder, adapter=adapter)
    given, native = (made.encode(TEXTS, convert_to_tensor=True) for made in (model, encoder))
    assert given.dtype == dtype
    torch.testing.assert_close(given, adapter.translate(native), atol=max(2 * torch.finfo(dtype).eps, 1e-13), rtol=0)
    assert {parameter.dtype for parameter in model[-1].parameters()} == {torch.float32}
    model.half()
    assert adapter.target_anchors.dtype == torch.float32


def test_gradients_reach_the_encoder(encoder):
    """So that an encoder can be trained through the translation."""
    model = stitch(encoder)
    model(model.preprocess(TEXTS[:4]))["sentence_embedding"].square().sum().backward()
    assert model[0].model.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_copies_translate_the_same(encoder):
    """Pools of processes send the model to each of them."""
    model = stitch(encoder)
    np.testing.assert_array_equal(copy.deepcopy(model).encode(TEXTS), model.encode(TEXTS))


def test_a_saved_model_is_numbers_and_the_path_of_the_class(encoder, tmp_path):
    """And loads bit for bit the same; also where safetensors were not asked for."""
    model = stitch(encoder, Normalize())
    model.save(str(tmp_path), safe_serialization=False)
    entry = json.loads((tmp_path / "modules.json").read_text())[3]
    assert entry["type"] == "irp_hf.integrations.sentence_transformers.IRPTranslation"
    files = {file.name for file in (tmp_path / entry["path"]).iterdir()}
    assert files == {"config.json", "hub_code.py", "model.safetensors"}
    again = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))
    IRPAdapter.from_pretrained(tmp_path / entry["path"])  # the folder is the adapter's own


@pytest.mark.slow
def test_another_process_needs_nothing_but_the_folder(encoder, tmp_path):
    """No import of irp_hf; but the library's trust, without which it refuses any module that is not its own."""
    model = stitch(encoder)
    model.save_pretrained(str(tmp_path / "model"))
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    script = """if True:
        import json, numpy, sys
        from sentence_transformers import SentenceTransformer
        try:
            SentenceTransformer("model", device="cpu")
        except ValueError as error:
            assert "trust_remote_code=True" in str(error)
        else:
            sys.exit("loaded without trust")
        model = SentenceTransformer("model", trust_remote_code=True, device="cpu")
        numpy.save("vectors.npy", model.encode(json.load(open("texts.json"))))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), model.encode(TEXTS))


def test_loads_from_the_cache_of_the_hub(encoder, tmp_path, refusal):
    """The adapter's folder is looked up in the repository's snapshot, and missed in words."""
    model = stitch(encoder)
    commit = "0123456789" * 4
    repository = tmp_path / "models--me--stitched"
    snapshot = repository / "snapshots" / commit
    model.save(str(snapshot))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    # with peft installed, transformers looks for a LoRA on the Hub unless it is told otherwise
    looked_for = {"local_files_only": True, "cache_dir": str(tmp_path)}
    place = {"cache_folder": str(tmp_path), "local_files_only": True, "model_kwargs": {"adapter_kwargs": looked_for}}
    again = SentenceTransformer("me/stitched", trust_remote_code=True, device="cpu", **place)
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))
    text = refusal(IRPTranslation.load, str(snapshot), "4_IRPTranslation", error=DamagedFolderError)
    assert says(text, snapshot, "'4_IRPTranslation'")


def test_a_router_translates_queries_alone(encoder, tmp_path):
    """A cheap encoder for queries beside the target's own for documents, in one model that saves and loads."""
    torch.manual_seed(0)
    static = StaticEmbedding(tokenizer(), embedding_dim=5)
    cheap = SentenceTransformer(modules=[static], device="cpu")
    adapter = IRPAdapter.from_anchors(cheap.encode(TEXTS), encoder.encode(TEXTS), "whitened", balance=1.0, ridge=0.1)
    router = Router.for_query_document([static, IRPTranslation(adapter)], [*encoder])
    model = SentenceTransformer(modules=[router], device="cpu")
    model.save(str(tmp_path))
    for made in (model, SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")):
        np.testing.assert_allclose(made.encode_query(TEXTS), adapter.translate(cheap.encode(TEXTS)), atol=1e-5)
        np.testing.assert_allclose(made.encode_document(TEXTS), encoder.encode(TEXTS), atol=1e-6)


def test_an_adapter_is_loaded_by_name(encoder, saved, refusal):
    """And what is no adapter is named, before a model is built around it."""
    folder = saved("kernel")
    assert IRPTranslation(folder).get_config_dict() == {"source_size": 64, "target_size": 24, "method": "kernel"}
    assert repr(IRPTranslation(str(folder))).startswith("IRPTranslation({'source_size': 64")
    assert says(refusal(IRPTranslation, nn.Linear(2, 2), error=InputError), "adapter", "a Linear", "IRPAdapter")
    assert says(refusal(IRPTranslation, "/no/such/folder"), "/no/such/folder")


def test_another_width_is_refused_when_the_model_is_made(encoder, refusal):
    """Also inside a router, and at the first use of a model that was put together later."""
    adapter = adapter_from(5, {"id": "me/static"})
    words = refusal(stitch, encoder, adapter=adapter, error=InputError)
    assert says(words, "5 wide", "got 12", "me/static")
    router = Router.for_query_document([*encoder, IRPTranslation(adapter)], [*encoder])
    assert refusal(SentenceTransformer, modules=[router], device="cpu") == words
    encoder.append(IRPTranslation(adapter))
    assert refusal(encoder.encode, TEXTS) == words


def test_what_makes_no_vector_of_a_text_is_refused(encoder, refusal):
    """Without its pooling the encoder gives tokens alone."""
    model = SentenceTransformer(modules=[encoder[0], IRPTranslation(adapter_from(WIDTH))], device="cpu")
    text = refusal(model.encode, TEXTS, error=InputError)
    assert says(text, "IRPTranslation", "sentence_embedding", "token_embeddings", "Pooling")


def test_vectors_that_are_not_finite_are_refused(encoder, refusal):
    """An encoder that overflows in half precision must not search an index."""
    with torch.no_grad():
        encoder[0].model.embeddings.LayerNorm.bias.fill_(torch.nan)
    assert says(refusal(stitch(encoder).encode, TEXTS, error=InputError), "NaN", "Row 0")


def test_a_text_without_a_vector_is_named_and_not_its_place_in_a_sorted_batch(encoder, refusal):
    """Nobody would find it by the row: sentence-transformers encodes the longest texts first."""
    forward = encoder[1].forward

    def lost(features):
        features = forward(features)
        features["sentence_embedding"][features["attention_mask"].sum(1).argmin()] = torch.nan
        return features

    model = stitch(encoder)
    model[1].forward = lost
    assert says(refusal(model.encode, ["moon lake deep", "moon", "lake moon"], error=InputError), "'moon'", "NaN")


ALIKE = {"prompt": None, "normalize": True, "pooling": "mean"}


@pytest.mark.parametrize(
    ("recorded", "values"),
    [
        ({"normalize": False}, ["normalize=False", "normalize=True"]),
        ({"normalize": None}, ["normalize=None", "normalize=True"]),
        ({"pooling": "last"}, ["pooling='last'", "pooling='mean'"]),
        ({"pooling": ["mean", "max"]}, ["pooling=('mean', 'max')", "pooling='mean'"]),
    ],
)
def test_another_way_of_encoding_is_warned_of(encoder, recorded, values):
    """Translation suffers, without a word."""
    translation = IRPTranslation(adapter_from(WIDTH, {"id": "me/tiny", **ALIKE, **recorded}))
    with pytest.warns(UserWarning, match="anchors") as caught:
        SentenceTransformer(modules=[*encoder, translation], device="cpu")
    (warning,) = caught
    assert says(str(warning.message), *values)


@pytest.mark.parametrize("recorded", [None, {}, ALIKE, {**ALIKE, "prompt": "query: "}, {**ALIKE, "pooling": "last"}])
def test_the_same_way_of_encoding_is_not(encoder, recorded):
    """Nor one that nobody recorded, nor a prompt, which a call may name; and a pooling has another name there."""
    translation = IRPTranslation(adapter_from(WIDTH, recorded))
    if recorded and recorded["pooling"] == "last":
        encoder[1] = Pooling(WIDTH, "lasttoken")
    for prompts in ({}, {"prompts": {"q": "query: "}}, {"prompts": {"q": "query: "}, "default_prompt_name": "q"}):
        assert said_by(SentenceTransformer, modules=[*encoder, translation], device="cpu", **prompts) == []


PROMPTS = {"query": f"{WORDS[0]} {WORDS[1]} ", "document": f"{WORDS[2]} {WORDS[3]} ", "q": f"{WORDS[4]} "}


def said_by(call, *args, **options):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call(*args, **options)
    return [str(one.message) for one in seen]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("recorded", "wrong", "right", "words"),
    [
        ("document", "encode", "encode_document", ["none in front", "encode(texts, prompt_name='document')"]),
        ("document", "encode_query", "encode_document", ["another prompt", "prompt_name='document'"]),
        ("query", "encode_document", "encode_query", ["another prompt", "prompt_name='query'"]),
        (None, "encode_query", "encode", ["no prompt", "one in front", "encode(texts, prompt='')"]),
    ],
)
def test_a_call_without_the_prompt_of_the_anchors_is_told(encoder, recorded, wrong, right, words, side):
    """`encode` puts no prompt in front by itself: translations were worse, without a word. It is said once."""
    encoder[0].tokenizer.padding_side = side
    translation = IRPTranslation(adapter_from(WIDTH, {**ALIKE, "prompt": PROMPTS.get(recorded)}))
    model = SentenceTransformer(modules=[*encoder, translation], device="cpu", prompts=PROMPTS)
    assert said_by(getattr(model, right), TEXTS) == []
    (told,) = said_by(getattr(model, wrong), TEXTS)
    assert says(told, "source anchors", *words)
    assert said_by(getattr(model, wrong), TEXTS) == []
    assert said_by(model.encode, TEXTS, prompt=PROMPTS.get(recorded) or "") == []


ASKED = PROMPTS["query"]  # "who where "
BLANKED = [f"\u2581{word}" for word in [*WORDS[:-1], ""]]
PREFIXED = [ASKED + text for text in TEXTS]


def connected(encoder, texts, **options):
    """The adapter of anchors that were encoded so, and a model that ends with it."""
    texts = list(dict.fromkeys(texts))
    space = AnchoredSpace.encode(encoder, AnchorSet(texts), progress=False, **options)
    target = AnchoredSpace.from_embeddings(np.tanh(encoder.encode(texts)[:, :TARGET]))
    adapter = IRPAdapter.connect(space, target, method="kernel", gamma=1.0, ridge=1e-2)
    assert said_by(SentenceTransformer, modules=[*encoder, IRPTranslation(adapter)], device="cpu") == []
    return adapter, SentenceTransformer(modules=[*encoder, IRPTranslation(adapter)], device="cpu")


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize(("anchors", "recorded"), [(TEXTS, ASKED), (PREFIXED, None)])
def test_a_prompt_in_the_texts_is_one_of_the_call(backbone, tmp_path, anchors, recorded, growing):
    """The encoder is given the same tokens; a warning would lead to others, by its own advice."""
    folder = shutil.copytree(backbone, tmp_path / "tiny")
    if growing:  # the blank that ends a prompt is a token alone, and a part of the word where one follows
        made = Tokenizer(WordLevel({word: row for row, word in enumerate(["[PAD]", "[UNK]", *BLANKED])}, "[UNK]"))
        made.pre_tokenizer = Metaspace()
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
        PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    encoder = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(WIDTH, "mean")], device="cpu")
    assert encoder.preprocess(["a"], prompt=ASKED)["prompt_length"] == 2 + growing
    adapter, model = connected(encoder, anchors, prompt=recorded)
    for texts, options in ((PREFIXED, {}), (TEXTS, {"prompt": ASKED})):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            given = model.encode(texts, **options)
        np.testing.assert_allclose(given, adapter.translate(encoder.encode(PREFIXED)), atol=1e-5)
    (told,) = said_by(model.encode, TEXTS, prompt=PROMPTS["document"])
    assert says(told, "another prompt" if recorded else "one in front")
    assert ("begin as the anchors' do: 'who where'" in told) == (recorded is None)


def test_one_text_without_the_prompt_is_told(encoder):
    """Of a batch in whose other texts it stands."""
    _, model = connected(encoder, TEXTS, prompt=ASKED)
    (told,) = said_by(model.encode, [*PREFIXED[:9], PROMPTS["document"]])
    assert says(told, "none in front")


@pytest.mark.parametrize(("anchors", "recorded"), [(TEXTS, ASKED), (PREFIXED, None)])
def test_a_prompt_that_is_left_out_of_the_pooling_is_none_in_the_texts(backbone, anchors, recorded):
    """Their tokens are the same, and their vectors are not."""
    modules = [Transformer(str(backbone)), Pooling(WIDTH, "mean", include_prompt=False)]
    encoder = SentenceTransformer(modules=modules, device="cpu")
    _, model = connected(encoder, anchors, prompt=recorded)
    right, wrong = ((TEXTS, {"prompt": ASKED}), (PREFIXED, {}))[:: 1 if recorded else -1]
    assert said_by(model.encode, right[0], **right[1]) == []
    assert len(said_by(model.encode, wrong[0], **wrong[1])) == 1


def test_a_prompt_that_nobody_recorded_is_none_to_tell_of(encoder):
    """Of anchors that were encoded elsewhere it is not known."""
    model = SentenceTransformer(modules=[*encoder, IRPTranslation(adapter_from(WIDTH))], device="cpu", prompts=PROMPTS)
    assert said_by(model.encode, TEXTS) + said_by(model.encode_query, TEXTS) == []


def test_an_encoder_that_does_not_tell_its_prompt_is_asked_when_the_model_is_made():
    """Of static embeddings no call tells which prompt it put in front; what `encode` does by itself is compared then."""
    static = StaticEmbedding(tokenizer(), embedding_dim=WIDTH)
    recorded = {"prompt": PROMPTS["document"], "normalize": False}
    for default, count in ((None, 1), ("document", 0)):
        modules = [static, IRPTranslation(adapter_from(WIDTH, recorded))]
        said = said_by(SentenceTransformer, modules=modules, prompts=PROMPTS, default_prompt_name=default, device="cpu")
        assert [says(text, PROMPTS["document"], "prompt=None") for text in said] == [True] * count


def test_two_poolings_are_those_that_were_recorded(encoder):
    """A list in the adapter's configuration, a tuple in sentence-transformers."""
    two_modes = SentenceTransformer(modules=[encoder[0], Pooling(WIDTH, ("mean", "lasttoken"))], device="cpu")
    recorded = {"prompt": None, "normalize": False, "pooling": ["mean", "lasttoken"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stitch(two_modes, adapter=adapter_from(2 * WIDTH, recorded))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_adapter_follows_its_model_to_the_gpu(encoder):
    """And `encode(device=...)` moves both."""
    model = stitch(encoder)
    wanted = model.encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS, device="cuda"), wanted, atol=1e-4)
    assert model[-1].adapter.device.type == "cuda"


@pytest.mark.slow
def test_the_library_is_optional():
    """Importing irp_hf does not import it, and without it the extra is named."""
    script = """if True:
        import sys
        import irp_hf
        assert "sentence_transformers" not in sys.modules
        sys.modules["sentence_transformers"] = None
        try:
            import irp_hf.integrations.sentence_transformers
        except irp_hf.MissingDependencyError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert says(run.stdout, "IRPTranslation", "sentence-transformers>=6", "pip install 'irp_hf[sentence-transformers]'")


@pytest.mark.slow
def test_round_trip_of_real_encoders(tmp_path, monkeypatch):
    """MiniLM to static vectors and back to a folder: all that `encode` gives is what `translate` gives."""
    monkeypatch.syspath_prepend(ROOT)
    from examples.trec import StaticEncoder, load_trec, minilm_folder

    texts, table = load_trec().texts[:400], StaticEncoder()
    minilm = SentenceTransformer(str(minilm_folder()), device="cpu")
    static = SentenceTransformer(modules=[StaticEmbedding(table.tokenizer, table.vectors)], device="cpu")
    np.testing.assert_allclose(static.encode(texts), table(texts), atol=1e-5)
    vectors = minilm.encode(texts)
    adapter = IRPAdapter.from_anchors(vectors[:300], static.encode(texts[:300]), "kernel", gamma=1.0, ridge=1e-2)
    model = SentenceTransformer(modules=[*minilm, IRPTranslation(adapter)], device="cpu")
    np.testing.assert_allclose(model.encode(texts), adapter.translate(vectors), atol=1e-4)
    model.save(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))
