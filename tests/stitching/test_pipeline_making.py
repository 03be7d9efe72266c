"""How `pipeline("irp-stitch")` is made: its parts, their devices and dtypes, and what is refused."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from tiny_encoders import LAYERS, VOCAB
from torch import nn
from transformers import AutoModelForSequenceClassification, pipeline

from irp_hf import InputError, IRPAdapter, StitchedModel

TEXTS = tiny.texts(6)


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return stitched.identity(stitched.record("topics"))


@pytest.fixture(scope="module")
def make(classifier, adapter) -> Any:
    """The pipeline, with any part or option another."""

    def made(**options: Any) -> Any:
        return pipeline(
            "irp-stitch", **{"model": adapter, "encoder": classifier, "head": classifier, "device": "cpu"} | options
        )

    return made


@pytest.fixture(scope="module")
def answers(make) -> list[dict[str, Any]]:
    return make()(TEXTS)


def labels(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["label"] for answer in answers]


def dtypes(pipe: Any) -> dict[str, torch.dtype]:
    return {name: next(part.parameters()).dtype for name, part in pipe.stitched.named_children()}


@pytest.mark.parametrize("device", [None, -1, "cpu", torch.device("cpu")])
def test_devices(device, make, answers):
    pipe = make(device=device, encoder_device="cpu", head_device="cpu")
    assert pipe(TEXTS) == answers
    assert pipe.device.type == "cpu" or torch.cuda.is_available()


def test_parts_go_where_each_is_told(make):
    """To the meta device here, which stands for another one: nothing but that part moves."""
    places = {}
    for part in ("encoder_device", "head_device"):
        pipe = make(**{part: "meta"})
        places[part] = {name: next(child.parameters()).device.type for name, child in pipe.stitched.named_children()}
    here = {"adapter": "cpu", "head": "cpu", "encoder_module": "cpu"}
    assert places == {"encoder_device": here | {"encoder_module": "meta"}, "head_device": here | {"head": "meta"}}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.bfloat16, "float32"])
def test_dtypes(dtype, make, answers, tmp_path, adapter):
    """Of the encoder and the head; the adapter stays float32, also one that the pipeline loads."""
    adapter.save_pretrained(tmp_path / "adapter")
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    for model in (adapter, str(tmp_path / "adapter")):
        pipe = make(dtype=dtype, model=model)
        assert dtypes(pipe) == {"adapter": torch.float32, "head": wanted, "encoder_module": wanted}
        scores = [answer["score"] for answer in pipe(TEXTS, batch_size=3)]
        assert scores == pytest.approx([answer["score"] for answer in answers], abs=0.1)


def test_accelerate_places_the_adapter(make, answers, adapter, tmp_path):
    adapter.save_pretrained(tmp_path / "adapter")
    pipe = make(model=str(tmp_path / "adapter"), device=None, device_map="auto")
    assert pipe.model.device.type == "cpu" or torch.cuda.is_available()
    assert labels(pipe(TEXTS)) == labels(answers)


def test_a_device_map_is_meant_for_the_encoder_too(make, adapter, tmp_path, monkeypatch):
    """If it fails, an encoder that is too large for one device is put on the first."""
    asked, load = [], AutoModelForSequenceClassification.from_pretrained

    def noted(*args: Any, **options: Any) -> Any:
        asked.append(options["device_map"])
        return load(*args, **options)

    adapter.save_pretrained(tmp_path / "adapter")
    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", noted)
    make(model=str(tmp_path / "adapter"), device=None, device_map="auto")
    assert asked == ["auto"]


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_a_device_map_beside_a_loaded_adapter(device_map, make, answers, monkeypatch):
    """`pipeline` keeps it to itself, since the model is loaded; the encoder is not, and would be put on the first device."""
    asked, load = [], AutoModelForSequenceClassification.from_pretrained

    def noted(*args: Any, **options: Any) -> Any:
        asked.append(options["device_map"])
        return load(*args, **options)

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", noted)
    assert labels(make(device=None, device_map=device_map)(TEXTS)) == labels(answers)
    make(device=None)
    assert asked == [device_map, None]


def test_device_maps_of_what_is_loaded(classifier, adapter, make, refusal):
    """Nothing is spread of what is loaded already, and a slip of the pen would not be noticed."""
    model = StitchedModel(classifier, adapter, classifier, device="cpu")
    text = refusal(pipeline, "irp-stitch", model=model, device_map="auto", error=InputError)
    assert says(text, "device_map", "StitchedModel")
    assert says(
        refusal(make, encoder=stitched.embed, device=None, device_map="auto", error=InputError), "device_map", "loaded"
    )
    for wrong in ("nonsense", {"": "cdua"}):
        assert says(refusal(make, device=None, device_map=wrong, error=InputError), "device_map")
    for name in ("dtype", "torch_dtype"):
        assert says(
            refusal(pipeline, "irp-stitch", model=model, **{name: "float16"}, error=InputError),
            "dtype",
            "StitchedModel",
        )


def test_the_old_name_of_dtype(make, answers):
    """`torch_dtype`, which most code still says, would leave the models in float32."""
    pipe = make(torch_dtype=torch.bfloat16)
    assert dtypes(pipe) == {"adapter": torch.float32, "head": torch.bfloat16, "encoder_module": torch.bfloat16}
    assert [answer["score"] for answer in pipe(TEXTS)] == pytest.approx([one["score"] for one in answers], abs=0.1)


def test_a_stitched_model(classifier, adapter, make, answers, refusal):
    """Is taken as it is, where its parts are; it has no room for other ones."""
    model = StitchedModel(classifier, adapter, classifier, device="cpu")
    pipe = pipeline("irp-stitch", model=model)
    assert pipe.stitched is model
    assert pipe(TEXTS) == answers
    for name in ("encoder", "head"):
        text = refusal(pipeline, "irp-stitch", model=model, **{name: classifier}, error=InputError)
        assert says(text, name, "StitchedModel", "Path")


def test_a_loaded_encoder_brings_its_tokenizer(make, answers):
    """Under the name that `pipeline` has for it."""
    pipe = make(encoder=stitched.classifier("text"), tokenizer=tiny.tokenizer(), at="head")
    assert labels(pipe(TEXTS)) == labels(answers)


def test_a_model_that_is_no_adapter(make, refusal, tmp_path):
    """As an object, and as a folder that transformers can load."""
    bert = tiny.model("bert", **LAYERS, **VOCAB)
    folder = tiny.save(tmp_path / "bert", bert)
    for model in (bert, str(folder), folder):
        assert says(refusal(make, model=model, error=InputError), "adapter", "a BertModel", "IRPAdapter")


def test_no_model_at_all(refusal):
    """transformers would show a KeyError."""
    assert says(refusal(pipeline, "irp-stitch", error=InputError), "adapter", "encoder=", "head=", "model=")


def test_keywords_that_do_not_exist(make, refusal):
    """Mistyped names of parts, keywords of calls, and names of settings."""
    for wrong in ("foo", "encodr", "top", "encoder_dtyp", "min_length"):
        assert says(refusal(make, **{wrong: 1}, error=InputError), f"got {wrong!r}")
    for name, value in {"top_k": 0, "on_mismatch": "x", "function_to_apply": "x", "dtype": "int8"}.items():
        assert says(refusal(make, **{name: value}, error=InputError), name, value)


@pytest.mark.parametrize("name", ["device", "encoder_device", "head_device"])
def test_devices_that_there_are_not(name, make, refusal):
    """A slip of the pen, or a GPU on a machine without one, would end in an error of PyTorch's after everything is loaded."""
    for wrong in ("cdua", "", 0.5, True, "cuda:99"):
        assert says(refusal(make, **{name: wrong}, error=InputError), name, repr(wrong))
    if name != "device":
        assert says(refusal(make, **{name: -1}, error=InputError), name, -1)


def test_a_keyword_is_told_before_anything_is_loaded(adapter, refusal):
    """Also where the mistyped one is why a part is missing."""
    parts = dict(model=adapter, encodr=stitched.embed, head=nn.Linear(stitched.WIDTH, 2))
    assert says(refusal(pipeline, "irp-stitch", **parts, error=InputError), "'encodr'", "'encoder'", "irp-stitch")


@pytest.mark.slow
def test_two_pipelines_in_two_threads(make):
    """One encoder and one head in both: nothing that one of them holds changes the other's answers."""
    pipes = [make(), make(model=stitched.rough(stitched.record("topics")))]
    wanted = [pipe(TEXTS) for pipe in pipes]
    assert labels(wanted[0]) != labels(wanted[1])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: pipes[row % 2](TEXTS, batch_size=1 + row % 3), range(24)))
    assert [labels(answers) for answers in found] == [labels(wanted[row % 2]) for row in range(24)]


def test_a_second_import_registers_nothing_again(caplog):
    """`importlib.reload` in a notebook must not warn."""
    import importlib

    import irp_hf

    registry = logging.getLogger("transformers")
    registry.addHandler(caplog.handler)
    before = {name: getattr(irp_hf, name) for name in irp_hf.__all__}
    importlib.reload(irp_hf)
    registry.removeHandler(caplog.handler)
    assert {name: getattr(irp_hf, name) for name in irp_hf.__all__} == before
    assert not caplog.records


def test_save_pretrained_writes_the_adapter_alone(make, answers, tmp_path):
    make().save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "hub_code.py", "model.safetensors"]
    assert "custom_pipelines" not in (tmp_path / "config.json").read_text()
    assert make(model=str(tmp_path))(TEXTS) == answers


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_accelerate_places_the_encoder(device_map, make, answers):
    assert labels(make(encoder_device_map=device_map)(TEXTS)) == labels(answers)
