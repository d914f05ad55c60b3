"""Small smooth networks with their exact Jacobians, written layer by layer.

The fit needs three things of a network at many points at once: its outputs, their derivative by the
arguments, and their derivative by the weights contracted with a given matrix. Automatic differentiation
gives them too, at ten times the cost for networks this small (the tests compare both).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from udesys.errors import ModelError

DEFAULT_HIDDEN = (8,)
ACTIVATIONS = ("tanh", "softplus", "cubic")
MAX_HIDDEN_UNITS = 10_000
MOST_MULTIPLIED = 4  # arguments up to which their products are formed


@dataclass(frozen=True)
class Network:
    """What the user may say about a network that stands for a missing term.

    Args:
        hidden: units of each hidden layer.
        activation: one of tanh, softplus or cubic (z + z^3/6, exact for low polynomials); None lets the fit
            choose by the evidence of the data.
        products: give the network the products of its arguments beside them, as most rates of change hold one.

    Raises:
        ModelError: a layer or the activation is not usable.
    """

    hidden: tuple[int, ...] = DEFAULT_HIDDEN
    activation: str | None = None
    products: bool = True

    def __post_init__(self):
        if not isinstance(self.products, bool):
            raise ModelError(f"products = {self.products!r} must be true or false.")
        hidden = (self.hidden,) if isinstance(self.hidden, int) else self.hidden
        fine = isinstance(hidden, list | tuple) and len(hidden) > 0
        fine = fine and all(isinstance(h, int) and not isinstance(h, bool) and h > 0 for h in hidden)
        if not fine or sum(hidden) > MAX_HIDDEN_UNITS:
            raise ModelError(f"hidden = {self.hidden!r} is no list of layer sizes. Write, for example, [8] or [5, 5].")
        object.__setattr__(self, "hidden", tuple(hidden))
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise ModelError(f"activation = {self.activation!r} is unknown. Choose one of {', '.join(ACTIVATIONS)}.")


@dataclass(frozen=True)
class Layout:
    """Where each layer's weights lie in one flat vector: layers in turn, then the linear skip.

    Attributes:
        sizes: arguments (their products included), hidden units, outputs.
        n_plain: arguments without their products; all of them if None.
        groups: (weights,) index of the layer group of each weight, for the regularisation: each hidden layer with
            its biases, the last layer, its biases, the skip, and the skip of the products.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    n_plain: int | None = None
    slices: tuple = field(init=False)
    skip: slice = field(init=False)
    n_weights: int = field(init=False)
    groups: np.ndarray = field(init=False)

    def __post_init__(self):
        slices, groups, start, group = [], [], 0, 0
        last = len(self.sizes) - 2
        for k, (a, b) in enumerate(itertools.pairwise(self.sizes)):
            slices.append((slice(start, start + a * b), slice(start + a * b, start + a * b + b)))
            own = k == last  # a hidden layer shares one group with its biases
            groups += [group] * (a * b) + [group + own] * b
            start, group = start + a * b + b, group + 1 + own
        n_in, n_out = self.sizes[0], self.sizes[-1]
        plain, n_skip = self.n_plain or n_in, n_in * n_out
        groups += ([group] * plain + [group + 1] * (n_in - plain)) * n_out
        for name, value in (
            ("slices", tuple(slices)),
            ("skip", slice(start, start + n_skip)),
            ("n_weights", start + n_skip),
            ("groups", np.array(groups)),
        ):
            object.__setattr__(self, name, value)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of arguments whose products follow the arguments."""
        plain = self.n_plain or self.sizes[0]
        return product_pairs(plain, self.sizes[0] > plain)

    def initial_weights(self, rng: np.random.Generator) -> np.ndarray:
        """Random weights: unit-variance layers, a last layer ten times smaller, no skip."""
        weights = np.zeros(self.n_weights)
        last = len(self.slices) - 1
        for k, (w, b) in enumerate(self.slices):
            size = 0.1 if k == last else 1.0
            weights[w] = rng.standard_normal(w.stop - w.start) * size / math.sqrt(self.sizes[k])
            if k < last:
                weights[b] = 0.5 * rng.standard_normal(b.stop - b.start)
        return weights

    def matrices(self, weights):
        """[(W, b), ...] and the skip matrix as views of a flat tensor."""
        layers = [
            (weights[w].reshape(self.sizes[k + 1], self.sizes[k]), weights[b]) for k, (w, b) in enumerate(self.slices)
        ]
        return layers, weights[self.skip].reshape(self.sizes[-1], self.sizes[0])


def product_pairs(n_arguments: int, products: bool) -> list[tuple[int, int]]:
    """Pairs of arguments whose products a network sees."""
    some = products and n_arguments <= MOST_MULTIPLIED
    return list(itertools.combinations(range(n_arguments), 2)) if some else []


def forward(layout: Layout, weights, z):
    """Outputs (points, outputs) of the network at standardised arguments z (points, arguments)."""
    return _forward(layout, weights, z)[0]


def _forward(layout: Layout, weights, z):
    layers, skip = layout.matrices(weights)
    act, _ = _activation(layout.activation)
    activations, pre = [z], []
    out = z
    for k, (w, b) in enumerate(layers):
        out = out @ w.T + b
        if k < len(layers) - 1:
            pre.append(out)
            out = act(out)
            activations.append(out)
    return out + z @ skip.T, activations, pre


def forward_with_jacobian(layout: Layout, weights, z):
    """Outputs, their derivative by z, and what `weight_jacobian` needs.

    Returns:
        (points, outputs), (points, outputs, arguments), and a cache of layer sensitivities.
    """
    import torch

    layers, skip = layout.matrices(weights)
    _, slope = _activation(layout.activation)
    out, activations, pre = _forward(layout, weights, z)
    n_out = layout.sizes[-1]
    deltas = [None]  # sensitivities of the outputs to each layer's pre-activation; None is the identity
    current = None
    for k in range(len(layers) - 1, 0, -1):
        w = layers[k][0]
        current = (w if current is None else current @ w) * slope(activations[k], pre[k - 1])[:, None, :]
        deltas.append(current)
    first = layers[0][0]
    by_z = (first.expand(len(z), *first.shape) if current is None else current @ first) + skip
    return out, torch.broadcast_to(by_z, (len(z), n_out, z.shape[1])), (deltas[::-1], activations)


def weight_jacobian(layout: Layout, cache, contraction):
    """Sum over stages of contraction[n, s] @ d outputs[n, s] / d weights.

    Args:
        cache: from `forward_with_jacobian` at intervals * stages points, stages running fastest.
        contraction: (intervals, stages, rows, outputs).

    Returns:
        (intervals, rows, weights).
    """
    import torch

    n, s, rows, n_out = contraction.shape
    deltas, activations = cache
    parts = []
    for k, (delta, activation) in enumerate(zip(deltas, activations, strict=True)):
        a, b = layout.sizes[k], layout.sizes[k + 1]
        pulled = contraction if delta is None else contraction @ delta.reshape(n, s, n_out, b)
        turned = pulled.permute(0, 2, 3, 1).reshape(n, rows * b, s)
        parts.append((turned @ activation.reshape(n, s, a)).reshape(n, rows, b * a))
        parts.append(pulled.sum(1))
    z = activations[0].reshape(n, s, layout.sizes[0])
    turned = contraction.permute(0, 2, 3, 1).reshape(n, rows * n_out, s)
    parts.append((turned @ z).reshape(n, rows, n_out * layout.sizes[0]))
    return torch.cat(parts, dim=2)


def _activation(name: str):
    """The activation and its slope, given the activated and the raw values."""
    import torch

    return {
        "tanh": (torch.tanh, lambda a, z: 1.0 - a * a),
        "softplus": (torch.nn.functional.softplus, lambda a, z: torch.sigmoid(z)),
        "cubic": (lambda z: z * (1.0 + z * z / 6.0), lambda a, z: 1.0 + 0.5 * z * z),
    }[name]
