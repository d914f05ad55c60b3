"""Fitting a hybrid to data: one training stage per file in `stages`, and `fit` that runs them."""

from udesys.fit.fitting import check_enough, fit
from udesys.fit.options import FitOptions
from udesys.fit.result import FitResult, ResidualTerm

__all__ = ["FitOptions", "FitResult", "ResidualTerm", "check_enough", "fit"]
