"""What the elimination is given comes in pieces on a long record: they are those of the whole."""

import numpy as np
import pytest
from test_fit_problem import entangled

from udesys.fit import defects as room
from udesys.fit.defects import defects_of

METHODS = pytest.mark.parametrize("method", ["rk4", "radau"])
PARTS = ("residual", "by_nodes", "by_theta")


def long(method, monkeypatch):
    """Defects of a problem with more steps than are linearised at once, nodes and theta."""
    problem, nodes, theta = entangled(method, substeps=(2, 1, 3))
    monkeypatch.setattr(room, "AT_ONCE", 2)
    assert problem.n_intervals > 2
    defects = defects_of(problem)
    return defects, defects.spread_out(nodes), theta


@METHODS
def test_a_linearisation_in_pieces_is_the_whole_one(method, monkeypatch):
    defects, nodes, theta = long(method, monkeypatch)
    found = defects.linearise(nodes, theta)
    monkeypatch.setattr(room, "AT_ONCE", 1000)
    whole = defects.linearise(nodes, theta)
    for part in PARTS:  # the same sums, in an order that the number of points may change
        np.testing.assert_allclose(getattr(found, part), getattr(whole, part), rtol=1e-12, atol=1e-13)


@METHODS
def test_residuals_without_derivatives_are_the_linearisations(method, monkeypatch):
    defects, nodes, theta = long(method, monkeypatch)
    expected = defects.linearise(nodes, theta).residual
    np.testing.assert_allclose(defects.residual(nodes, theta), expected, rtol=1e-12, atol=1e-13)


@METHODS
def test_spare_memory_changes_no_number(method, monkeypatch):
    defects, nodes, theta = long(method, monkeypatch)
    expected, spare = defects.linearise(nodes, theta), defects.linearise(nodes + 1.0, 2 * theta)
    found = defects.linearise(nodes, theta, spare)
    for part in PARTS:
        assert np.array_equal(getattr(found, part), getattr(expected, part))
    assert method != "rk4" or found.by_theta is spare.by_theta
