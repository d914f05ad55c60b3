"""Signals: what measured inputs and covariates are between the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from udesys.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from udesys.data.dataset import Dataset, Trajectory

INTERPOLATIONS = ("linear", "hold", "cubic")
N_COEFFICIENTS = 4


def signal_coefficients(data: Dataset, names: Sequence[str]) -> np.ndarray:
    """Return the piecewise polynomials that inputs and covariates follow between neighbouring samples.

    On the interval from t_i to t_{i+1} a signal is c0 + c1 s + c2 s^2 + c3 s^3, s = t - t_i in the data's time
    unit. "linear" joins the samples by lines, "hold" keeps each sample's value until the next, "cubic" is the
    not-a-knot cubic spline (the parabola through three samples, the line through two). A covariate is constant.

    Args:
        data: the measurements.
        names: of inputs and covariates.

    Returns:
        (intervals, names, 4), c0 to c3, trajectory after trajectory.

    Raises:
        DataError: a name is no input and no covariate of the data.

    Source: the not-a-knot spline, de Boor, A Practical Guide to Splines (1978), ch. IV.
    """
    known = (*data.inputs, *data.covariates)
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known, listed="Its inputs and covariates are")
            remedy = "Name its column under `inputs` or `covariates` where the data are read."
            message = f"{data.source} has no input or covariate {name!r}. {hint} {remedy}"
            raise DataError(message, file=data.source, column=str(name))
    return np.concatenate([_of_run(data, run, names) for run in data.trajectories])


def fill_gaps(t: np.ndarray, values: np.ndarray, interpolation: str) -> np.ndarray:
    """Fill the gaps of an input by its own interpolation over what was measured.

    Before the first and after the last measured value that value is kept, whatever the interpolation.

    Args:
        t: (n,), strictly increasing [the data's time unit].
        values: (n,), NaN where a value is missing, at least one of them measured [data units].
        interpolation: "linear", "hold" or "cubic".

    Returns:
        (n,), finite; what was measured stays as it is.
    """
    known = np.isfinite(values)
    if known.all():
        return values
    at, measured = t[known], values[known]
    if interpolation == "hold" or len(at) == 1:
        filled = measured[np.maximum(np.searchsorted(at, t, side="right") - 1, 0)]
    elif interpolation == "cubic":
        from scipy.interpolate import CubicSpline

        filled = CubicSpline(at, measured)(np.clip(t, at[0], at[-1]))
    else:
        filled = np.interp(t, at, measured)
    return np.where(known, values, filled)


def check_interpolation(interpolation: str, name: str) -> None:
    """Refuse an interpolation that there is none of.

    Args:
        interpolation: what was asked for.
        name: the input, for the message.

    Raises:
        DataError: it is not one of `INTERPOLATIONS`.
    """
    if interpolation not in INTERPOLATIONS:
        hint = did_you_mean(str(interpolation), INTERPOLATIONS)
        raise DataError(f"interpolation = {interpolation!r} of input {name!r} is unknown. {hint}", column=name)


def _of_run(data: Dataset, run: Trajectory, names: Sequence[str]) -> np.ndarray:
    """Return (intervals, names, 4) of one trajectory."""
    made = np.zeros((len(run.t) - 1, len(names), N_COEFFICIENTS))
    for j, name in enumerate(names):
        if name in data.inputs:
            _POLYNOMIALS[data.inputs[name]](made[:, j], run.t, run.u[:, list(data.inputs).index(name)])
        else:
            made[:, j, 0] = run.covariates[data.covariates.index(name)]
    return made


def _hold(made: np.ndarray, t: np.ndarray, values: np.ndarray) -> None:
    made[:, 0] = values[:-1]


def _linear(made: np.ndarray, t: np.ndarray, values: np.ndarray) -> None:
    made[:, 0] = values[:-1]
    made[:, 1] = np.diff(values) / np.diff(t)


def _cubic(made: np.ndarray, t: np.ndarray, values: np.ndarray) -> None:
    if len(t) > 1:
        from scipy.interpolate import CubicSpline

        made[:] = CubicSpline(t, values).c[::-1].T


_POLYNOMIALS = {"linear": _linear, "hold": _hold, "cubic": _cubic}
