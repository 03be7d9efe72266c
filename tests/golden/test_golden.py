"""What was saved before the package was laid out anew loads, and gives the same: `make.py` beside this wrote the folders."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from golden.make import ADAPTERS, BATCH, ROWS, SOURCE, TARGET, TEXTS, embed
from safetensors.numpy import load_file

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.evaluation import Report
from irp_hf.parallel import run_sharded

HERE = Path(__file__).parent


def expected(kind):
    return dict(np.load(HERE / kind / "expected.npz"))


def same_bits(found, wanted):
    """In float64 machines differ behind the last bit of float32, so that rounded to it they must agree."""
    assert np.array_equal(np.asarray(found).astype(np.float32), wanted.astype(np.float32))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter(kind):
    """If it fails, what somebody published translates otherwise with the next release, or loads no more."""
    adapter = IRPAdapter.from_pretrained(HERE / kind)
    wanted = expected(kind)
    same_bits(adapter.translate(ROWS), wanted["translated"])
    same_bits(adapter.confidence(ROWS), wanted["confidence"])
    np.testing.assert_allclose(adapter.translate(ROWS.astype(np.float32)), wanted["single"], rtol=2e-6, atol=2e-6)
    assert adapter.config.source_encoder == SOURCE
    assert adapter.config.target_encoder == TARGET
    if len(bound := wanted.get("bound", ())):
        same_bits(adapter.confidence(ROWS, coverage=0.9), bound)


def test_an_adapter_that_knows_no_errors(refusal):
    """If it fails, an adapter that was saved before there were bounds gives one out of nothing, or dies."""
    adapter = IRPAdapter.from_pretrained(HERE / "kernel")
    assert "saved before" in refusal(adapter.confidence, ROWS, coverage=0.9)
    assert adapter.evaluate(ROWS, adapter.translate(ROWS)).coverage is None


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_is_saved_again_as_it_was(kind, tmp_path):
    """If it fails, loading and saving changes the bytes: two owners of one adapter could not tell that it is the same."""
    IRPAdapter.from_pretrained(HERE / kind).save_pretrained(tmp_path)
    before, after = (load_file(folder / "model.safetensors") for folder in (HERE / kind, tmp_path))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (HERE / kind, tmp_path))
    assert {**after, "transformers_version": None} == {**before, "transformers_version": None}


def test_a_space():
    """If it fails, a published space has other coordinates than those that others computed with it."""
    space, options, wanted = (
        AnchoredSpace.from_pretrained(HERE / "space"),
        dict(gamma=1.0, ridge=1e-2),
        expected("space"),
    )
    same_bits(space.to_relative(ROWS, **options), wanted["relative"])
    same_bits(space.to_absolute(wanted["relative"], **options), wanted["absolute"])
    assert space.config.encoder == SOURCE
    assert space.config.anchor_set == {"dataset": "me/texts", "license": "cc-by-4.0"}


def test_a_space_with_a_background():
    """If it fails, the unpaired rows of a published space are others, or it can no longer be connected."""
    space, wanted = AnchoredSpace.from_pretrained(HERE / "space-background"), expected("space-background")
    assert np.array_equal(space.background_rows, wanted["rows"])
    assert np.array_equal(space.background_numbers, wanted["numbers"])
    assert (space.config.num_anchors, space.config.num_background) == (8, len(wanted["rows"]))


@pytest.mark.parametrize("kind", ["few-pairs", "discovered"])
def test_an_adapter_of_unpaired_rows(kind):
    """If it fails, what nobody can fit again without the rows translates otherwise, or forgets which it paired."""
    adapter, wanted = IRPAdapter.from_pretrained(HERE / kind), expected(kind)
    translated, confidence = adapter.translate(wanted["x"], return_confidence=True)
    np.testing.assert_allclose(translated, wanted["translated"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(confidence, wanted["confidence"], rtol=1e-5, atol=1e-5)
    assert (adapter.config.source_encoder, adapter.config.target_encoder) == (SOURCE, TARGET)
    assert (adapter.config.background is None) == (kind == "discovered")
    pairs = {} if adapter.discovered_pairs is None else adapter.discovered_pairs._asdict()
    assert set(pairs) == set(wanted) - {"x", "translated", "confidence"}
    for name, found in pairs.items():
        assert np.array_equal(found, wanted[name])


@pytest.mark.parametrize("kind", ["space-background", "few-pairs", "discovered"])
def test_unpaired_rows_are_saved_again_as_they_were(kind, tmp_path):
    """If it fails, loading and saving changes the bytes, or narrows what is kept in half precision or in whole numbers."""
    (AnchoredSpace if kind.startswith("space") else IRPAdapter).from_pretrained(HERE / kind).save_pretrained(tmp_path)
    before, after = (load_file(folder / "model.safetensors") for folder in (HERE / kind, tmp_path))
    assert {name: (value.dtype, value.tobytes()) for name, value in before.items()} == {
        name: (value.dtype, value.tobytes()) for name, value in after.items()
    }


def test_an_anchor_set():
    """If it fails, the items of a published set, or their fingerprint, are others, and no space fits any more."""
    anchors = AnchorSet.from_pretrained(HERE / "anchor-set")
    assert anchors.views == ("words", "picture")
    assert anchors.view("words") == TEXTS
    assert anchors.view("picture")[3].getpixel((0, 0)) == (60, 60, 60)
    manifest = json.loads((HERE / "anchor-set" / "anchor_set.json").read_text())
    assert anchors.fingerprint == manifest["fingerprint"]


def test_a_finished_run_of_encode(tmp_path):
    """If it fails, what took hours to encode is encoded again after an update."""
    out = shutil.copytree(HERE / "encoded", tmp_path / "runs") / "finished.npy"
    before, calls = out.read_bytes(), Calls()
    vectors, _ = encode(calls, TEXTS, batch_size=BATCH, out=out)
    assert np.array_equal(vectors, embed(TEXTS))
    assert out.read_bytes() == before
    assert calls.number <= 2  # a batch here and there, to see that it is the same encoder


def test_a_finished_run_of_run_sharded(tmp_path):
    """If it fails, what took hours to compute is computed again after an update."""
    folder, calls = shutil.copytree(HERE / "blocks", tmp_path / "blocks"), Calls()
    assert np.array_equal(run_sharded(calls, TEXTS, folder, block_size=5)["values"], embed(TEXTS))
    assert calls.number <= 2


class Calls:
    """The function that made the folders, which counts its calls."""

    __name__ = "embed"
    number = 0

    def __call__(self, texts):
        self.number += 1
        return embed(texts)


def test_a_sentence_transformers_model(tmp_path):
    """If it fails, a model that holds our translation, which names our class by its path, loads no more."""
    from sentence_transformers import SentenceTransformer

    folder = HERE / "sentence-transformer"
    assert "irp_hf.integrations.sentence_transformers.IRPTranslation" in (folder / "modules.json").read_text()
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    vectors = model.encode(["a b c", "d", "e f g h a"])
    np.testing.assert_allclose(vectors, expected("sentence-transformer")["encoded"], rtol=2e-6, atol=2e-6)


def test_a_report():
    """If it fails, the figures of a published card can no longer be read."""
    report = Report.from_dict(json.loads((HERE / "report" / "report.json").read_text()))
    assert report.to_markdown() == (HERE / "report" / "report.md").read_text()


DOCUMENTED = [
    *[
        "irp_hf:AnchorSet",
        "irp_hf:AnchoredSpace",
        "irp_hf:AnchoredSpaceConfig",
        "irp_hf:IRPAdapter",
        "irp_hf:IRPConfig",
    ],
    *["irp_hf:StitchedModel", "irp_hf:IRPStitchPipeline", "irp_hf:find_spaces", "irp_hf:FoundSpace", "irp_hf:IRPError"],
    *["irp_hf:InputError", "irp_hf:AnchorMismatchError", "irp_hf:DamagedFolderError", "irp_hf:HubError"],
    *["irp_hf:MissingDependencyError", "irp_hf:HeadCutError", "irp_hf.errors:IRPError", "irp_hf.errors:InputError"],
    *["irp_hf.encoding:encode", "irp_hf.heads:open_head", "irp_hf.heads:HeadCut", "irp_hf.heads:Head"],
    *[
        "irp_hf.evaluation:evaluate",
        "irp_hf.evaluation:Evaluation",
        "irp_hf.evaluation:Measure",
        "irp_hf.evaluation:bootstrap",
    ],
    *["irp_hf.evaluation:number", "irp_hf.evaluation:signed", "irp_hf.baselines:procrustes", "irp_hf.baselines:ridge"],
    *[
        "irp_hf.baselines:least_squares",
        "irp_hf.baselines:orthogonalized_least_squares",
        "irp_hf.baselines:RelativeDecoder",
    ],
    *["irp_hf.baselines:relative_decoder", "irp_hf.parallel:encode_dataset", "irp_hf.parallel:run_sharded"],
    *["irp_hf.analysis.anchor_budget:anchor_budget", "irp_hf.analysis.compatibility:compatibility"],
    *["irp_hf.analysis.scale_distribution:scale_distribution", "irp_hf.analysis.scale_invariance:scale_invariance"],
    *["irp_hf.analysis.stability:stability", "irp_hf.analysis.stability:Stability"],
    "irp_hf.integrations.sentence_transformers:IRPTranslation",
]


@pytest.mark.parametrize("path", DOCUMENTED)
def test_a_documented_path_imports(path):
    """If it fails, somebody's program, or a folder that names the class, breaks with an update."""
    module, name = path.split(":")
    assert getattr(importlib.import_module(module), name).__doc__
