"""What a fit chooses by itself and what the user may choose: solver, restarts, device, windows of long records."""

import numpy as np
import pytest
import torch
from laws import (
    COLUMNS,
    KNOWN,
    TRUTH,
    dataset,
    fit,
    fitted,
    fitted_known,
    half_known,
    lotka_volterra,
    lotka_volterra_rhs,
    measured,
    solution,
    wholly_known,
)
from scipy.integrate import solve_ivp

from udesys.data import Dataset, Trajectory
from udesys.errors import FitError
from udesys.fit import FitOptions
from udesys.fit.windows import LONG, WINDOW, windows_of
from udesys.model import HybridODE, Network, Parameter

ROBERTSON = "a' = -k1*a + k3*b*c\nb' = k1*a - k3*b*c - k2*b^2\nc' = k2*b^2"
RATES = {"k1": 0.04, "k2": 3e7, "k3": 1e4}


def robertson(noise=0.01):
    """Robertson's reaction over nine decades of its rates, sampled evenly in log time."""
    t = np.concatenate([[0.0], np.geomspace(1e-4, 40, 39)])

    def rhs(t, x):
        a, b, c = x
        return [-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b]

    exact = solve_ivp(rhs, (0, 40), [1.0, 0.0, 0.0], method="Radau", t_eval=t, rtol=1e-10, atol=1e-14).y.T
    size = noise * np.abs(exact).mean(0)
    return dataset(("a", "b", "c"), (t, exact + size * np.random.default_rng(0).normal(size=exact.shape))), exact, size


# --- the solver --------------------------------------------------------------------------------------


def test_a_stiff_system_is_fitted_by_the_implicit_method():
    data, exact, size = robertson()
    model = HybridODE(ROBERTSON, parameters={n: Parameter(1.5 * v) for n, v in RATES.items()})
    result = fit(model, data)
    assert result.method == "radau" and result.converged
    for name, truth in RATES.items():
        value, stderr = result.parameters[name]
        assert abs(value - truth) < 4 * stderr < 0.4 * truth
    assert (np.sqrt(((result.states[0] - exact) ** 2).mean(0)) < size).all()


def test_a_mild_system_is_fitted_by_the_explicit_method():
    assert fitted(0.005, 0).method == "rk4" and fitted_known(0.01, 0).method == "rk4"


def test_the_implicit_method_gets_the_explicit_ones_estimate():
    explicit = fitted_known(0.01, 0)
    implicit = fit(wholly_known(), lotka_volterra(0.01, 0), options=FitOptions(solver="radau"))
    assert implicit.method == "radau" and implicit.converged
    for name, (value, stderr) in explicit.parameters.items():
        assert implicit.parameters[name][0] == pytest.approx(value, abs=0.1 * stderr)
        assert implicit.parameters[name][1] == pytest.approx(stderr, rel=0.1)


def test_the_explicit_method_may_be_asked_for():
    data, _, _ = robertson()
    model = HybridODE(ROBERTSON, parameters={n: Parameter(1.1 * v) for n, v in RATES.items()})
    result = fit(model, data, options=FitOptions(solver="rk4"))  # which cannot follow it, and says so
    assert result.method == "rk4" and not result.converged and result.warnings


def test_a_stiff_hybrid_is_fitted():
    t = np.linspace(0, 3, 31)

    def rhs(t, x):  # x follows a slow law of y a thousand times faster than y moves
        return [-1000 * (x[0] - x[1] ** 2), -0.7 * x[1]]

    done = solve_ivp(rhs, (0, 3), [4.0, 2.0], method="Radau", t_eval=t, rtol=1e-9, atol=1e-12)
    y = done.y.T + 0.005 * np.random.default_rng(0).normal(size=(31, 2))
    model = HybridODE("x' = -1000*(x - NN(y))\ny' = -k*y")
    result = fit(model, dataset(("x", "y"), (t, y)))
    assert result.method == "radau" and result.converged
    term = result.terms["NN"]
    assert (np.abs(term.values - term.points[:, 0] ** 2) < 4 * term.std).mean() > 0.9
    assert np.sqrt(((term.values - term.points[:, 0] ** 2) ** 2).mean()) < 0.015  # three noise standard deviations


# --- the stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    ["multiple_shooting", "condensing", "matrix_free", pytest.param("single_shooting", marks=pytest.mark.slow)],
)
def test_stages_run_as_they_are_named_and_agree(last):
    def rhs(t, x):
        return [-0.5 * x[0] - 0.4 * x[0] ** 2]

    t = np.linspace(0, 4, 9)
    data = measured(rhs, [[2.0]], [t], ("x",), noise=0.01)
    model = HybridODE("x' = -k*x - q*x^2", parameters={"k": Parameter(0.6), "q": Parameter(0.3)})
    plain, noise = fit(model, data, noise={"x": 0.01}), {"x": 0.01}
    result = fit(model, data, noise=noise, options=FitOptions(stages=["gradient_matching", last], gain_tolerance=1e-4))
    names = [stage.name for stage in result.stages]
    assert names[0] == "gradient matching" and len(names) == 2
    for name, (value, stderr) in plain.parameters.items():
        assert result.parameters[name][0] == pytest.approx(value, abs=0.1 * stderr)


def test_a_network_too_wide_for_a_matrix_is_fitted_without_one():
    model = HybridODE("x' = NN(x)", networks={"NN": Network((60, 60), "tanh")})
    t = np.linspace(0, 4, 17)
    data = measured(lambda t, x: [-0.5 * x[0]], [[2.0]], [t], ("x",), noise=0.01)
    result = fit(model, data)
    assert [stage.name for stage in result.stages] == ["matrix-free multiple shooting"]
    exact = 2 * np.exp(-0.5 * t)
    assert np.sqrt(((result.states[0][:, 0] - exact) ** 2).mean()) < 0.01 * exact.mean()  # the noise
    assert np.isnan(result.terms["NN"].std).all() and np.isfinite(result.terms["NN"].values).all()
    assert np.isnan(result.term("NN", [1.0])[1]).all()


# --- restarts, tolerances and the device -------------------------------------------------------------


def test_restarts_do_not_make_the_fit_worse():
    def fitted_from(restarts):
        told = []
        options = FitOptions(restarts=restarts)
        result = fit(half_known(), lotka_volterra(0.01, 1), options=options, progress=lambda *said: told.append(said))
        return result, {str(what) for _, _, what in told if str(what).startswith("start ")}

    (once, starts), (thrice, more) = fitted_from(1), fitted_from(3)
    assert thrice.evidence <= once.evidence + 1e-9
    assert len(starts) > 0 and len(more) == 3 * len(starts)


def test_a_finer_flow_tolerance_takes_more_substeps():
    t = np.arange(0, 12, 0.8)
    data = measured(lambda t, x: [x[1], -x[0]], [[1.0, 0.0]], [t], ("x", "v"), noise=0.01)
    coarse, fine = (
        fit("x' = v\nv' = -w*x", data, options=FitOptions(flow_tolerance=tol)).problem.substeps.max()
        for tol in (0.5, 1e-3)
    )
    assert fine > coarse


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_a_gpu_gets_the_same_fit():
    plain, other = (
        fit(half_known(), lotka_volterra(0.005), options=FitOptions(device=device)) for device in ("cpu", "cuda")
    )
    assert other.states[0] == pytest.approx(plain.states[0], rel=1e-3)
    assert other.noise == pytest.approx(plain.noise, rel=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"solver": "dopri5"}, r"solver = 'dopri5' is unknown\. .*Known are auto, rk4, radau"),
        ({"solver": "rk45"}, r"Did you mean 'rk4'\?"),
        ({"loss": "huber"}, r"loss = 'huber' is unknown\. .*Known are auto, gaussian, student"),
        ({"restarts": 0}, "restarts = 0 must be a whole number from 1 to 1000"),
        ({"restarts": 1.5}, "restarts = 1.5 must be a whole number"),
        ({"restarts": True}, "restarts = True must be a whole number"),
        ({"device": "gpu"}, r"device = 'gpu' is unknown\. Write \"cpu\", \"cuda\" or \"cuda:0\""),
        ({"device": "cuda:x"}, "device = 'cuda:x' is unknown"),
        ({"flow_tolerance": 0}, "flow_tolerance = 0 must be a number between 0 and 1"),
        ({"gain_tolerance": 2.0}, "gain_tolerance = 2.0 must be a number between 0 and 1"),
        ({"stages": "multiple_shooting"}, "stages = 'multiple_shooting' must be a list of names"),
        ({"stages": ["multiple_shoting"]}, r"no training stage 'multiple_shoting'\. Did you mean 'multiple_shooting'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, match):
    with pytest.raises(FitError, match=match):
        FitOptions(**options)


# --- windows of long records -------------------------------------------------------------------------


def long_record(n, columns=("x",), gap=()):
    t = np.arange(float(n))
    y = np.ones((n, len(columns)))
    y[list(gap)] = np.nan
    run = Trajectory(name="a", t=t, y=y, u=t[:, None], covariates=[3.0])
    return Dataset(
        columns=columns, trajectories=(run,), time="t", source="made", inputs={"f": "hold"}, covariates=("c",)
    )


def test_a_short_record_is_fitted_whole():
    assert windows_of(long_record(LONG)) is None


def test_windows_are_spread_evenly_and_keep_inputs_and_covariates():
    data = long_record(30_001)
    short = windows_of(data)
    lengths = [len(run.t) for run in short.trajectories]
    assert 3000 < sum(lengths) < 5000 and max(lengths) <= WINDOW + 1
    begins = np.array([run.t[0] for run in short.trajectories])
    assert begins[0] == 0 and np.diff(begins).max() < 2 * np.diff(begins).min()
    assert short.trajectories[-1].t[-1] == data.trajectories[0].t[-1]
    for run in short.trajectories:
        assert (run.u[:, 0] == run.t).all() and run.covariates.tolist() == [3.0]
    assert short.columns == data.columns and short.inputs == data.inputs
    assert len({run.name for run in short.trajectories}) == len(lengths)


def test_windows_without_a_measurement_are_left_out():
    short = windows_of(long_record(7000, gap=range(2000)))
    assert all(np.isfinite(run.y).any() for run in short.trajectories)


def test_a_long_record_is_fitted_whole_from_what_its_windows_gave():
    t = np.linspace(0, 30, 6100)
    data = measured(lotka_volterra_rhs, [[0.44, 4.6]], [t], COLUMNS, noise=0.02)
    result = fit(HybridODE(KNOWN, parameters=wholly_known().parameters, initial={"prey": 0.44}), data)
    assert result.converged and len(result.states[0]) == 6100
    for name, truth in TRUTH.items():
        value, stderr = result.parameters[name]
        assert abs(value - truth) < 4 * stderr < 0.01 * truth
    exact = solution(lotka_volterra_rhs, [0.44, 4.6], t)
    size = 0.02 * np.abs(exact).mean(0)
    assert (np.sqrt(((result.states[0] - exact) ** 2).mean(0)) < 0.1 * size).all()  # five unknowns of 12,200 numbers
    assert list(result.noise.values()) == pytest.approx(size, rel=0.05)
    assert result.states[0][0, 0] == pytest.approx(0.44, abs=1e-3 * size[0])  # the record's start, not the windows'


def test_a_device_that_is_not_there_is_refused():
    t = np.linspace(0, 1, 11)
    model = HybridODE("x' = -k*x")
    with pytest.raises(FitError, match=r'device = "cuda:99" is not there: torch sees \d+ CUDA devices'):
        fit(model, dataset(("x",), (t, np.exp(-t)[:, None])), options=FitOptions(device="cuda:99"))
