"""Whatever mode of torch, numpy or Python a caller has on, the numbers are the same: else they are wrong without a word."""

import ast
import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch._subclasses.fake_tensor import FakeTensorMode

from irp_hf import AnchoredSpace, IRPAdapter, IRPStitchPipeline, StitchedModel
from irp_hf.analysis.scale_distribution import scale_distribution
from irp_hf.analysis.stability import stability
from irp_hf.arithmetic import DEVICES, is_plain, keeps_products, own_arithmetic, values_known
from irp_hf.baselines.registry import BASELINES
from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.evaluation.held_out import evaluate
from irp_hf.heads import open_head
from irp_hf.integrations.sentence_transformers import IRPTranslation

PACKAGE = Path(__file__).parent.parent / "irp_hf"
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(60, 12)).astype(np.float32)
TARGET = np.tanh(SOURCE @ RANDOM.normal(size=(12, 8)) / 3).astype(np.float32)
X = torch.from_numpy(RANDOM.normal(size=(20, 12)).astype(np.float32))
KERNEL: dict[str, Any] = dict(method="kernel", gamma=0.125, ridge=1e-3)  # coefficients that nearly cancel each other


def switched(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    """A mode of the whole process, for as long as a test needs it."""

    @contextlib.contextmanager
    def mode() -> Iterator[None]:
        before = get()
        put(value)
        try:
            yield
        finally:
            put(before)

    return mode


def default_dtype(dtype: torch.dtype) -> Callable[[], Any]:
    return switched(torch.get_default_dtype, torch.set_default_dtype, dtype)


@contextlib.contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


MODES: dict[str, Callable[[], Any]] = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype float64": default_dtype(torch.float64),
    "default dtype bfloat16": default_dtype(torch.bfloat16),
    "device meta": lambda: torch.device("meta"),
    "default device meta": switched(lambda: None, torch.set_default_device, "meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "deterministic": switched(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True),
    "denormals flushed": switched(lambda: False, torch.set_flush_denormal, True),
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": warnings_as_errors,
    "other random numbers": lambda: torch.random.fork_rng(devices=[]),
}

TOGETHER = ("deterministic", "denormals flushed", "numpy raises", "warnings are errors", "other random numbers")


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Modes that do not touch each other: one run tells that none of them does harm."""
    with contextlib.ExitStack() as stack:
        for name in TOGETHER:
            stack.enter_context(MODES[name]())
        yield


ALL = MODES | {"all that touch nothing else": together}
# Each alone is tried now and then: every day they are together, or another mode of the same kind is tried.
SELDOM = (*TOGETHER, "default dtype bfloat16", "device meta", "no gradients")


@pytest.fixture(scope="module")
def entrances(tmp_path_factory) -> dict[str, Callable[[], Any]]:
    """Every way into the package that computes, by name."""
    root = tmp_path_factory.mktemp("saved")
    adapter, space = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL), AnchoredSpace.from_embeddings(SOURCE)
    target, whitened = AnchoredSpace.from_embeddings(TARGET), IRPAdapter.from_anchors(SOURCE, TARGET, method="whitened")
    adapter.save_pretrained(root / "adapter")
    space.save_pretrained(root / "space")
    tiny.save(root / "encoder", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    topics = str(stitched.save(root / "topics", "text"))
    record = stitched.record(topics)
    head, vectors = open_head(topics), torch.from_numpy(stitched.rows(8))
    model = StitchedModel(topics, stitched.identity(record, record), topics)
    classify = IRPStitchPipeline(model)
    sentences = [Transformer(str(root / "encoder")), Pooling(tiny.LAYERS["hidden_size"], "mean")]
    sentence, translation = SentenceTransformer(modules=sentences, device="cpu"), IRPTranslation(adapter)
    texts, array, rows = tiny.texts(), X.numpy(), X.tolist()

    def saved() -> bytes:
        adapter.save_pretrained(root / "again")
        return (root / "again" / "config.json").read_bytes() + (root / "again" / "model.safetensors").read_bytes()

    return {
        "fit kernel": lambda: IRPAdapter.from_anchors(SOURCE, TARGET, method="kernel").checksum(),
        "fit pruned": lambda: IRPAdapter.from_anchors(SOURCE, TARGET, method="pruned").checksum(),
        "fit neighbors": lambda: IRPAdapter.from_anchors(SOURCE, TARGET, "whitened", "neighbors").checksum(),
        "fit agreement": lambda: IRPAdapter.from_anchors(
            SOURCE, TARGET, "kernel", "agreement", lambda y: y[:, :3]
        ).checksum(),
        "connect": lambda: IRPAdapter.connect(space, target, **KERNEL).checksum(),
        "reverse": lambda: adapter.reverse(**KERNEL).checksum(),
        "from_embeddings": lambda: AnchoredSpace.from_embeddings(SOURCE).checksum(),
        "translate": lambda: adapter.translate(X),
        "translate linear": lambda: whitened.translate(X, return_confidence=True)[1],
        "translate numpy": lambda: adapter.translate(array).tobytes(),
        "translate lists": lambda: adapter.translate(rows).tobytes(),
        "translate bfloat16": lambda: adapter.translate(X.bfloat16()),
        "translate float64": lambda: adapter.translate(X.double()),
        "confidence": lambda: adapter.confidence(X),
        "forward": lambda: adapter(embeddings=X, return_confidence=True).translated,
        "to_relative": lambda: space.to_relative(X),
        "to_absolute": lambda: target.to_absolute(space.to_relative(X)),
        "evaluate": lambda: adapter.evaluate(1.5 * SOURCE, 1.5 * TARGET),  # which are no anchors
        "evaluate arrays": lambda: evaluate(TARGET, TARGET + 0.1),
        "report": lambda: adapter.report(progress=False, baselines=[]).untimed().to_dict(),
        "load": lambda: IRPAdapter.from_pretrained(root / "adapter").translate(X),
        "load a space": lambda: AnchoredSpace.from_pretrained(root / "space").checksum(),
        "checksum": adapter.checksum,
        "save": saved,
        "encode": lambda: encode(str(root / "encoder"), texts, pooling="mean")[0],
        "encode at the head": lambda: encode(topics, texts, at="head")[0],
        "open_head": lambda: open_head(topics).predict(vectors),
        "head": lambda: head(vectors).detach(),
        "stitch": lambda: StitchedModel(topics, stitched.identity(record, record), topics).predict(texts).logits,
        "predict": lambda: model.predict(texts, return_confidence=True).confidence,
        "pipeline": lambda: classify(texts, return_confidence=True),
        "encode by sentence-transformers": lambda: encode(sentence, texts)[0],
        "IRPTranslation": lambda: translation({"sentence_embedding": X})["sentence_embedding"],
        "scale_distribution": lambda: scale_distribution(SOURCE),
        "stability": lambda: stability(SOURCE, TARGET, thresholds=[0.7], subspaces=[1], progress=False),
        **{name: lambda fit=fit: fit(SOURCE, TARGET).translate(X) for name, fit in BASELINES.items()},
    }


@pytest.fixture(scope="module")
def plain(entrances) -> dict[str, Any]:
    """What each gives where no mode is on."""
    return {name: enter() for name, enter in entrances.items()}


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=[pytest.mark.slow] if mode in SELDOM else []) for mode in ALL]
)
def test_a_mode_of_the_caller_changes_no_result(entrances, plain, mode):
    for name, enter in entrances.items():
        with ALL[mode]():
            found = enter()
        if isinstance(found, torch.Tensor):
            assert not found.is_inference(), name
            assert found.dtype == plain[name].dtype, name
            assert found.device.type == "cpu", name
            assert torch.equal(found, plain[name]), name
        else:
            assert found == plain[name], name


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_products_that_the_process_rounds_are_made_in_float64(entrances, precision):
    """`set_float32_matmul_precision` rounds to bfloat16 or TF32 where the hardware can: a kernel gives wrong vectors then."""
    adapter = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL)
    exact, sure = adapter.translate(X.double()).float(), adapter.confidence(X.double()).float()
    chosen = IRPAdapter.from_anchors(SOURCE, TARGET, "kernel", "neighbors").checksum()
    mode = switched(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, precision)
    with mode():
        assert not keeps_products(X.device)
        assert torch.equal(adapter.translate(X), exact)
        assert torch.equal(adapter(embeddings=X).translated, exact)
        assert torch.equal(adapter.confidence(X), sure)
        assert IRPAdapter.from_anchors(SOURCE, TARGET, "kernel", "neighbors").checksum() == chosen
    assert keeps_products(X.device)


def test_the_newer_flags_of_a_backend_are_heeded_too():
    matmul = torch.backends.mkldnn.matmul
    with switched(lambda: matmul.fp32_precision, lambda value: setattr(matmul, "fp32_precision", value), "bf16")():
        assert not keeps_products(torch.device("cpu"))
    assert keeps_products(torch.device("cpu"))


def test_what_is_fitted_or_loaded_in_inference_mode_can_be_used_like_any_other(tmp_path):
    """Tensors of inference mode can neither be differentiated through nor be written to outside of it."""
    with torch.inference_mode():
        fitted = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL)
        fitted.save_pretrained(tmp_path)
        loaded = IRPAdapter.from_pretrained(tmp_path)
    for adapter in (fitted, loaded):
        assert not any(tensor.is_inference() for tensor in adapter.state_dict().values())
        x = X.clone().requires_grad_()
        adapter(embeddings=x).translated.sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0
        adapter.source_anchors.zero_()


@pytest.mark.parametrize("mode", ["autocast to bfloat16", "default dtype float64", "device meta", "deterministic"])
def test_gradients_are_those_of_the_plain_forward(mode):
    adapter = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL)

    def gradient(mode: Any) -> torch.Tensor:
        x = X.clone().requires_grad_()
        with mode():
            y = adapter(embeddings=x).translated
        return torch.autograd.grad(y.square().sum() + y[0, 0], x)[0]

    assert torch.equal(gradient(MODES[mode]), gradient(contextlib.nullcontext))


def test_forward_makes_no_graph_where_the_caller_wants_none():
    adapter, x = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL), X.clone().requires_grad_()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert not adapter(embeddings=x).translated.requires_grad
    assert adapter(embeddings=x).translated.requires_grad
    assert not adapter.translate(x).requires_grad
    tracked = IRPAdapter.from_anchors(torch.from_numpy(SOURCE).requires_grad_(), TARGET, **KERNEL)
    assert tracked.checksum() == adapter.checksum()
    assert not any(tensor.requires_grad for tensor in tracked.parameters())


def test_an_out_made_in_inference_mode_is_written():
    adapter = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL)
    with torch.inference_mode():
        out, x = torch.zeros(len(X), 8), X.clone()
        adapter.translate(x, out=out)
    assert torch.equal(out, adapter.translate(X))
    assert torch.equal(adapter.translate(x + 1, out=out), adapter.translate(X + 1))


@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
def test_torch_func_goes_through_forward(method):
    """Values cannot be looked at inside `vmap`; the check of them would end it."""
    adapter = IRPAdapter.from_anchors(SOURCE, TARGET, method=method)
    want = adapter.translate(X)

    def one(row: torch.Tensor) -> torch.Tensor:
        return adapter(embeddings=row[None]).translated[0]

    torch.testing.assert_close(torch.func.vmap(one)(X), want, rtol=1e-3, atol=1e-3)
    for coverage in (None, 0.8):
        sure = torch.func.vmap(lambda row, coverage=coverage: adapter.confidence(row[None], coverage=coverage)[0])(X)
        torch.testing.assert_close(sure, adapter.confidence(X, coverage=coverage), rtol=1e-3, atol=1e-3)
    jacobian = torch.func.vmap(torch.func.jacrev(one))(X)
    assert jacobian.shape == (len(X), 8, 12)
    _, forward = torch.func.jvp(lambda x: adapter(embeddings=x).translated, (X,), (torch.ones_like(X),))
    torch.testing.assert_close(forward, jacobian.sum(2), rtol=1e-2, atol=1e-2)
    gradient = torch.func.grad(lambda x: adapter(embeddings=x).translated.sum())(X)
    torch.testing.assert_close(gradient, jacobian.sum(1), rtol=1e-2, atol=1e-2)


def test_what_needs_values_is_refused_inside_torch_func(refusal):
    adapter, source, target = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL), torch.from_numpy(SOURCE), TARGET

    def fitted(rows: torch.Tensor) -> torch.Tensor:
        return IRPAdapter.from_anchors(rows, target, **KERNEL).source_anchors

    def arrays(rows: torch.Tensor) -> torch.Tensor:
        return rows + IRPAdapter.from_anchors(SOURCE, target, method="kernel").config.gamma

    def judged(rows: torch.Tensor) -> torch.Tensor:
        return rows + adapter.evaluate(rows, target).cosine.value

    for call in (fitted, arrays, judged):
        assert "torch.func" in refusal(torch.func.vmap(call), source[None], error=InputError)
    assert "torch.func" in refusal(torch.func.grad(lambda rows: fitted(rows).sum()), source, error=InputError)


OF_SHAPES = ("forward", "translate", "translate linear", "translate bfloat16", "translate float64", "confidence")


def test_where_torch_follows_shapes_alone(entrances, plain, refusal):
    """What ended in an error of torch's is refused; what a model of transformers does there, an adapter does too."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        for name, enter in entrances.items():
            if name in (*OF_SHAPES, "head", "IRPTranslation"):
                found = enter()
                assert (found.shape, found.dtype) == (plain[name].shape, plain[name].dtype), name
            else:
                assert "hold values" in refusal(enter, error=InputError), name
        shape_alone = torch.empty(3, SOURCE.shape[1])
    adapter = IRPAdapter.from_anchors(SOURCE, TARGET, **KERNEL)
    for call in (adapter.translate, adapter.confidence, lambda x: adapter(embeddings=x)):
        assert "FakeTensor" in refusal(call, shape_alone, error=InputError)
    assert "FakeTensor" in refusal(AnchoredSpace.from_embeddings, shape_alone, error=InputError)


def test_random_numbers_of_the_caller_are_neither_used_nor_moved(entrances):
    states = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    for name, enter in entrances.items():
        enter()
        assert torch.equal(torch.get_rng_state(), states[0]), name
        assert np.random.get_state()[1].tobytes() == states[1], name


def test_modes_of_other_threads_and_of_the_process_stay():
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
            inside.wait(10)
            seen.append((torch.is_autocast_enabled("cpu"), torch.empty(0).device.type))
            leave.set()

    thread = threading.Thread(target=other)
    thread.start()
    with default_dtype(torch.float64)(), torch.autocast("cpu", torch.bfloat16), own_arithmetic():
        inside.set()
        leave.wait(10)
        assert not torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    thread.join()
    assert seen == [(True, "meta")]


@pytest.mark.parametrize("device", [device for device in DEVICES if device != "privateuseone"])  # which wants a library
def test_autocast_of_every_device_is_ended(device):
    """If it fails, products there are of half precision: torch's own flag for any of them knows nothing of MPS."""
    before = torch.is_autocast_enabled(device)
    torch.set_autocast_enabled(device, True)
    try:
        assert not is_plain()
        with own_arithmetic():
            assert not torch.is_autocast_enabled(device)
        assert torch.is_autocast_enabled(device)
    finally:
        torch.set_autocast_enabled(device, before)


@pytest.mark.parametrize("wanted", [True, False])
def test_gradients_are_on_only_where_both_sides_want_them(wanted):
    for mode, on in ((torch.no_grad, False), (torch.enable_grad, True), (torch.inference_mode, False)):
        with mode():
            with own_arithmetic(gradients=wanted):
                assert torch.is_grad_enabled() == (on and wanted)
                assert not torch.is_inference_mode_enabled()
            assert torch.is_grad_enabled() == on


def test_a_decorated_function_may_call_itself_fail_and_run_in_threads():
    """Otherwise a caller's modes would be other ones after a call that failed, or that ran beside another."""

    @own_arithmetic()
    def deep(levels: int, there: threading.Barrier) -> bool:
        there.wait(10)
        if not levels:
            raise ValueError
        with contextlib.suppress(ValueError):
            deep(levels - 1, there)
        return torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.is_inference_mode_enabled()

    found: dict[str, list[bool]] = {}
    there = threading.Barrier(2)

    def work(name: str, mode: contextlib.AbstractContextManager[Any], on: Callable[[], bool]) -> None:
        with mode:
            found[name] = [deep(3, there), on(), torch.is_grad_enabled()]

    modes = {
        "autocast": (torch.autocast("cpu", torch.bfloat16), lambda: torch.is_autocast_enabled("cpu")),
        "inference": (torch.inference_mode(), torch.is_inference_mode_enabled),
    }
    threads = [threading.Thread(target=work, args=(name, *mode)) for name, mode in modes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"autocast": [False, True, True], "inference": [False, True, False]}


def test_values_are_looked_at_but_where_torch_only_follows_them():
    seen = []
    assert values_known()
    torch.func.vmap(lambda x: (seen.append(values_known()), x)[1])(X)
    torch.jit.trace(lambda x: (seen.append(values_known()), x + 1)[1], X, check_trace=False)
    assert seen == [False, False]


FACTORIES = (
    *("zeros", "ones", "empty", "full", "tensor", "as_tensor", "asarray", "scalar_tensor", "arange", "linspace"),
    *("logspace", "eye", "rand", "randn", "randint", "randperm", "empty_strided", "normal"),
)
WHOLE = ("arange", "randint", "randperm")  # whole numbers of 64 bits, whatever the default dtype


def test_every_tensor_that_the_package_makes_names_its_dtype_and_device():
    """A default is the caller's: a dtype left out is float64 in one program and float32 in another."""
    bare = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            made = (
                isinstance(node.func.value, ast.Name) and node.func.value.id == "torch" and node.func.attr in FACTORIES
            )
            needed = {"device"} if made and node.func.attr in WHOLE else {"dtype", "device"}
            if made and not needed <= {keyword.arg for keyword in node.keywords}:
                bare.append(f"{file.relative_to(PACKAGE)}:{node.lineno}: torch.{node.func.attr}")
    assert not bare, "name dtype= and device= there"
