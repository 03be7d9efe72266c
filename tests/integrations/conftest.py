"""Fixtures of what frameworks ask of a bridge."""

import pytest
from bridged import Pair, bridged

from irp_hf.stitching import Bridge


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Not to be changed."""
    return bridged(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bridge(pair: Pair) -> Bridge:
    """Without the old encoder."""
    return Bridge(str(pair.new), pair.adapter)
