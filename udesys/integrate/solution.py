"""One call for every solver: `solve(field, x0, t, method=...)`."""

from __future__ import annotations

from dataclasses import dataclass

from udesys.errors import SolveError
from udesys.integrate.onestep import TABLEAUS, integrate_fixed

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")
METHODS = (*TABLEAUS, *ADAPTIVE)
MAX_STEPS = 100_000  # of an adaptive solver between two samples; more means a stiff system or a blow-up


@dataclass(frozen=True, kw_only=True)
class Solution:
    """States along time, and whether the solver got there.

    Attributes:
        t: (time,) [the data's time unit].
        x: (batch, time, state) [model units]; what was not reached is NaN.
        method: the solver.
        n_evaluations: calls of the field.
        success: every state is finite.
        message: why not, and what to do; empty on success.
    """

    t: object
    x: object
    method: str
    n_evaluations: int
    success: bool
    message: str = ""

    def __str__(self) -> str:
        end = "done" if self.success else self.message
        return f"Solution  {self.method}, {len(self.t)} times, {self.n_evaluations} evaluations: {end}"


def solve(
    field, x0, t, *, method="dopri5", substeps=1, rtol=1e-8, atol=1e-10, max_steps=MAX_STEPS, first_step=None
) -> Solution:
    """Integrate dx/dt = f(t, x) from x0 at t[0] through all of t.

    Args:
        field: f(t, x) -> dx/dt; x and dx/dt are (batch, state) float64 tensors.
        x0: (batch, state) float64 tensor [model units].
        t: (time,) strictly increasing float64 tensor [the data's time unit].
        method: "euler", "heun" or "rk4" with equal steps; "dopri5", "dopri8", "bosh3" or "adaptive_heun" of
            torchdiffeq with error control.
        substeps: equal steps between neighbouring samples, for the first three.
        rtol: relative error allowed a step, for the adaptive ones.
        atol: absolute error allowed a step [model units], likewise.
        max_steps: steps between two samples after which an adaptive solver gives up.
        first_step: that an adaptive solver tries first [the data's time unit]; it looks for one if None.

    Returns:
        A Solution; a solver that gives up is reported in it, not raised.

    Raises:
        SolveError: the method is unknown, substeps is no whole number, or t does not increase.

    Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), ch. II.
    """
    import torch

    if method not in METHODS:
        raise SolveError(f"method {method!r} is unknown. Choose one of {', '.join(METHODS)}.")
    if not isinstance(substeps, int) or substeps < 1:
        raise SolveError(f"substeps = {substeps!r} is no number of steps. Give a whole number, at least 1.")
    if t.ndim != 1 or len(t) < 2 or not bool((t[1:] > t[:-1]).all()):
        raise SolveError("t must be one axis of at least two strictly increasing times. Sort it and drop repeats.")
    if method in TABLEAUS:
        x, evaluations = integrate_fixed(field, x0, t, TABLEAUS[method], substeps)
    else:
        x, evaluations = _adaptive(field, x0, t, method, rtol, atol, max_steps, first_step)
    finite = bool(torch.isfinite(x).all())
    message = "" if finite else "the state left the finite numbers. Shorten the time span or use more steps."
    return Solution(t=t, x=x, method=method, n_evaluations=evaluations, success=finite, message=message)


def _adaptive(field, x0, t, method, rtol, atol, max_steps, first_step):
    """Torchdiffeq behind the same call; where it gives up the rest is NaN."""
    import torch

    with torch.inference_mode(False):  # at its first import it makes tensors that gradients flow through later
        from torchdiffeq import odeint

    evaluations = 0

    def counted(time, x):
        nonlocal evaluations
        evaluations += 1
        return field(time, x)

    options = {"max_num_steps": max_steps, "first_step": first_step}
    if method != "dopri5":
        # Between steps torchdiffeq interpolates with order 4 at most, and bosh3's middle is of order 1 only
        # (18 % off for x' = 2t), so these methods step onto every sample.
        options["step_t"] = t[1:]
    try:
        x = odeint(counted, x0, t, method=method, rtol=rtol, atol=atol, options=options)
    except AssertionError:  # torchdiffeq's word for a step that shrank to nothing or too many steps
        x = torch.full((len(t), *x0.shape), torch.nan, dtype=x0.dtype)
        x[0] = x0
    return x.transpose(0, 1), evaluations
