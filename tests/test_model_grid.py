"""A grid: neighbours and operators at its ends, the stencil's coefficients, and the operators in equations."""

import numpy as np
import pytest

from udesys.errors import ModelError
from udesys.model import Grid, HybridODE

RING = np.arange(16) / 16
LINE = np.linspace(0.0, 1.0, 17)


def test_operators_on_a_ring_are_those_of_a_wave_up_to_the_known_error_of_central_differences():
    grid, k = Grid(RING), 2 * np.pi * 3
    wave, h = np.exp(1j * k * RING), 1 / 16
    np.testing.assert_allclose(grid.apply("dx", wave, "u"), 1j * np.sin(k * h) / h * wave, atol=1e-12)
    np.testing.assert_allclose(grid.apply("dxx", wave, "u"), -((2 * np.sin(k * h / 2) / h) ** 2) * wave, atol=1e-10)
    np.testing.assert_allclose(grid.apply("mean3", wave, "u"), np.cos(k * h / 2) ** 2 * wave, atol=1e-12)


def test_without_slope_at_the_ends_a_cosine_stays_a_cosine():
    grid, k, h = Grid(LINE, ends="neumann"), 3 * np.pi, 1 / 16
    wave = np.cos(k * LINE)
    np.testing.assert_allclose(grid.apply("dxx", wave, "u"), -((2 * np.sin(k * h / 2) / h) ** 2) * wave, atol=1e-10)
    assert grid.apply("dx", wave, "u")[[0, -1]] == pytest.approx(0.0, abs=1e-12)


def test_fixed_ends_do_not_move():
    assert Grid(LINE, ends="dirichlet").moving("u").tolist() == [0.0, *[1.0] * 15, 0.0]
    assert Grid(LINE, ends={"u": "neumann", "v": "dirichlet"}).moving("u").all()


def test_a_stencil_and_its_coefficients_are_the_same_in_both_directions():
    grid, h = Grid(0.04 * np.arange(25)), 0.04
    written = 0.3 / 4 * np.array([1, 2, 1]) - 0.2 / (2 * h) * np.array([-1, 0, 1]) - 0.01 / h**2 * np.array([-1, 2, -1])
    np.testing.assert_allclose(grid.stencil(0.3, -0.2, -0.01), written, rtol=1e-14)
    rng = np.random.default_rng(0)
    for theta in rng.standard_normal((50, 3)):
        np.testing.assert_allclose(grid.stencil(*grid.coefficients(theta)), theta, rtol=1e-12, atol=1e-13)
    assert grid.coefficients(0.01 * np.array([1, -2, 1]) / h**2) == pytest.approx((0, 0, -0.01), abs=1e-14)


def test_a_learned_stencil_in_an_equation_is_its_coefficients_times_the_three_parts():
    model = HybridODE("u' = conv3(u) + NN(u)", grid=Grid(RING))
    assert list(model.parameters) == ["beta1_u", "beta2_u", "beta3_u"]
    assert [part.name for part in model.spatial] == ["mean3(u)", "dx(u)", "dxx(u)"]
    assert model.exogenous == ("mean3(u)", "dx(u)", "dxx(u)")


def test_laplace_is_the_second_derivative_and_arguments_may_be_expressions():
    model = HybridODE("u' = D*laplace(u^2) + NN(u, dx(u))\nv' = dxx(v) - x*u", grid=Grid(RING))
    assert [part.name for part in model.spatial] == ["dxx(u**2)", "dx(u)", "dxx(v)"]
    assert model.covariates == ("x",), "the position is known without being listed"
    assert "fields on 16 points of x from 0 to 0.9375, periodic ends" in str(model)


@pytest.mark.parametrize(
    ("equations", "words"),
    [
        ("u' = dxx(w) + NN(u)", "w is none"),
        ("u' = dxx(k*u)", "Constants and coefficients go before the operator"),
        ("u' = dxx(dx(u))", "to another operator"),
        ("u' = dx(NN(u))", "applied to a network"),
        ("u' = conv3(2*u)", "takes a field"),
        ("u' = dx(u, u)", "takes 1 argument"),
        ("u' = dx(2)", "holds no field"),
    ],
)
def test_operators_of_something_else_are_refused(equations, words):
    with pytest.raises(ModelError, match=words.replace("(", r"\(").replace("*", r"\*")):
        HybridODE(equations, grid=Grid(RING))


def test_an_operator_without_a_grid_and_a_grid_that_is_none_are_refused():
    with pytest.raises(ModelError, match="no grid is given"):
        HybridODE("u' = dxx(u)")
    with pytest.raises(ModelError, match=r"Give a udesys\.Grid"):
        HybridODE("u' = dxx(u)", grid=RING)
    with pytest.raises(ModelError, match="ends name 'w'"):
        HybridODE("u' = dxx(u)", grid=Grid(RING, ends={"w": "neumann"}))
    with pytest.raises(ModelError, match="a field and the position too"):
        HybridODE("x' = dxx(x)", grid=Grid(RING))
    with pytest.raises(ModelError, match="different ends"):
        HybridODE("u' = dx(u*v)\nv' = -v", grid=Grid(LINE, ends={"u": "neumann", "v": "dirichlet"}))


@pytest.mark.parametrize(
    ("points", "options", "words"),
    [
        ([0, 1, 2], {}, "at least 4"),
        ([0, 1, 2, 4], {}, "increase evenly"),
        ([0, 1, 3, 2], {}, "increase evenly"),
        ([0, 1, 2, np.nan], {}, "finite"),
        (["a"] * 4, {}, "numbers"),
        (range(5), {"ends": "periodc"}, "Did you mean 'periodic'"),
    ],
)
def test_grids_that_are_none_are_refused(points, options, words):
    with pytest.raises(ModelError, match=words):
        Grid(tuple(points), **options)


def test_names_of_operators_stay_free_for_other_things_where_they_are_not_called():
    assert HybridODE("x' = dx*x + NN(x)").estimated == ("dx",)


def test_an_observable_along_the_grid_is_refused():
    with pytest.raises(ModelError, match=r"observe flux: dx\(u\) is taken along the grid"):
        HybridODE("u' = dxx(u) + NN(u)", grid=Grid(RING), observe={"flux": "u*dx(u)"})
