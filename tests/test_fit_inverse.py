"""Inverses of theta's normal matrix: by Cholesky where it is positive definite, in the general way elsewhere."""

import numpy as np
import pytest

from udesys.fit.elimination import inverse_diagonal, symmetric_inverse


def matrix(values, seed=0):
    """A symmetric matrix with these eigenvalues."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return (q * values) @ q.T


@pytest.mark.parametrize("values", [np.logspace(0, 4, 12), np.array([-2.0, 1.0, 3.0, 50.0])])
def test_the_inverse_and_its_diagonal_are_numpys(values):
    a = matrix(values)
    expected = np.linalg.inv(a)
    size = np.abs(expected).max()  # rounding times a condition of 1e4
    np.testing.assert_allclose(symmetric_inverse(a), expected, rtol=0, atol=1e-11 * size)
    np.testing.assert_allclose(inverse_diagonal(a), np.diag(expected), rtol=0, atol=1e-11 * size)


def test_the_inverse_is_symmetric_to_the_last_digit():
    inverse = symmetric_inverse(matrix(np.logspace(0, 6, 9)))
    np.testing.assert_array_equal(inverse, inverse.T)


def test_a_singular_matrix_has_a_pseudo_inverse_and_no_diagonal():
    a = np.diag([1.0, 0.0, 2.0])
    np.testing.assert_allclose(symmetric_inverse(a), np.diag([1.0, 0.0, 0.5]))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        inverse_diagonal(a)
