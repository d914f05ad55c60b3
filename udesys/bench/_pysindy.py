"""pysindy as a rival: sparse regression of derivatives of the data, its models as trees of our equation language.

Its derivatives are its default finite differences, or those of the data smoothed over as many samples as its own
smoother takes. The smoother is pysindy's where the samples are equally spaced, and a local cubic elsewhere.

Source: Brunton, Proctor & Kutz, PNAS 113 (2016) 3932 (SINDy, sequentially thresholded least squares); Kaptanoglu et
al., J. Open Source Softw. 7 (2022) 3994 (pysindy).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util

import numpy as np

from udesys.model import tree as T
from udesys.model.closed_form import Formula

PACKAGES = ("pysindy",)
INSTALL = 'pip install "udesys[bench]"'
WINDOW, ORDER = 11, 3  # samples and degree of the smoother, pysindy's defaults
EVEN = 1e-6  # relative spread of the steps below which times are equally spaced


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What pysindy regresses on.

    Attributes:
        degree: of the polynomials.
        threshold: coefficients below are zero.
        sines: sin and cos of every state beside the polynomials.
    """

    degree: int
    threshold: float
    sines: bool = False


SETTINGS = {
    "pysindy, degree 3": Setting(degree=3, threshold=0.1),
    "pysindy, degree 2": Setting(degree=2, threshold=0.1),  # as it comes
    "pysindy, degree 3 and sines": Setting(degree=3, threshold=0.01, sines=True),
}


def is_installed() -> bool:
    """Whether pysindy can be used."""
    return util.find_spec("pysindy") is not None


def derivatives(t: np.ndarray, y: np.ndarray, *, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
    """(n, states) states and (n, states) derivatives that pysindy takes for them.

    Args:
        t: (n,) sample times.
        y: (n, states), measured.
        smooth: smooth the data first.
    """
    import pysindy

    steps = np.diff(t)
    if not smooth:
        method = pysindy.FiniteDifference()
    elif np.ptp(steps) <= EVEN * steps.mean():
        keywords = {"window_length": WINDOW, "polyorder": ORDER}
        method = pysindy.SmoothedFiniteDifference(smoother_kws=keywords)
    else:
        half = WINDOW // 2
        method = pysindy.SINDyDerivative(kind="savitzky_golay", left=half, right=half, order=ORDER, iwindow=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slopes = method(y, t)
    return np.asarray(method.smoothed_x_), np.asarray(slopes)


def regressed(setting: Setting, states: Sequence[str], x: np.ndarray, targets: np.ndarray) -> list[Formula]:
    """One formula for each target, the terms that pysindy set to zero left out.

    Args:
        setting: of the library and the regression.
        states: names.
        x: (n, states).
        targets: (n, targets), such as the derivatives.
    """
    import pysindy

    library = pysindy.PolynomialLibrary(degree=setting.degree)
    polynomials = library
    if setting.sines:
        library = pysindy.ConcatLibrary([polynomials, pysindy.FourierLibrary(n_frequencies=1)])
    model = pysindy.SINDy(optimizer=pysindy.STLSQ(threshold=setting.threshold), feature_library=library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no coefficient is left, or that the iteration did not end
        model.fit(x, 1.0, x_dot=targets)
    features = [_product(states, powers) for powers in polynomials.powers_]
    if setting.sines:
        features += [T.call(name, T.Symbol(state)) for state in states for name in ("sin", "cos")]
    return [_sum(features, row) for row in np.asarray(model.coefficients())]


def _product(states: Sequence[str], powers: Sequence[int]) -> T.Tree:
    product: T.Tree = T.ONE
    for state, power in zip(states, powers, strict=True):
        product = T.mul(product, T.power(T.Symbol(state), T.Number(float(power))))
    return product


def _sum(features: Sequence[T.Tree], coefficients: np.ndarray) -> Formula:
    """The features with a coefficient, each times a constant of its own: c0, c1, ..."""
    kept = [(feature, float(value)) for feature, value in zip(features, coefficients, strict=True) if value]
    terms = [T.mul(T.Symbol(f"c{k}"), feature) for k, (feature, _) in enumerate(kept)]
    return Formula(T.total(terms), {f"c{k}": value for k, (_, value) in enumerate(kept)})
