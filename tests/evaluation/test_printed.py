"""Numbers as a report writes them."""

import pytest

from irp_hf.evaluation.printed import number, signed


@pytest.mark.parametrize(
    ("value", "plain", "with_sign"),
    [
        (0.5524, ".552", "+.552"),
        (-0.0321, "-.032", "-.032"),
        (1.0, "1.000", "+1.000"),
        (0.9999, "1.000", "+1.000"),
        (-1.5, "-1.500", "-1.500"),
        (0, ".000", "+.000"),
        (-0.0004, ".000", "+.000"),
    ],
)
def test_three_decimals_and_no_zero_before_the_point(value: float, plain: str, with_sign: str):
    """Columns would not line up, or a loss be read as a gain."""
    assert number(value) == plain
    assert signed(value) == with_sign


def test_nothing_gained_is_nothing_gained():
    """Two signs before one number."""
    assert signed(0.0) == signed(-0.0) == "+.000"
