"""The data room: from a table of measurements to a checked `Dataset` of `Trajectory`s.

What leaves this room is float64, finite or NaN (missing), strictly increasing in time and read-only,
so no other room checks it again. A table that cannot be read without guessing is refused with the
file, row and column that say why. Beside reading stand what measurements need before a fit: noise
levels, held-out splits, a smooth first guess of values and slopes, and the course of measured inputs
between their samples.
"""

from udesys.data.dataset import Dataset, Trajectory
from udesys.data.noise import add_noise, parse_noise, parse_percent
from udesys.data.signals import signal_coefficients
from udesys.data.smooth import Smoothed, first_slope, smooth
from udesys.data.splits import split_holdout
from udesys.data.table import read_table

__all__ = [
    "Dataset",
    "Smoothed",
    "Trajectory",
    "add_noise",
    "parse_noise",
    "parse_percent",
    "read_table",
    "signal_coefficients",
    "smooth",
    "first_slope",
    "split_holdout",
]
