"""Noise levels: adding synthetic noise, and reading what a user says about the noise in the data."""

import math

import numpy as np

from udesys.errors import DataError


def add_noise(values: np.ndarray, level: float | str, rng: np.random.Generator | int) -> np.ndarray:
    """Return the values with Gaussian noise of standard deviation level * mean(|column|).

    Args:
        values: (n, m); NaN stays NaN [data units].
        level: a fraction, or text such as "5%".
        rng: generator, or a seed.

    Returns:
        (n, m), a new array.

    Raises:
        DataError: the level is negative or not finite, or a value is infinite.

    Source: Rackauckas et al., Universal Differential Equations for Scientific Machine Learning,
        arXiv:2001.04385, the noise of its Lotka-Volterra study (states there are positive).
    """
    values = np.asarray(values, dtype=np.float64)
    if np.isinf(values).any():
        raise DataError("values must not be infinite. Use NaN where a value is missing.")
    fraction = parse_percent(level, name="level")
    magnitude = np.apply_along_axis(_mean_magnitude, 0, values)
    return values + fraction * magnitude * np.random.default_rng(rng).standard_normal(values.shape)


def parse_noise(text_or_number: float | str, column_values: np.ndarray, name: str) -> float:
    """Return the standard deviation of a column's noise [data units].

    Args:
        text_or_number: a standard deviation [data units], or text such as "5%", which is a share of
            the mean of |values|.
        column_values: (n,), NaN where a value is missing [data units].
        name: the column, for messages.

    Raises:
        DataError: the noise is not positive and finite, or a share of a column without a magnitude.
    """
    is_share = isinstance(text_or_number, str) and "%" in text_or_number
    noise = _parse(text_or_number, f"noise of {name!r}")
    if noise <= 0:
        message = f"noise of {name!r} must be positive, but is {text_or_number!r}."
        raise DataError(f"{message} Leave it out to have it estimated.", column=name)
    if not is_share:
        return noise
    sd = noise * float(_mean_magnitude(np.asarray(column_values, dtype=np.float64)))
    if sd <= 0:
        message = f"noise of {name!r} is {text_or_number!r} of its mean magnitude, which is zero."
        raise DataError(f"{message} Give it as a number.", column=name)
    return sd


def parse_percent(text_or_number: float | str, *, name: str = "share") -> float:
    """Return a share as a fraction: 0.05 for "5%", "5 %", "0.05" and 0.05.

    Raises:
        DataError: it is no number, negative or not finite; the message calls it `name`.
    """
    fraction = _parse(text_or_number, name)
    if fraction < 0:
        raise DataError(f"{name} must not be negative, but is {text_or_number!r}.")
    return fraction


def _parse(text_or_number: float | str, name: str) -> float:
    advice = 'Write a number, or text such as "5%".'
    is_text = isinstance(text_or_number, str)
    try:
        if isinstance(text_or_number, bool):
            raise TypeError
        text = text_or_number.strip() if is_text else text_or_number
        value = float(text[:-1]) / 100 if is_text and text.endswith("%") else float(text)
    except OverflowError as error:
        raise DataError(f"{name} is a whole number too large to be used. {advice}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not a number: {text_or_number!r}. {advice}") from error
    if not math.isfinite(value):
        raise DataError(f"{name} must be finite, but is {text_or_number!r}. {advice}")
    return value


def _mean_magnitude(column: np.ndarray) -> float:
    finite = column[np.isfinite(column)]
    return float(np.abs(finite).mean()) if finite.size else 0.0
