"""What the cards say: true, complete, and whole whatever the names in them are."""

import re
from typing import Any

import pytest
import yaml
from evaluation.test_report import report
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from irp_hf import AnchoredSpaceConfig, AnchorSet, IRPConfig
from irp_hf.anchors.card import anchor_card
from irp_hf.cards.escaping import linked
from irp_hf.cards.merging import merged
from irp_hf.maths.inverses import INVERSES, describe
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.models.cards import adapter_card, space_card
from irp_hf.records import AnchorRecord, EncoderRecord

COMMIT, OTHER = "a" * 40, "b" * 40
FINGERPRINT = "9f" * 32
ANCHORS = {"id": "me/anchors", "revision": OTHER, "dataset": "TREC", "license": "cc-by-4.0"}
HOSTILE = (
    'a"b\'c', "a\nb", "a\r\n---\r\nb", "`a`", "```\nimport os\n```", "a|b", "</td></table><script>", "---", "{{ 7*7 }}",
    "{% raw %}", "a: b # c", "- x", "![x](http://x)", "\u202egnp\u2028x", "/home/me/x", "<!-- ", "-->", "", " ",
)  # fmt: skip


def encoder(name: str = "me/encoder", revision: str | None = COMMIT, **more: Any) -> dict[str, Any]:
    known = dict(id=name, revision=revision, pooling="mean", prompt=None, normalize=True, dtype="float32", view="text")
    return known | more


def config(source: Any = None, target: Any = None, **more: Any) -> IRPConfig:
    """Of an adapter, without a head if nothing else is said."""
    known: dict[str, Any] = dict(
        num_anchors=1000,
        source_size=384,
        target_size=768,
        method="kernel",
        gamma=2.0,
        ridge=0.01,
        restoration=0.5,
        num_landmarks=1000,
        score=0.5531,
        anchor_fingerprint=FINGERPRINT,
        anchor_set=ANCHORS,
        source_encoder=encoder() if source is None else source,
        target_encoder=encoder("you/target", OTHER) if target is None else target,
    )
    return IRPConfig(**(known | more))


def space(**more: Any) -> AnchoredSpaceConfig:
    known: dict[str, Any] = dict(
        num_anchors=1000, hidden_size=384, anchor_fingerprint=FINGERPRINT, anchor_set=ANCHORS, encoder=encoder()
    )
    return AnchoredSpaceConfig(**(known | more))


def data(card: Any) -> dict[str, Any]:
    """The metadata, as the Hub reads them."""
    found: dict[str, Any] = yaml.safe_load(str(card).split("---\n")[1])
    return found


def snippets(card: Any) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", str(card), re.DOTALL | re.MULTILINE)


def test_the_metadata_of_an_adapter():
    """The Hub would not show it among the models of its encoder, or under its task, or `find_spaces` would not find it."""
    found = data(adapter_card(config(target=encoder("you/target", OTHER, at="head")), "me/x"))
    ours = ["irp_hf", "irp-stitch", "latent-translation", "vector-conversion"]
    assert found == {
        "library_name": "transformers",
        "license": "cc-by-4.0",
        "pipeline_tag": "text-classification",
        "tags": [*ours, "irp-adapter", f"irp-anchors:{FINGERPRINT}"],
        "base_model": ["me/encoder", "you/target"],
        "base_model_relation": "adapter",
        "datasets": ["me/anchors"],
    }


@pytest.mark.parametrize(
    ("modality", "at", "tag"),
    [
        ("image", "head", "image-classification"),
        ("audio", "head", "audio-classification"),
        (None, None, "feature-extraction"),
        ("image", None, "image-feature-extraction"),
        ("audio", None, "feature-extraction"),
    ],
)
def test_the_task(modality: str | None, at: str | None, tag: str):
    """A widget of the Hub would ask for a text where a picture is wanted."""
    sides = encoder(modality=modality), encoder("you/target", at=at)
    assert data(adapter_card(config(*sides), "me/x"))["pipeline_tag"] == tag


@pytest.mark.parametrize("name", ["model", "runs/mine", "../mine", "/home/me/model", "a/b/c", None])
def test_what_is_not_on_the_hub_is_no_base_model(name: str | None):
    """A name of a folder would become a link to a stranger's model; only what comes from the Hub has a commit."""
    revision = None if name in ("model", "runs/mine") else COMMIT
    for card in (
        adapter_card(config(source=encoder(name, revision)), "me/x"),
        space_card(space(encoder=encoder(name, revision)), "me/x"),
    ):
        assert data(card).get("base_model", ["you/target"]) == ["you/target"]
        assert "vectors, _ = encode(" not in str(card)


def test_the_same_model_on_both_sides_is_one_base_model():
    """The Hub refuses a list with the same entry twice."""
    assert data(adapter_card(config(encoder(view="en"), encoder(view="es")), "me/x"))["base_model"] == ["me/encoder"]


def test_nothing_is_said_that_is_not_known():
    """An adapter of two bare matrices would get a card with holes, or with figures that nobody measured."""
    bare = config({}, {}, anchor_set=None, anchor_fingerprint=None, score=None)
    card = adapter_card(bare, "me/x")
    assert set(data(card)) == {"library_name", "pipeline_tag", "tags"}
    assert "Not measured yet" in str(card)
    assert "None" not in str(card)
    assert "licence" not in str(card).split("## How it was made")[1].split("## Limits")[0]
    bare_space = space(encoder=None, anchor_set=None, anchor_fingerprint=None)
    assert set(data(space_card(bare_space, "me/x"))) == {"library_name", "pipeline_tag", "tags"}
    assert "None" not in str(space_card(bare_space, "me/x"))


def test_the_model_index_holds_what_was_measured_of_the_chosen_inverse():
    """The Hub would show figures of another method, or without their intervals."""
    card = adapter_card(config(), "me/x", report(agreement=0.9))
    name, results = model_index_to_eval_results(data(card)["model-index"])
    assert name == "x"
    assert [(result.metric_type, result.metric_value) for result in results] == [
        ("cosine", 0.552),
        ("neighbors", 0.346),
        ("agreement", 0.9),
    ]
    assert results[0].metric_name == "cosine with the target's own vector (95 % interval .540 to .564)"
    assert (results[0].dataset_type, results[0].dataset_revision) == ("me/anchors", OTHER)
    assert results[0].dataset_name == "1,000 anchors of TREC, each held out once"
    without = model_index_to_eval_results(data(adapter_card(config(), "me/x", report()))["model-index"])[1]
    assert [result.metric_type for result in without] == ["cosine", "neighbors"]


def test_the_report_is_in_the_card_without_times():
    """A figure of one machine's speed would be read as the adapter's."""
    text = str(adapter_card(config(), "me/x", report(), "report.png"))
    assert report().untimed().to_markdown().strip() in text
    assert "µs" not in text
    assert "![The figures below as a picture](report.png)" in text
    assert ".png" not in str(adapter_card(config(), "me/x", report()))
    assert "(report.png)" in str(adapter_card(config(), "me/x", report(), "/home/me/report.png"))


def test_who_reads_the_card_knows_where_all_comes_from():
    """The commits, the inverse, the anchors and their licence would have to be looked up in the configuration."""
    text = str(adapter_card(config(encoder(prompt="query: ")), "me/x"))
    for said in (
        "[`me/encoder`](https://huggingface.co/me/encoder) | [`you/target`](https://huggingface.co/you/target) |",
        f"(https://huggingface.co/me/encoder/tree/{COMMIT})",
        f"(https://huggingface.co/datasets/me/anchors/tree/{OTHER})",
        "`mean` pooling, unit length",
        '`"query: "`',
        "| inverse | kernel, `gamma=2, ridge=0.01, restoration=0.5` |",
        "| chosen by | cosine, .553 out of fold; nothing was given by hand |",
        "| anchors | 1,000 items of TREC |",
        "| its licence | cc-by-4.0 |",
        f"`{FINGERPRINT}`",
        "@article{maiorca2024latent,",
    ):
        assert said in text
    given = config(method="whitened", gamma=None, balance=0.5, given=["balance"], num_landmarks=500)
    assert "whitened, `balance=0.5, ridge=0.01, restoration=0.5`" in str(adapter_card(given, "me/x"))
    assert "`balance` given by hand" in str(adapter_card(given, "me/x"))


def test_a_figure_of_a_search_names_its_pool():
    """A page on the Hub would promise for any index what was measured among the anchors alone."""
    searched = config(objective="neighbors", num_anchors=1000, num_landmarks=990)  # ten are copies
    assert "| chosen by | neighbours kept among 990, .553 out of fold;" in str(adapter_card(searched, "me/x"))
    named = {one.metric_type: one.metric_name for one in model_index_to_eval_results(
        data(adapter_card(config(), "me/x", report()))["model-index"]
    )[1]}  # fmt: skip
    assert "neighbours by cosine that are kept among 1,000 (95 %" in named["neighbors"]
    assert "among" not in named["cosine"]


def test_landmarks_are_named_where_somebody_chose_them():
    """Of anchors with copies it would look as if somebody had left some out."""
    distinct = config(num_anchors=1000, num_landmarks=990)  # all there are, for ten are copies
    assert "| inverse | kernel, `gamma=2, ridge=0.01, restoration=0.5` |" in str(adapter_card(distinct, "me/x"))
    for number in (990, 1000):
        text = str(adapter_card(config(num_landmarks=number, given=["num_landmarks"]), "me/x"))
        assert f"num_landmarks={number}" in text
        assert "`num_landmarks` given by hand" in text


def test_what_has_no_name_is_called_what_it_is():
    """A set of texts would be called an encoder."""
    assert linked(EncoderRecord()) == EncoderRecord().name
    assert "encoder" not in linked(AnchorRecord())
    assert "anchor" in linked(AnchorRecord(), "datasets/")


@pytest.mark.parametrize(
    ("license", "known"),
    [
        ("MIT", {"license": "mit"}),
        ("CC BY 9", {"license": "other", "license_name": "cc-by-9"}),
        ("…", {"license": "other", "license_name": "other"}),
        (" ", {}),
    ],
)
def test_a_licence_is_one_that_the_hub_knows(license: str, known: dict[str, str]):
    """The Hub refuses a push whose card has another: there it is "other", with a name."""
    for card in (
        adapter_card(config(anchor_set={"license": license}), "me/x"),
        anchor_card(AnchorSet(["a", "b"], license=license)._manifest(), "me/x"),
    ):
        assert {key: value for key, value in data(card).items() if key.startswith("license")} == known


@pytest.mark.parametrize("sly", HOSTILE)
def test_no_value_gets_out_of_its_place(sly: str):
    """A name could add lines to the metadata, cells to a table, code to a snippet, or a picture of elsewhere to the page."""
    record = encoder(sly, pooling=sly, prompt=sly, dtype=sly, view=sly)
    anchors = {"id": sly, "revision": sly, "dataset": sly, "license": sly}
    plain = encoder("model", None, pooling="x", prompt="x", dtype="x", view="x")
    known = {"id": "x", "revision": "x", "dataset": "x", "license": "x"}
    pairs = [
        (
            adapter_card(config(one, one, anchor_set=two), "me/x", report()),
            space_card(space(encoder=one, anchor_set=two), "me/x"),
        )
        for one, two in ((record, anchors), (plain, known))
    ]
    for card, like in zip(*pairs, strict=True):
        text = str(card)
        assert str(ModelCard(text)) == text
        text.encode()
        assert merged(card, text) == text
        assert {**data(card), "license": "", "license_name": "", "model-index": ""} == {
            **data(like), "license": "", "license_name": "", "model-index": ""
        }  # fmt: skip
        assert text.count("\n## ") == str(like).count("\n## ")
        assert snippets(card) == snippets(like)
        for line in text.split("## Use it")[0].splitlines():
            if line.startswith("|"):
                assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4)
        bare = re.sub(r"(`+) ?.*? ?\1|\\.", "", text.split("\n---\n", 1)[1])
        assert "<script" not in bare
        assert "](http://x)" not in bare
        assert not re.search("[\u202e\u2028]", text)


@pytest.mark.parametrize("sly", HOSTILE)
def test_a_prompt_in_a_snippet_is_a_string(sly: str):
    """A prompt could close its quotes and become code that readers copy and run."""
    card = space_card(space(encoder=encoder(prompt=sly, pooling="cls")), "me/x")
    (code,) = (code for code in snippets(card) if "encode(" in code and "AnchoredSpace" not in code)
    called: dict[str, Any] = {}
    exec(code.split("\n", 2)[2], {"encode": lambda *args, **kwargs: (called.update(kwargs), None)})
    assert called == {"revision": COMMIT, "pooling": "cls", "normalize": True} | ({"prompt": sly} if sly else {})


def test_several_poolings_are_all_named():
    """An encoder that concatenates two poolings would end in an error, or its snippet encode other vectors."""
    two = encoder(pooling=["mean", "max"])
    assert "`mean` and `max` pooling" in str(adapter_card(config(two), "me/x"))
    card = space_card(space(encoder=two), "me/x")
    assert "`mean` and `max` pooling" in str(card)
    assert any('    pooling=["mean", "max"],' in code for code in snippets(card))


@pytest.mark.parametrize("method", INVERSES)
def test_the_inverse_is_said_as_connect_takes_it(method: str):
    """A reader of the card could not fit the same adapter again."""
    fitted = INVERSES[method]()
    values = {name: getattr(fitted, name) for name in hyperparameters_of(fitted) if name != "num_landmarks"}
    text = str(adapter_card(config(**{**values, "gamma": 2.0, "method": method}), "me/x"))
    assert f"| inverse | {method}, `{describe(fitted, 0.5)}` |" in text


def test_every_snippet_is_python():
    """Somebody would copy a line that no Python reads."""
    head = encoder("you/target", OTHER, at="head")
    cards = [adapter_card(config(target=target), "me/x") for target in (None, head, encoder("model", None, at="head"))]
    cards += [adapter_card(config(encoder("model", None)), "me/x")]
    assert [len(snippets(card)) for card in cards] == [3, 3, 3, 3]
    cards += [space_card(space(encoder=side), "me/x") for side in (encoder(), head, None)]
    cards += [
        space_card(space(anchor_set=None), "me/x"),
        anchor_card(AnchorSet({"en": ["a", "b"], "es": ["c", "d"]})._manifest(), "me/x"),
    ]
    for card in cards:
        for code in snippets(card):
            compile(code, "card", "exec")


def test_the_card_of_an_anchor_set():
    """The Hub would not show its table, nor tell its size and licence."""
    anchors = AnchorSet.sample(
        [f"text {row}" for row in range(1500)], num_anchors=1200, dataset_id="CogComp/trec", license="cc-by-4.0"
    )
    card = anchor_card(anchors._manifest(), "me/anchors")
    assert data(card) == {
        "license": "cc-by-4.0",
        "size_categories": ["1K<n<10K"],
        "task_categories": ["feature-extraction"],
        "tags": ["irp_hf", "irp-anchor-set", "latent-translation", f"irp-anchors:{anchors.fingerprint}"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
    }
    for said in (
        "| items | 1,200 |",
        "| views | `text` |",
        "| chosen | at random, seed 0 |",
        "| from | CogComp/trec |",
    ):
        assert said in str(card)
