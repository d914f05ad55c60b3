"""Solvers: one-step methods on batches, torchdiffeq's adaptive ones, and a compiled machine for formulas."""

from udesys.integrate.solution import METHODS, Solution, solve

__all__ = ["METHODS", "Solution", "solve"]
