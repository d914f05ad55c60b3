"""What the user may say about the fit; everything has a default that the data choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from udesys.errors import FitError, did_you_mean

SOLVERS = ("auto", "rk4", "radau")
LOSSES = ("auto", "gaussian", "student")
MOST_RESTARTS = 1000


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How the hybrid is fitted.

    Args:
        stages: names of the training stages to run in turn, each a file in udesys/fit/stages; empty lets the fit
            choose.
        solver: method for the intervals: explicit "rk4", implicit "radau" for stiff systems, or "auto".
        loss: "gaussian", "student" (Student-t, robust to outliers), or "auto", where an outlier test decides.
        restarts: random starts of the networks for each activation; None lets the fit choose.
        device: where the batched work runs: "cpu", "cuda" or "cuda:0".
        flow_tolerance: error of one interval's solution allowed, in units of the noise.
        gain_tolerance: relative gain below which the fit ends.

    Raises:
        FitError: a value is not usable.
    """

    stages: Sequence[str] = ()
    solver: str = "auto"
    loss: str = "auto"
    restarts: int | None = None
    device: str = "cpu"
    flow_tolerance: float = 0.05
    gain_tolerance: float = 1e-3

    def __post_init__(self):
        from udesys.fit.stages import load_stage

        for name, known in (("solver", SOLVERS), ("loss", LOSSES)):
            value = getattr(self, name)
            if value not in known:
                raise FitError(f"{name} = {value!r} is unknown. {did_you_mean(str(value), known)}")
        if isinstance(self.stages, str) or not all(isinstance(s, str) for s in self.stages):
            raise FitError(f"stages = {self.stages!r} must be a list of names.")
        for name in self.stages:
            load_stage(name)
        object.__setattr__(self, "stages", tuple(self.stages))
        if self.restarts is not None:
            whole = isinstance(self.restarts, int) and not isinstance(self.restarts, bool)
            if not whole or not 1 <= self.restarts <= MOST_RESTARTS:
                raise FitError(f"restarts = {self.restarts!r} must be a whole number from 1 to {MOST_RESTARTS}.")
        for name in ("flow_tolerance", "gain_tolerance"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < 1:
                raise FitError(f"{name} = {value!r} must be a number between 0 and 1.")
        kind, _, index = self.device.partition(":") if isinstance(self.device, str) else ("", "", "")
        if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
            raise FitError(f'device = {self.device!r} is unknown. Write "cpu", "cuda" or "cuda:0".')
