"""Simple fractions: offered where the interval is narrow enough for them to mean something."""

from fractions import Fraction

import numpy as np
import pytest

from udesys.assess.simplify import simple_fraction


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.99, 2.02, Fraction(2)),
        (-0.505, -0.495, Fraction(-1, 2)),
        (0.664, 0.668, Fraction(2, 3)),
        (0.798, 0.803, Fraction(4, 5)),
        (39.0, 43.0, None),  # whole numbers lie in any interval as wide as that
        (0.4, 0.7, None),
        (0.788, 0.827, None),  # 4/5, but ten fractions as simple lie in every unit
        (0.12, 0.13, None),  # an eighth is not simple
        (-0.1, 0.1, None),
        (float("nan"), 1.0, None),
    ],
)
def test_a_fraction_is_offered_only_where_it_is_no_chance(low, high, expected):
    assert simple_fraction(low, high) == expected


def test_by_chance_one_interval_in_five_holds_one_at_most():
    rng = np.random.default_rng(0)
    for width in (0.001, 0.01, 0.05):
        middles = rng.uniform(1, 5, 2000)
        offered = sum(simple_fraction(m - width / 2, m + width / 2) is not None for m in middles)
        assert offered / 2000 < 0.25  # the bound of 0.2, and the scatter of 2000 draws
