"""A stranger's tokenizer: bounded before its library runs it, which would take all memory of the process and abort it."""

import base64
import json

import pytest
import tiny_encoders as tiny
import transformers
from checkpoints.opening import run
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from irp_hf.checkpoints.tokenizers import MOST_GROWTH, check_content
from irp_hf.encoding import encode
from irp_hf.errors import InputError


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def sequence(*steps, inner="normalizers"):
    return {"type": "Sequence", inner: list(steps)}


def charsmap(*replacements):
    trie = bytes(1024)
    data = len(trie).to_bytes(4, "little") + trie + b"".join(text + b"\0" for text in replacements)
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def deep(step, depth):
    for _ in range(depth):
        step = sequence(step)
    return step


TWICE = [replace("a", "aa")] * 40
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
META = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
SPECIAL = {"id": "[EOS]", "ids": [2], "tokens": ["[EOS]"]}


def template(pieces, ids=(2,)):
    special = SPECIAL | {"ids": list(ids), "tokens": ["[EOS]"] * len(ids)}
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": {"[EOS]": special}}


END, TEXT = {"SpecialToken": {"id": "[EOS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}


def token(content, place=90):
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return flags | {"id": place, "content": content}


HUGE = {
    "letters that double": {"normalizer": sequence(*TWICE)},
    "without types": {"normalizer": {"normalizers": [{"pattern": {"String": "a"}, "content": "aa"}] * 40}},
    "a type and the steps of another": {"normalizer": replace("a", "a" * 5000) | {"normalizers": []}},
    "one long text": {"normalizer": replace("a", "a" * 1_000_000)},
    "between any two characters": {"normalizer": replace("", "a" * 5000)},
    "an expression": {"normalizer": replace("a|", "a" * 5000, "Regex")},
    "any number of letters": {"normalizer": replace("(aaaa)*", "a" * 5000, "Regex")},
    "before every text": {"normalizer": sequence(*[{"type": "Prepend", "prepend": "▁" * 40}] * 3)},
    "a table": {"normalizer": charsmap(b"x" * 5000)},
    "tables": {"normalizer": sequence(*[charsmap(b"x" * 40)] * 5)},
    "ligatures": {"normalizer": sequence(*[replace("ا", "\ufdfa"), {"type": "NFKC"}] * 6)},
    "bytes of bytes": {"pre_tokenizer": sequence(*[BYTES] * 30, inner="pretokenizers")},
    "bytes before and after": {"normalizer": deep(BYTES, 1) | {"normalizers": [BYTES] * 20}},
    "marks of words": {"pre_tokenizer": sequence(*[META] * 12, inner="pretokenizers")},
    "a text many times": {"post_processor": template([TEXT] * 3000)},
    "tokens around a text": {"post_processor": template([TEXT, END], ids=[2] * 5_000)},
    "many tokens": {"post_processor": template([TEXT] + [END] * 2_000)},
    "sequences of templates": {
        "post_processor": sequence(*[template([TEXT] * 9)] * 9, inner="processors"),
    },
    "what is decoded": {"decoder": sequence(*TWICE, inner="decoders")},
    "very deep": {"normalizer": deep(replace("a", "b"), 60)},
    "very many": {"normalizer": sequence(*[replace("a", "b")] * 500)},
    "an unknown step": {"normalizer": {"type": "Explode"}},
    "a long expression": {
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a?" * 50_000}, "behavior": "Isolated"}
    },
    "padding": {"padding": {"strategy": {"Fixed": 10**9}, "pad_id": 0, "pad_token": "[PAD]"}},
    "padding to a multiple": {"padding": {"strategy": "BatchLongest", "pad_to_multiple_of": 10**9}},
    "a long added token": {"added_tokens": [token("x" * 2_000_000)]},
    "many added tokens": {"added_tokens": [token("x" * 1000, 90 + i) for i in range(2000)]},
    "a tree of letters": {"model": {"type": "Unigram", "vocab": [["x" * 9000, 0.0]] * 1200}},
    "a long token": {"model": {"type": "WordLevel", "vocab": {"x" * 20_000: 0}}},
    "words of any length": {"model": {"type": "WordPiece", "vocab": {"x": 0}, "max_input_chars_per_word": 10**9}},
    "a long prefix": {"model": {"type": "WordPiece", "vocab": {"x": 0}, "continuing_subword_prefix": "#" * 10**5}},
}


@pytest.mark.parametrize("name", HUGE)
def test_a_tokenizer_that_makes_much_of_little(copied, name, refusal):
    """Text of a few letters would become gigabytes: no exception, the process is gone."""
    folder = copied("text", "tokenizer.json", **HUGE[name])
    assert says(refusal(run, "text", folder, error=InputError), "tokenizer.json", "text")


@pytest.mark.parametrize("kind", ["sentences", "topics"])
def test_wherever_texts_are_read(copied, kind, refusal):
    """Modules of sentence-transformers have tokenizers of their own, and so have classifiers."""
    folder = copied(kind, "tokenizer.json", normalizer=sequence(*TWICE))
    asked = dict(at="head") if kind == "topics" else {}
    assert says(refusal(encode, str(folder), ["a"], **asked, error=InputError), "tokenizer.json", str(MOST_GROWTH)[:1])


def test_static_embeddings(tmp_path, refusal):
    """They hand the file to the library as it is, padding and all."""
    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "w1": 1}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    SentenceTransformer(modules=[StaticEmbedding(inner, embedding_dim=4)], device="cpu").save(str(tmp_path / "static"))
    assert encode(str(tmp_path / "static"), ["w1", "w1 w1"], device="cpu")[0].shape == (2, 4)
    (file,) = (tmp_path / "static").rglob("tokenizer.json")
    content = json.loads(file.read_text()) | {"normalizer": sequence(*TWICE)}
    file.write_text(json.dumps(content))
    assert "tokenizer.json" in refusal(encode, str(tmp_path / "static"), ["a"], error=InputError)


def test_a_file_for_another_version(copied, refusal):
    """The settings can name another file, which transformers reads instead."""
    folder = copied("text", "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json", "tokenizer.json"])
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.4.0.0.json").write_text(json.dumps(content))
    assert run("text", folder)
    (folder / "tokenizer.4.0.0.json").write_text(json.dumps(content | {"normalizer": sequence(*TWICE)}))
    assert "tokenizer.4.0.0.json" in refusal(run, "text", folder, error=InputError)
    for names in (["../tokenizer.4.0.0.json"], ["sub/tokenizer.1.json"], ["tokenizer.1.json"] * 20):
        folder = copied("text", "tokenizer_config.json", fast_tokenizer_files=names)
        assert "tokenizer_config.json" in refusal(run, "text", folder, error=InputError)


def test_a_table_in_another_file(refusal):
    """Of sentencepiece's own file the table of characters is known only once the tokenizer is made."""
    from irp_hf.checkpoints.tokenizers import check_loaded

    made = tiny.tokenizer()
    made.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("a", "aa")] * 40)
    assert "of mine" in refusal(check_loaded, "mine", made, error=InputError)
    check_loaded("mine", tiny.tokenizer())
    check_loaded("mine", None)


def test_an_expression_without_an_end(copied, refusal):
    """The library gives up with what is no `Exception`: it would end a server that catches those."""
    folder = copied("text", "tokenizer.json", normalizer=replace("(x+x+)+y", "b", "Regex"))
    text = refusal(encode, str(folder), ["w1", "x" * 40], pooling="mean", device="cpu", error=InputError)
    assert says(text, "retry-limit", "tokenizer.json")


@pytest.mark.parametrize("content", ["{", "[]", "3", "[" * 100_000, '{"model": ' * 500, "\ufeff{}", "\x00"])
def test_a_file_that_is_none(copied, content, refusal):
    """Whatever the library says of it."""
    folder = copied("text", "tokenizer.json")
    (folder / "tokenizer.json").write_text(content)
    assert "tokenizer.json" in refusal(run, "text", folder, error=InputError)


FAMILIES = ("Albert", "Bert", "CLIP", "DebertaV2", "GPT2", "Llama", "Qwen2", "SeamlessM4T", "T5", "XLMRoberta", "XLNet")


@pytest.mark.parametrize(
    "names",
    [
        [f"{family}Tokenizer" for family in FAMILIES],
        pytest.param(sorted({name for name in TOKENIZER_MAPPING_NAMES.values() if name}), marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_honest_tokenizers_are_read(names):
    """Bounds that refuse what people use: tokenizers as transformers builds them, and the table that sentencepiece adds."""
    seen = 0
    for name in names:
        try:
            content = json.loads(getattr(transformers, name)().backend_tokenizer.to_str())
        except Exception:  # those that need a vocabulary, or another library
            continue
        table = charsmap(b"x" * 33)  # as long as the longest of "nmt_nfkc"
        check_content(name, content)
        check_content(name, content | {"normalizer": sequence(*filter(None, (content["normalizer"], table)))})
        seen += 1
    assert seen >= len(FAMILIES)
