"""Fixtures that several test modules share: parallel anchors of real pictures, adapters, saved folders."""

import gc
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# These set the environment that huggingface_hub reads when it is imported.
from hub_server import Hub
from hub_server.start import HUB, empty_cache

# isort: split
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from published import folders, published  # noqa: F401  (fixtures)
from sklearn.datasets import load_digits
from some_cases import (  # noqa: F401  (hooks)
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_report_header,
)

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.errors import IRPError

torch.set_num_threads(1)
# On a busy machine everything is slow at times, which is no fault of a property.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
gc.disable()  # until all test modules are imported: what they import stays

NUM_ANCHORS = 120
IMPORTED: dict[str, dict[str, Any]] = {}
"""The states of the generators of each test module, as its import left them."""
FIXED: dict[str, dict[str, Any]] = {
    "kernel": {"gamma": 1.0, "ridge": 1e-3},
    "whitened": {"balance": 0.5, "ridge": 0.1},
    "pruned": {"pruning_threshold": 0.7, "num_subspaces": 4},
}


def pytest_collection_finish() -> None:
    """What is imported by now is garbage no more: to look through half a million objects again and again takes a tenth."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def drawn_alone(request: pytest.FixtureRequest) -> None:
    """Every test draws what it draws when it runs alone: a failure by chance of the order would come once in many runs."""
    torch.manual_seed(0)
    np.random.seed(0)
    module = request.node.obj.__globals__ if hasattr(request.node, "obj") else {}
    states = IMPORTED.setdefault(module.get("__name__", ""), {})
    for name, value in module.items():
        if isinstance(value, np.random.RandomState):
            value.set_state(states.setdefault(name, value.get_state()))
        elif isinstance(value, np.random.Generator):
            value.bit_generator.state = states.setdefault(name, value.bit_generator.state)
        elif isinstance(value, torch.Generator):
            value.set_state(states.setdefault(name, value.get_state()))


class Digits(NamedTuple):
    """Pictures of digits as two encoders see them: anchors, and rows that are no anchors."""

    source: np.ndarray
    target: np.ndarray
    held_source: np.ndarray
    held_target: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Pixels (64 wide), and a fixed random non-linear feature map of them (24 wide); float32."""
    pixels = load_digits().data / 16
    mix = np.random.RandomState(0).randn(64, 24) * 0.4
    features = np.tanh(pixels @ mix) + 0.5
    source, target = pixels.astype(np.float32), features.astype(np.float32)
    held = slice(NUM_ANCHORS, NUM_ANCHORS + 400)
    return Digits(source[:NUM_ANCHORS], target[:NUM_ANCHORS], source[held], target[held])


@pytest.fixture(scope="session")
def anchor_set() -> AnchorSet:
    return AnchorSet([f"picture {row}" for row in range(NUM_ANCHORS)])


@pytest.fixture(scope="session")
def spaces(digits: Digits, anchor_set: AnchorSet) -> tuple[AnchoredSpace, AnchoredSpace]:
    """Both sides as published spaces. Not to be changed."""
    return (
        AnchoredSpace.from_embeddings(digits.source, anchor_set, "me/pixels"),
        AnchoredSpace.from_embeddings(digits.target, anchor_set, {"id": "you/features", "revision": "abc"}),
    )


@pytest.fixture(scope="session")
def adapters(spaces: tuple[AnchoredSpace, AnchoredSpace]) -> dict[str, IRPAdapter]:
    """One adapter for each inverse, its hyper-parameters given. Not to be changed."""
    return {method: IRPAdapter.connect(*spaces, method=method, **given) for method, given in FIXED.items()}


@pytest.fixture(scope="session")
def tuned(digits: Digits) -> IRPAdapter:
    """An adapter of sixty pairs with nothing given: the inverse and all of it were chosen. Not to be changed."""
    return IRPAdapter.from_anchors(digits.source[:60], digits.target[:60])


@pytest.fixture(params=list(FIXED))
def adapter(request: pytest.FixtureRequest, adapters: dict[str, IRPAdapter]) -> IRPAdapter:
    """Each of the three in turn."""
    return adapters[request.param]


@pytest.fixture(scope="session")
def saved_once(
    adapters: dict[str, IRPAdapter], spaces: tuple[AnchoredSpace, AnchoredSpace], tmp_path_factory: Any
) -> Path:
    root = tmp_path_factory.mktemp("saved")
    for name, model in (*adapters.items(), ("space", spaces[0])):
        model.save_pretrained(root / name)
    return root


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A fresh copy of a saved folder, by name: an inverse, or "space"."""

    def copy(name: str = "kernel") -> Path:
        return Path(shutil.copytree(saved_once / name, tmp_path / name))

    return copy


@pytest.fixture
def hub() -> Hub:
    """The Hub on loopback that HF_ENDPOINT names: no repository, an empty cache; users me, you and reader."""
    HUB.clear()
    empty_cache()
    return HUB


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Call, and return the words of the `IRPError` that must follow: two sentences."""

    def refused(call: Callable[..., Any], *args: Any, error: type[IRPError] = IRPError, **options: Any) -> str:
        with pytest.raises(error) as caught:
            call(*args, **options)
        text = str(caught.value)
        assert re.fullmatch(r".+\. .+\.", text, re.DOTALL)
        return text

    return refused
