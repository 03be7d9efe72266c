"""The head of a classifier in a folder: its own tensors alone are read, and whatever is wrong there is said in words."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import stitched
import torch
import transformers
from architectures import build
from safetensors.torch import load_file, save_file
from says import says
from torch import Tensor, nn

from irp_hf.checkpoints.stored import TensorFile
from irp_hf.errors import InputError, IRPError
from irp_hf.heads import Head, open_head
from irp_hf.heads import stored as stored_heads
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.head import label_names
from irp_hf.heads.stored import put_tensors

BERT = "BertForSequenceClassification"
Copy = Callable[..., Path]
NESTED = json.loads("[" * 500 + "]" * 500)


@pytest.fixture(scope="module")
def bert() -> Any:
    """A tiny classifier, and a batch for it. Not to be changed."""
    return build(BERT)


@pytest.fixture(scope="module")
def stored(bert: Any, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "topics"
    bert[0].save_pretrained(folder)
    return Path(folder)


@pytest.fixture
def copy(stored: Path, tmp_path: Path) -> Copy:
    """A copy of the folder, with other settings in its config.json."""

    def made(**settings: Any) -> Path:
        folder = Path(shutil.copytree(stored, tmp_path / "topics", dirs_exist_ok=True))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | settings))
        return folder

    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return stitched.save(tmp_path / "pictures", "image")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensors that are read from safetensors by us, and "whole" where the model is loaded."""
    names: list[str] = []
    really_read, really_load = TensorFile.read, stored_heads._whole_cut

    def read(self: TensorFile, name: str) -> Tensor:
        names.append(name)
        return really_read(self, name)

    def load(*args: Any, **kwargs: Any) -> HeadCut:
        names.append("whole")
        return really_load(*args, **kwargs)

    monkeypatch.setattr(TensorFile, "read", read)
    monkeypatch.setattr(stored_heads, "_whole_cut", load)
    return names


def rename(folder: Path, new: Callable[[str], str | None]) -> Path:
    """Store tensors under new names, or not at all."""
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for old, tensor in load_file(file).items() if (name := new(old))}
    save_file(tensors, file, {"format": "pt"})
    return folder


def same_as_loaded(head: Head, bert: Any) -> bool:
    model, batch = bert
    z = HeadCut(model, **batch(3)).features(**batch(5))
    with torch.no_grad():
        return torch.equal(head(z), model.classifier(z))


class TestReading:
    def test_the_heads_tensors_alone_are_read(self, stored: Path, bert: Any, read: list[str]) -> None:
        """Of a classifier of 1 GB a stitched model keeps some MB, and reads no more."""
        state = torch.get_rng_state()
        head = open_head(stored)
        assert torch.equal(torch.get_rng_state(), state)
        assert sorted(read) == ["classifier.bias", "classifier.weight"]
        assert same_as_loaded(head, bert)
        assert head.record.to_dict() == {"id": "topics", "kind": "text"}
        assert (head.dim, head.problem_type, head.labels) == (32, None, [f"LABEL_{i}" for i in range(5)])
        assert sum(parameter.numel() for parameter in head.parameters()) == 5 * 32 + 5

    def test_it_does_not_hang_on_to_the_file(self, copy: Copy, bert: Any) -> None:
        """safetensors gives windows on it: whoever saved over it would change the head, or end the process."""
        head, file = open_head(copy()), copy() / "model.safetensors"
        with file.open("r+b") as stored:
            stored.write(b"\0" * file.stat().st_size)
        assert same_as_loaded(head, bert)

    def test_of_shards_those_with_the_head(self, bert: Any, tmp_path: Path, read: list[str]) -> None:
        bert[0].save_pretrained(tmp_path, max_shard_size="20KB")
        places = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
        for other in set(places.values()) - {places["classifier.weight"], places["classifier.bias"]}:
            (tmp_path / other).unlink()
        assert same_as_loaded(open_head(tmp_path), bert)
        assert sorted(read) == ["classifier.bias", "classifier.weight"]

    def test_one_file_goes_before_an_index(self, copy: Copy, bert: Any) -> None:
        """As in transformers: else the head would be that of another model than `from_pretrained` gives."""
        folder = copy()
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"classifier.weight": "old.safetensors"}}')
        save_file({"classifier.weight": torch.zeros(5, 32)}, folder / "old.safetensors", {"format": "pt"})
        assert same_as_loaded(open_head(folder), bert)

    def test_old_names_in_the_backbone_do_no_harm(self, copy: Copy, bert: Any, read: list[str]) -> None:
        def old(name: str) -> str:
            return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

        assert same_as_loaded(open_head(rename(copy(), old)), bert)
        assert "whole" not in read

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            *((name, torch.float32) for name in ("Bart", "GPT2", "DistilBert", "DebertaV2")),
            *((name, torch.float16) for name in ("Llama", "Roberta")),
            *((name, torch.bfloat16) for name in ("T5", "Gemma2")),
        ],
    )
    def test_it_is_bit_for_bit_the_head_of_the_loaded_model(
        self, name: str, dtype: torch.dtype, tmp_path: Path, read: list[str]
    ) -> None:
        """Tied embeddings, decoders that score tokens, and checkpoints in half precision, which keep it."""
        model, batch = build(f"{name}ForSequenceClassification")
        model.to(dtype).save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path, dtype="auto").eval()
        want = HeadCut(loaded, **batch(3)).head_only()
        head = open_head(tmp_path)
        assert "whole" not in read
        assert {parameter.dtype for parameter in head.parameters()} == {dtype}
        z = torch.randn(7, head.dim or 0)
        with torch.no_grad():
            assert torch.equal(head(z), want(z.to(dtype)).float())

    def test_a_decoder_without_a_padding_token(self, tmp_path: Path, read: list[str]) -> None:
        """Many a large one has none, and refuses batches; its head reads none."""
        model, _ = build("GPT2ForSequenceClassification")
        model.config.pad_token_id = None
        model.save_pretrained(tmp_path)
        head, z = open_head(tmp_path), torch.randn(4, model.config.hidden_size)
        assert read == ["score.weight"]
        assert torch.allclose(head(z), model.score(z), atol=1e-6)


class TestConfiguration:
    def test_string_keys_and_the_problem(self, copy: Copy) -> None:
        """JSON has no other keys, and "10" sorts before "2"."""
        labels = {str(i): f"topic {i}" for i in (2, 4, 1, 0, 3)}
        head = open_head(copy(id2label=labels, problem_type="multi_label_classification"))
        assert head.labels == ["topic 0", "topic 1", "topic 2", "topic 3", "topic 4"]
        assert head.problem_type == "multi_label_classification"

    @pytest.mark.parametrize("keys", [(0, 2, 3, 4, 5), (1, 2, 3, 4, 5), (-1, 0, 1, 2, 3), (0, 10, 20, 30, 40)])
    def test_names_that_leave_logits_out(self, copy: Copy, keys: tuple[int, ...]) -> None:
        """Counted up, they would shift: each score would stand beside another label than transformers puts there."""
        head = open_head(copy(id2label={str(key): f"topic {key}" for key in keys}, label2id={}))
        assert head.names(5) == [f"topic {i}" if i in keys else f"LABEL_{i}" for i in range(5)]

    @pytest.mark.parametrize("name", [None, ["a"], {"a": "b"}, "half \ud800"])
    def test_names_that_are_none(self, copy: Copy, name: Any) -> None:
        """They would come out as labels, and half of a character cannot even be printed."""
        assert open_head(copy(id2label={str(row): name if row == 3 else "x" for row in range(5)})).labels is None
        assert label_names(SimpleNamespace(id2label={"0": "a", "1": "b", "01": name or "c"})) is None

    @pytest.mark.parametrize("auto_map", ["x", ["x"], 7, True, "\ud800"])
    def test_code_under_no_names(self, copy: Copy, auto_map: Any, refusal: Any) -> None:
        text = refusal(open_head, copy(auto_map=auto_map), error=InputError)
        assert says(text, "topics", "auto_map")

    @pytest.mark.parametrize("key", ["size", "image_processor_type", "auto_map", "unknown"])
    @pytest.mark.parametrize("value", [[], 7, NESTED])
    def test_a_processor_that_says_nonsense(self, pictures: Path, key: str, value: Any) -> None:
        """It tells what to trace the model with, which is otherwise made up; never an error of Python's own."""
        file = pictures / "preprocessor_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
        with contextlib.suppress(IRPError):
            assert open_head(pictures)(torch.ones(2, stitched.WIDTH)).isfinite().all()

    def test_a_single_score(self, tmp_path: Path) -> None:
        config = transformers.BertConfig(
            num_labels=1,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            vocab_size=64,
        )
        config.problem_type = "regression"
        model = transformers.BertForSequenceClassification(config).eval()
        model.save_pretrained(tmp_path)
        head, z = open_head(tmp_path), torch.randn(3, 16)
        assert (head.labels, head.problem_type) == (["LABEL_0"], "regression")
        assert torch.equal(head(z), model.classifier(z))

    def test_code_from_the_repository_is_not_run(self, copy: Copy, bert: Any) -> None:
        ran = {"AutoModelForSequenceClassification": "evil.Evil", "AutoConfig": "evil.Evil"}
        folder = copy(auto_map=ran)
        (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
        assert same_as_loaded(open_head(folder), bert)
        for settings in ({"architectures": ["Evil"]}, {"model_type": "evil"}):
            with pytest.raises(InputError):
                open_head(copy(auto_map=ran, **settings))
        assert not (folder / "ran").exists()

    @pytest.mark.parametrize(
        ("architectures", "named"),
        [
            (["Bert"], "class Bert. "),
            (["BertModel"], "class BertModel. "),
        ],
    )
    def test_what_is_no_classifier(self, copy: Copy, architectures: Any, named: str, refusal: Any) -> None:
        """ "Bert" is a part of a classifier's name."""
        text = refusal(open_head, copy(architectures=architectures), error=InputError)
        assert text.startswith("topics: ")
        assert named in text

    def test_no_class_where_the_type_has_no_classifier(self, copy: Copy, refusal: Any) -> None:
        """Nothing says what the head reads."""
        text = refusal(open_head, copy(architectures=None, model_type="marian"), error=InputError)
        assert "of no named class" in text
        assert '"architectures"' in text


class TestDamage:
    @pytest.mark.parametrize(
        ("settings", "shape"),
        [({"id2label": {str(i): str(i) for i in range(3)}}, "(3, 32)"), ({"hidden_size": 48}, "(5, 48)")],
    )
    def test_shapes_of_another_configuration(self, copy: Copy, settings: Any, shape: str, refusal: Any) -> None:
        """Labels would go to the wrong scores, or fail at the first text."""
        text = refusal(open_head, copy(label2id={}, **settings), error=InputError)
        for words in ("classifier.weight of topics", "(5, 32)", shape):
            assert words in text

    @pytest.mark.parametrize("missing", ["classifier.weight", "classifier.bias"])
    def test_a_head_without_weights(self, copy: Copy, missing: str, refusal: Any) -> None:
        """A backbone saved as a classifier: transformers would fill it in at random."""
        folder = rename(copy(), lambda name: None if name == missing else name)
        text = refusal(open_head, folder, error=InputError)
        assert text.startswith("topics: ")
        assert missing in text

    @pytest.mark.parametrize("keep", [0, 20, -200])
    def test_a_download_that_stopped(self, copy: Copy, keep: int, refusal: Any) -> None:
        file = copy() / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        text = refusal(open_head, file.parent, error=InputError)
        assert text.startswith("model.safetensors of topics: ")
        assert "a damaged one" in text

    @pytest.mark.parametrize("text", ["{", "{}", "[]", '{"weight_map": 3}', '{"weight_map": []}'])
    def test_an_index_that_is_none(self, copy: Copy, text: str, refusal: Any) -> None:
        folder = copy()
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(text)
        assert refusal(open_head, folder, error=InputError).startswith("model.safetensors.index.json of topics: ")

    def test_a_shard_that_is_gone(self, bert: Any, tmp_path: Path, refusal: Any) -> None:
        bert[0].save_pretrained(tmp_path, max_shard_size="20KB")
        places = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
        (tmp_path / places["classifier.weight"]).unlink()
        assert tmp_path.name in refusal(open_head, tmp_path, error=InputError)

    def test_weights_in_a_pickle(self, copy: Copy, refusal: Any) -> None:
        folder = copy()
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        text = refusal(open_head, folder, error=InputError)
        assert text.startswith("topics")
        assert "pickle" in text

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_file_that_is_not_there(self, copy: Copy, name: str, refusal: Any) -> None:
        folder = copy()
        (folder / name).unlink()
        assert refusal(open_head, folder, error=InputError).startswith("topics")

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_type": "nonsense"}', "\x00"])
    def test_a_configuration_that_is_none(self, copy: Copy, text: str, refusal: Any) -> None:
        folder = copy()
        (folder / "config.json").write_text(text)
        assert refusal(open_head, folder, error=InputError).startswith("topics")

    def test_a_name_that_is_no_folder(self, tmp_path: Path, refusal: Any) -> None:
        """The Hub is not asked for what cannot be a name there."""
        for name in ("no such name!", str(tmp_path / "nothing")):
            assert repr(name) in refusal(open_head, name, error=InputError)

    def test_a_generation_model(self, tmp_path: Path, refusal: Any) -> None:
        config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=64, bos_token_id=0, eos_token_id=0)
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "writer")
        text = refusal(open_head, tmp_path / "writer", error=InputError)
        assert text.startswith("writer: ")
        assert "GPT2LMHeadModel" in text


def test_parameters_and_buffers_are_put_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tensors = {"0.weight": torch.full((2, 2), 3.0), "1.running_mean": torch.tensor([1.0, 2.0])}
    put_tensors(model, tensors)
    assert torch.equal(model[0].weight, tensors["0.weight"])
    assert torch.equal(model[1].running_mean, tensors["1.running_mean"])
    assert isinstance(model[0].weight, nn.Parameter)
    assert set(model.state_dict()) == {
        *(f"0.{n}" for n in ("weight", "bias")),
        *(f"1.{n}" for n in model[1].state_dict()),
    }
