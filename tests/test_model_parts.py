"""Parameters and networks: what they accept, what they refuse, and where a network's weights lie."""

import math

import numpy as np
import pytest
import torch

from udesys.errors import ModelError
from udesys.model import Network, Parameter
from udesys.model.network import ACTIVATIONS, Layout, forward, forward_with_jacobian, product_pairs, weight_jacobian


# ------------------------------------------------------------------ parameters
def test_a_parameter_without_words_is_estimated_from_anywhere():
    free = Parameter()
    assert (free.start, free.bounds, free.unit, free.fixed) == (None, (-math.inf, math.inf), "", False)


def test_open_sides_of_bounds_are_infinite():
    assert Parameter(bounds=(0, None)).bounds == (0.0, math.inf)
    assert Parameter(bounds=[None, 3]).bounds == (-math.inf, 3.0)


@pytest.mark.parametrize(
    ("start", "bounds", "guess"),
    [
        (0.3, (0, 1), 0.3), (None, (None, None), 1.0), (None, (0, 5), 1.0), (None, (2, 5), 3.5),
        (None, (-4, -2), -3.0), (None, (2, None), 3.0), (None, (None, -2), -3.0), (None, (0, 1), 0.5),
    ],
)  # fmt: skip
def test_the_guess_is_the_start_or_a_value_inside_the_bounds(start, bounds, guess):
    assert Parameter(start, bounds).guess == guess


@pytest.mark.parametrize(
    ("start", "bounds", "guess"),
    [
        (None, (None, None), 2.5), (None, (0, 5), 2.5), (None, (3, 5), 3.0), (None, (0, 2), 2.0), (0.3, (0, 5), 0.3),
    ],
)  # fmt: skip
def test_the_guess_is_the_priors_mean_inside_the_bounds_where_there_is_no_start(start, bounds, guess):
    known = Parameter(start, bounds, prior=[2.5, 1])
    assert known.guess == guess
    assert known.prior == (2.5, 1.0)
    assert Parameter(start, bounds).prior is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fixed": True}, "a fixed parameter needs a value"),
        ({"start": math.nan}, "start = nan is not a finite number. Give one"),
        ({"start": math.inf}, "start = inf is not a finite number"),
        ({"start": "2"}, "start = '2' is not a finite number"),
        ({"start": True}, "start = True is not a finite number"),
        ({"start": 10**400}, "start = 10+ is not a finite number"),
        ({"start": 2, "bounds": (0, 1)}, r"start = 2 lies outside its bounds \[0, 1\]. Move the start or widen"),
        ({"start": -1.0, "bounds": (0, None)}, r"start = -1 lies outside its bounds \[0, inf\]"),
        ({"bounds": (1, 0)}, r"bounds = \[1, 0\] is no interval. The first must be below the second"),
        ({"bounds": (1, 1)}, r"bounds = \[1, 1\] is no interval"),
        ({"bounds": (math.nan, 1)}, r"bounds = \[nan, 1\] is no interval"),
        ({"bounds": ("0", "1")}, r"bounds = \[0, 1\] is no interval"),
        ({"bounds": (0, 10**400)}, r"bounds = \[0, 10+\] is no interval"),
        ({"bounds": 3}, r"bounds = 3 is no pair. Write two numbers, as in \[0, 5\]"),
        ({"bounds": (0, 1, 2)}, r"bounds = \(0, 1, 2\) is no pair"),
        ({"prior": 3}, r"prior = 3 is no pair. Write its mean and standard deviation, as in \[1.2, 0.1\]"),
        ({"prior": (1, 2, 3)}, r"prior = \(1, 2, 3\) is no pair"),
        ({"prior": (1, 0)}, r"prior = \[1, 0\] has a standard deviation that is not positive"),
        ({"prior": (1, -0.5)}, r"prior = \[1, -0.5\] has a standard deviation that is not positive"),
        ({"prior": (math.nan, 1)}, r"prior = \[nan, 1\] holds nan, which is no finite number"),
        ({"prior": (1, math.inf)}, r"prior = \[1, inf\] holds inf, which is no finite number"),
        ({"prior": ("1", 1)}, r"prior = \['1', 1\] holds '1', which is no finite number"),
        ({"prior": (1, 0.1), "start": 1, "fixed": True}, "a fixed parameter has no prior: its value is known"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(arguments, match):
    with pytest.raises(ModelError, match=match):
        Parameter(**arguments)


# ------------------------------------------------------------------ networks
def test_a_number_is_one_hidden_layer():
    assert Network(5).hidden == (5,)
    assert Network([5, 3]).hidden == (5, 3)


WRONG_SIZES = [[], 0, -3, [5, 0], [2.5], "8", True, [True], None, [20_000], [6_000, 6_000], 10**400]


@pytest.mark.parametrize("hidden", WRONG_SIZES, ids=range(len(WRONG_SIZES)))
def test_hidden_layers_are_whole_positive_numbers(hidden):
    with pytest.raises(ModelError, match=r"hidden = .* is no list of layer sizes. Write, for example, \[8\]"):
        Network(hidden)


def test_activations_are_three():
    assert [Network(activation=name).activation for name in ACTIVATIONS] == ["tanh", "softplus", "cubic"]
    with pytest.raises(ModelError, match=r"activation = 'relu' is unknown\. Choose one of tanh, softplus, cubic"):
        Network(activation="relu")
    with pytest.raises(ModelError, match=r"activation = \['tanh'\] is unknown"):
        Network(activation=["tanh"])


# ------------------------------------------------------------------ layouts
def test_the_slices_of_a_layout_cover_the_weights_in_order():
    layout = Layout((2, 3, 4, 1))
    pieces = [piece for layer in layout.slices for piece in layer] + [layout.skip]
    assert [p.stop - p.start for p in pieces] == [2 * 3, 3, 3 * 4, 4, 4 * 1, 1, 2 * 1]
    assert [p.start for p in pieces] == [0, *(p.stop for p in pieces[:-1])]
    assert pieces[-1].stop == layout.n_weights == len(layout.groups)
    groups = [0, 0, 1, 1, 2, 3, 4]  # a hidden layer with its biases, the last layer, its biases, the skip
    assert all((layout.groups[piece] == group).all() for group, piece in zip(groups, pieces, strict=True))


def test_products_of_arguments_have_a_group_of_their_own_in_the_skip():
    layout = Layout((3, 4, 2), n_plain=2)
    assert layout.pairs == [(0, 1)]
    np.testing.assert_array_equal(layout.groups[layout.skip], [3, 3, 4, 3, 3, 4])
    assert Layout((2, 4, 1)).pairs == []
    assert product_pairs(4, True) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert product_pairs(5, True) == product_pairs(3, False) == []


def test_first_weights_have_no_skip_and_small_outputs():
    layout = Layout((2, 400, 3))
    weights = layout.initial_weights(np.random.default_rng(0))
    (w0, b0), (w1, b1) = layout.slices
    assert (weights[layout.skip] == 0).all()
    assert (weights[b1] == 0).all()
    # a standard deviation of n numbers is known to 1/sqrt(2 n): four of these for 400, 800, 1200
    assert weights[w0].std() == pytest.approx(1 / math.sqrt(2), rel=4 / math.sqrt(1600))
    assert weights[w1].std() == pytest.approx(0.1 / math.sqrt(400), rel=4 / math.sqrt(2400))
    assert weights[b0].std() == pytest.approx(0.5, rel=4 / math.sqrt(800))


def as_torch_module(layout, weights):
    """The same network of torch's own layers, and its linear skip."""

    class Cubic(torch.nn.Module):
        def forward(self, z):
            return z + z**3 / 6

    kinds = {"tanh": torch.nn.Tanh, "softplus": torch.nn.Softplus, "cubic": Cubic}
    parts = []
    for k, (w, b) in enumerate(layout.slices):
        linear = torch.nn.Linear(layout.sizes[k], layout.sizes[k + 1], dtype=torch.float64)
        linear.weight.data = weights[w].reshape(linear.weight.shape).clone()
        linear.bias.data = weights[b].clone()
        parts += [linear, kinds[layout.activation]()]
    skip = torch.nn.Linear(layout.sizes[0], layout.sizes[-1], bias=False, dtype=torch.float64)
    skip.weight.data = weights[layout.skip].reshape(skip.weight.shape).clone()
    return torch.nn.Sequential(*parts[:-1]), skip


LAYOUTS = pytest.mark.parametrize(
    "layout",
    [Layout((2, 4, 1), a) for a in ACTIVATIONS] + [Layout((3, 5, 4, 2), a) for a in ACTIVATIONS]
    + [Layout((1, 3, 2, 3, 2), "tanh"), Layout((1, 1, 1), "cubic")],
    ids=lambda layout: f"{layout.activation}-{'x'.join(map(str, layout.sizes))}",
)  # fmt: skip


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@LAYOUTS
def test_the_forward_pass_is_that_of_torchs_layers(layout, generator):
    weights, z = normal(generator, layout.n_weights), normal(generator, 7, layout.sizes[0])
    module, skip = as_torch_module(layout, weights)
    # sums of a dozen products of order one, in another order
    torch.testing.assert_close(forward(layout, weights, z), (module(z) + skip(z)).detach(), rtol=1e-13, atol=1e-13)


@LAYOUTS
def test_the_derivatives_are_those_of_autograd(layout, generator):
    intervals, stages, rows, n_out = 3, 2, 4, layout.sizes[-1]
    weights = normal(generator, layout.n_weights)
    z = normal(generator, intervals * stages, layout.sizes[0])
    contraction = normal(generator, intervals, stages, rows, n_out)
    jacobian = torch.autograd.functional.jacobian
    out, by_z, cache = forward_with_jacobian(layout, weights, z)
    expected_by_z = jacobian(lambda z: forward(layout, weights, z).sum(0), z).transpose(0, 1)
    by_weights = jacobian(lambda w: forward(layout, w, z), weights).reshape(intervals, stages, n_out, -1)
    expected = torch.einsum("nsro,nsow->nrw", contraction, by_weights)
    # exact derivatives both: only the order of sums of at most a few hundred terms of order one differs
    torch.testing.assert_close(out, forward(layout, weights, z), rtol=0, atol=0)
    torch.testing.assert_close(by_z, expected_by_z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(weight_jacobian(layout, cache, contraction), expected, rtol=1e-12, atol=1e-12)
