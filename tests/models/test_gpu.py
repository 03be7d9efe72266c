"""On a GPU, fits and translations are those of the CPU, and vectors come back where they came from.

Where there is none, on a device that refuses what a GPU refuses (tests/elsewhere.py).
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from many_pairs import sample

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.analysis.anchor_budget import anchor_budget
from irp_hf.analysis.compatibility import compatibility
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.many.plan import EXACT
from irp_hf.models.many import PairSums

OBJECTIVES = ("cosine", "neighbors", "recall", "retrieval")
FEW, WIDE = 400, 600
"""Anchors: more than are held out whole, and more than a sample of them decides for."""
SLOW = [name for name in (*INVERSES, "auto") if name != "whitened"]
needs_one = pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs a GPU")


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    found = torch.accelerator.current_accelerator(check_available=True) if torch.accelerator.is_available() else None
    if found is not None:
        yield found
        return
    with elsewhere() as device:
        yield device


def pairs(count: int, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 rows of both sides, a bent map with noise."""
    random = np.random.RandomState(3)
    source = random.randn(count, width) * np.linspace(2, 0.2, width) + 1
    target = np.tanh(source @ random.randn(width, width + 7) / 4) + 0.1 * random.randn(count, width + 7)
    return torch.from_numpy(source).float(), torch.from_numpy(target).float()


def near(there: torch.Tensor, here: torch.Tensor) -> None:
    """To rounding, which differs between devices."""
    assert there.device != here.device
    difference = torch.linalg.vector_norm(there.cpu() - here, dim=-1) / torch.linalg.vector_norm(here, dim=-1)
    assert float(difference.max()) < 2e-3


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("whitened", FEW),
        *(pytest.param(name, FEW, marks=pytest.mark.slow) for name in SLOW),
        pytest.param("auto", WIDE, marks=pytest.mark.slow),  # which tries them all
    ],
)
def test_a_fit_on_the_gpu_is_that_of_the_cpu(method, count, gpu):
    """If it fails, the same anchors give another map, other promises or another card on the machine that has a GPU."""
    x, y = pairs(count + 50)
    here = IRPAdapter.from_anchors(x[:count], y[:count], method=method)
    there = IRPAdapter.from_anchors(x[:count].to(gpu), y[:count].to(gpu), method=method)
    assert there.device.type == gpu.type
    assert there.config.method == here.config.method
    assert there.config.score == pytest.approx(here.config.score, abs=2e-3)
    new = x[count:]
    near(there.translate(new.to(gpu)), here.translate(new))
    found, confidence = there.translate(new.to(gpu), return_confidence=True)
    assert found.device.type == confidence.device.type == gpu.type
    wanted = here.confidence(new)
    assert float((confidence.cpu() - wanted).abs().max()) < 2e-2
    bound = there.confidence(new.to(gpu), coverage=0.9)
    assert bool((bound <= confidence + 1e-6).all())


@pytest.mark.parametrize("objective", [pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES])
def test_each_objective_chooses_there_what_it_chooses_here(objective, gpu):
    """If it fails, an objective or the rigid part reads a tensor of another device, or decides by chance."""
    x, y = pairs(FEW)
    here, there = (
        IRPAdapter.from_anchors(x.to(device), y.to(device), objective=objective, method="kernel")
        for device in ("cpu", gpu)
    )
    assert (there.config.gamma, there.config.ridge, there.config.lift) == (
        here.config.gamma,
        here.config.ridge,
        here.config.lift,
    )
    assert there.config.rigid == here.config.rigid


@pytest.mark.slow
def test_reports_and_evaluations_are_made_on_the_gpu(gpu):
    """If it fails, who fits on a GPU cannot ask what to expect."""
    x, y = pairs(160)
    (x, later), (y, true) = x.split([120, 40]), y.split([120, 40])
    there, here = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu)), IRPAdapter.from_anchors(x, y)
    for one, other in (
        (there.report(progress=False, gallery=true.to(gpu)), here.report(progress=False, gallery=true)),
        (there.evaluate(later.to(gpu), true.to(gpu)), here.evaluate(later, true)),
        (there.evaluate(later, true.to(gpu)), here.evaluate(later, true)),
    ):
        assert str(one).splitlines()[:3] == str(other).splitlines()[:3]


def test_rows_come_back_where_they_came_from(gpu):
    """If it fails, numpy in is not numpy out."""
    x, y = pairs(100)
    there = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu), method="kernel", gamma=1.0, ridge=0.1)
    assert isinstance(there.translate(x.numpy()), np.ndarray)
    assert there.translate(x).device.type == "cpu"
    out = torch.empty(len(x), y.shape[1], device=gpu)
    assert there.translate(x.to(gpu), out=out) is out
    near(out, torch.from_numpy(there.translate(x.numpy())))


@needs_one
def test_adapters_of_a_gpu_are_saved_and_move(tmp_path, gpu):
    """If it fails, an adapter that was fitted on a GPU cannot be published, or `to` leaves a tensor behind."""
    x, y = pairs(FEW)
    there = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu))
    there.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.device.type == "cpu"
    near(there.translate(x.to(gpu)), loaded.translate(x))
    placed = IRPAdapter.from_pretrained(tmp_path, device_map={"": gpu.type})
    assert torch.equal(placed.translate(x.to(gpu)), there.translate(x.to(gpu)))
    assert torch.equal(there.to("cpu").translate(x), loaded.translate(x))
    near(loaded.to(gpu).translate(x.to(gpu)), placed.translate(x).to(gpu).cpu())


@pytest.mark.slow
def test_one_side_may_lie_on_another_device(gpu):
    """If it fails, anchors that were encoded on different devices end in torch's own error."""
    x, y = pairs(FEW)
    wanted = IRPAdapter.from_anchors(x, y).translate(x)
    for source, target in ((x.to(gpu), y), (x, y.to(gpu))):
        found = IRPAdapter.from_anchors(source, target).translate(x)
        assert torch.allclose(found, wanted, atol=2e-3 * float(wanted.abs().max()))


@pytest.mark.slow
def test_probes_take_sides_of_two_devices(gpu):
    """If it fails, a probe ends in torch's own error on a GPU."""
    x, y = pairs(60, width=12)
    for source, target in ((x.to(gpu), y.to(gpu)), (x, y.to(gpu))):
        found = anchor_budget(source, target, sizes=[40], method="whitened", num_repeats=2, progress=False)
        assert len(str(found)) > 100
    assert len(str(compatibility({"x": x.to(gpu), "y": y}, method="whitened", progress=False))) > 100


@needs_one
def test_baselines_are_trained_there(gpu):
    """If it fails, the translators that an adapter is compared with end in torch's own error on a GPU."""
    x, y = pairs(FEW)
    there = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu), method="whitened")
    assert "residual MLP" in str(there.report(baselines="all", progress=False))


def test_halves_and_spaces_of_the_gpu(gpu):
    """If it fails, two spaces that were encoded on a GPU cannot meet there."""
    x, y = pairs(100)
    spaces = [AnchoredSpace.from_embeddings(side.to(gpu)) for side in (x, y)]
    adapter = IRPAdapter.connect(*spaces, method="kernel", gamma=1.0, ridge=0.1)
    relative = spaces[0].to_relative(x.to(gpu))
    found = spaces[1].to_absolute(relative)
    assert found.device.type == relative.device.type == gpu.type
    assert adapter.translate(x.to(gpu)).device.type == gpu.type


@needs_one
def test_reduced_precision_is_seen(gpu):
    """If it fails, `set_float32_matmul_precision("high")` makes a GPU round a kernel's products to wrong vectors."""
    x, y = pairs(FEW)
    wanted = IRPAdapter.from_anchors(x, y, method="kernel").translate(x)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        there = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu), method="kernel")
        near(there.translate(x.to(gpu)), wanted)
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast(gpu.type, torch.bfloat16):
        near(there.translate(x.to(gpu)), wanted)


@pytest.mark.slow
def test_half_precision_rows_and_a_default_device(gpu):
    """If it fails, rows of an encoder in half precision, or a notebook whose default device is the GPU, break a fit."""
    x, y = pairs(FEW)
    there = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu))
    for dtype in (torch.float16, torch.bfloat16):
        assert there.translate(x.to(gpu, dtype)).dtype == dtype
    with torch.device(gpu):
        again = IRPAdapter.from_anchors(x.numpy(), y.numpy())
        assert isinstance(again.translate(x.numpy()), np.ndarray)
        again.report(progress=False)


@pytest.mark.slow
def test_many_pairs_are_summed_on_the_gpu(gpu):
    """If it fails, more pairs than an exact solve takes cannot be fitted there, or give another map than on the CPU."""
    x, y = (side.float() for side in sample(EXACT + 200))
    fixed = dict(method="kernel", num_landmarks=150, gamma=0.5, lift=0.0, ridge=1e-2)
    here, there = (IRPAdapter.from_anchors(x.to(device), y.to(device), **fixed) for device in ("cpu", gpu))
    near(there.translate(x[:100].to(gpu)), here.translate(x[:100]))
    chosen = IRPAdapter.from_anchors(x.to(gpu), y.to(gpu))
    assert chosen.device.type == gpu.type
    assert chosen.config.score > 0.5
    sums = PairSums(x[:2000].to(gpu), y[:2000].to(gpu), **fixed)
    sums.add(x[:3000].to(gpu), y[:3000].to(gpu))
    sums.add(x[3000:], y[3000:])  # a part that lies elsewhere
    assert IRPAdapter.from_sums(sums).device.type == gpu.type
