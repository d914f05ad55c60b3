"""The evidence by which fits are compared, where exact data leave the normal matrix no digits."""

import numpy as np
import pytest
from scipy.linalg import hilbert
from scipy.special import gammaln

from udesys.fit.evidence import log_determinant


def log_determinant_of_hilbert(n):
    """The published closed form, c_n^4 / c_2n with c_n = 1! 2! ... (n - 1)!."""

    def c(k):
        return gammaln(np.arange(1, k) + 1.0).sum()

    return 4 * c(n) - c(2 * n)


@pytest.mark.parametrize("scale", [1.0, 1e10])
def test_the_determinant_of_a_matrix_with_digits_enough_is_exact(scale):
    root = np.diag(scale ** np.linspace(-1, 1, 6))
    assert log_determinant(root @ hilbert(6) @ root) == pytest.approx(log_determinant_of_hilbert(6), rel=1e-8)


def test_a_matrix_that_rounding_made_indefinite_has_a_determinant_from_above():
    n, units = 20, np.diag(10.0 ** np.linspace(-4, 10, 20))
    matrix = units @ hilbert(n) @ units
    assert np.linalg.eigvalsh(matrix)[0] < 0  # by rounding alone
    exact = log_determinant_of_hilbert(n) + 2 * np.log(np.diag(units)).sum()
    found = log_determinant(matrix)
    assert np.isfinite(found) and exact < found < 2 * np.log(np.diag(units)).sum()
    other = np.diag(2.0 ** np.arange(n))  # units that round nothing
    assert log_determinant(other @ matrix @ other) == pytest.approx(found + n * (n - 1) * np.log(2.0), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_what_is_no_normal_matrix_has_none(bad):
    matrix = np.eye(3)
    matrix[1, 1] = bad
    assert log_determinant(matrix) == np.inf
