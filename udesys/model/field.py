"""The batched torch right-hand side of a HybridODE and its exact Jacobians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.model import tree as T
from udesys.model.hybrid import HybridODE
from udesys.model.network import Layout, forward, forward_with_jacobian, product_pairs, weight_jacobian
from udesys.model.program import Program, torch_functions


@dataclass
class NetworkScale:
    """Affine maps around a network: arguments are standardised, outputs scaled [data units]."""

    shift: np.ndarray
    width: np.ndarray
    output: np.ndarray


@dataclass
class Jacobians:
    """df/dx (points, d, d), df/dp (points, d, parameters), df/do (points, d, outputs) and layer caches."""

    by_state: object
    by_parameter: object
    by_output: object
    caches: list


class HybridField:
    """dx/dt of a HybridODE for a batch of points, as a function of states, weights and parameters.

    theta is one flat vector: the weights of every network in turn, then the estimated parameters divided
    by `parameter_scale`. Where the model has inputs or covariates, their values at the points come as u
    (points, inputs and covariates).

    Args:
        model: the equations.
        activations: slot name -> activation.

    Attributes:
        layouts: one `Layout` per slot.
        scales: one `NetworkScale` per slot; ones until the fit sets them.
        argument_trees: for each call, the trees of its arguments and their products.
        n_theta: length of theta.
    """

    def __init__(self, model: HybridODE, activations: dict[str, str] | None = None):
        self.model = model
        self.parameters = model.estimated
        guesses = np.array([model.parameters[n].guess for n in self.parameters])
        self.parameter_scale = np.where(guesses == 0, 1.0, np.abs(guesses))
        self._set_networks(activations or {})
        self._set_programs()
        self._functions = torch_functions()

    def _set_networks(self, activations: dict[str, str]) -> None:
        from udesys.model.network import Network

        self.layouts, self.scales, self.weights_of = [], [], []
        start = 0
        for slot in self.model.slots:
            wish = self.model.networks.get(slot.name, Network())
            n_plain = len(slot.calls[0].args)
            n_in = n_plain + len(product_pairs(n_plain, wish.products))
            activation = wish.activation or activations.get(slot.name, "tanh")
            layout = Layout((n_in, *wish.hidden, slot.n_outputs), activation, n_plain)
            self.layouts.append(layout)
            self.scales.append(NetworkScale(np.zeros(n_in), np.ones(n_in), np.ones(slot.n_outputs)))
            self.weights_of.append(slice(start, start + layout.n_weights))
            start += layout.n_weights
        self.n_weights = start
        self.n_theta = start + len(self.parameters)

    def _set_programs(self) -> None:
        model, fixed = self.model, self.model.fixed_values
        self.calls = [(k, call) for k, slot in enumerate(model.slots) for call in slot.calls]
        self.outputs = [call.output_name(i) for k, call in self.calls for i in range(model.slots[k].n_outputs)]
        point = [*model.states, *self.parameters, "t", *model.exogenous]
        rhs = [T.substitute(r, fixed) for r in model.invariants.acting_rhs]
        arguments = [self._argument_trees(k, call) for k, call in self.calls]
        self.argument_trees = arguments
        self._argument_programs = [Program(a, point) for a in arguments]
        self._rhs_program = Program(rhs, [*point, *self.outputs])
        self._slopes = [
            _SparseJacobian(rhs, names, [*point, *self.outputs])
            for names in (model.states, self.parameters, self.outputs)
        ]
        self._argument_slopes = [
            [_SparseJacobian(a, names, point) for names in (model.states, self.parameters)] for a in arguments
        ]

    def _argument_trees(self, slot_index: int, call) -> list:
        """A call's arguments, then their products where the network sees them."""
        plain = [T.substitute(a, self.model.fixed_values) for a in call.args]
        return plain + [T.Operation("mul", (plain[i], plain[j])) for i, j in self.layouts[slot_index].pairs]

    # -------------------------------------------------------------- evaluating
    def parameter_values(self, theta) -> list:
        """Estimated parameters in their own units, as a list of scalars."""
        return [theta[self.n_weights + j] * s for j, s in enumerate(self.parameter_scale.tolist())]

    def _point(self, t, x, theta, u) -> list:
        return [*x.unbind(1), *self.parameter_values(theta), t, *(() if u is None else u.unbind(1))]

    def _standardised(self, call_index: int, point: list, like):
        import torch

        scale = self.scales[self.calls[call_index][0]]
        values = self._argument_programs[call_index].run(point, self._functions)
        z = torch.stack([_column(v, like) for v in values], 1)
        return (z - _on(scale.shift, like)) / _on(scale.width, like)

    def __call__(self, t, x, theta, u=None):
        """dx/dt (points, state) at times t (points,), states x (points, state) and inputs u."""
        import torch

        point = self._point(t, x, theta, u)
        outputs = []
        for c, (k, _) in enumerate(self.calls):
            z = self._standardised(c, point, x)
            out = forward(self.layouts[k], theta[self.weights_of[k]], z) * _on(self.scales[k].output, x)
            outputs.extend(out.unbind(1))
        values = self._rhs_program.run([*point, *outputs], self._functions)
        return torch.stack([_column(v, x) for v in values], 1)

    def jacobians(self, t, x, theta, u=None) -> Jacobians:
        """Exact derivatives at the points, with what `theta_contraction` needs."""
        point = self._point(t, x, theta, u)
        outputs, by_argument, caches = [], [], []
        for c, (k, _) in enumerate(self.calls):
            z = self._standardised(c, point, x)
            out, by_z, cache = forward_with_jacobian(self.layouts[k], theta[self.weights_of[k]], z)
            scale = _on(self.scales[k].output, x)
            outputs.extend((out * scale).unbind(1))
            by_argument.append(by_z * scale[:, None] / _on(self.scales[k].width, x))
            caches.append(cache)
        everything = [*point, *outputs]
        by_state, by_parameter, by_output = (s.evaluate(everything, x, self._functions) for s in self._slopes)
        first = 0
        for c, by_a in enumerate(by_argument):
            through = by_output[:, :, first : first + by_a.shape[1]] @ by_a
            first += by_a.shape[1]
            argument_by_state, argument_by_parameter = self._argument_slopes[c]
            by_state = by_state + through @ argument_by_state.evaluate(point, x, self._functions)
            if argument_by_parameter.entries:
                by_parameter = by_parameter + through @ argument_by_parameter.evaluate(point, x, self._functions)
        return Jacobians(by_state, by_parameter * _on(self.parameter_scale, x), by_output, caches)

    def theta_contraction(self, jacobians: Jacobians, by_slope):
        """Sum over stages of by_slope[n, s] @ df/dtheta[n, s].

        Args:
            jacobians: at intervals * stages points, stages running fastest.
            by_slope: (intervals, stages, rows, state).

        Returns:
            (intervals, rows, n_theta).
        """
        import torch

        n, s, rows, d = by_slope.shape
        result = torch.zeros((n, rows, self.n_theta), dtype=by_slope.dtype, device=by_slope.device)
        contraction = by_slope @ jacobians.by_output.reshape(n, s, d, -1) if self.outputs else None
        first = 0
        for (k, _), cache in zip(self.calls, jacobians.caches, strict=True):
            n_out = self.layouts[k].sizes[-1]
            scaled = contraction[..., first : first + n_out] * _on(self.scales[k].output, by_slope)
            first += n_out
            result[:, :, self.weights_of[k]] += weight_jacobian(self.layouts[k], cache, scaled)
        if self.parameters:
            by_parameter = jacobians.by_parameter.reshape(n, s, d, -1)
            result[:, :, self.n_weights :] = (by_slope @ by_parameter).sum(1)
        return result

    # -------------------------------------------------------------- the missing terms
    def arguments(self, slot_index: int, t, x, theta, u=None):
        """Arguments (points, arguments) of a slot's first call, then their products, in data units."""
        c = next(i for i, (k, _) in enumerate(self.calls) if k == slot_index)
        scale = self.scales[slot_index]
        z = self._standardised(c, self._point(t, x, theta, u), x)
        return z * _on(scale.width, x) + _on(scale.shift, x)

    def term(self, slot_index: int, arguments, theta, *, jacobian=False):
        """Values (points, outputs) of what acts of a slot's network at arguments (points, arguments) in data units.

        Returns:
            The values, and with `jacobian` also their derivative by the slot's weights
            (points, outputs, weights).
        """
        import torch

        scale, layout = self.scales[slot_index], self.layouts[slot_index]
        products = [(arguments[:, i] * arguments[:, j])[:, None] for i, j in layout.pairs]
        arguments = torch.cat([arguments, *products], 1)
        z = (arguments - _on(scale.shift, arguments)) / _on(scale.width, arguments)
        weights = theta[self.weights_of[slot_index]]
        out, _, cache = forward_with_jacobian(layout, weights, z)
        width = _on(scale.output, arguments)
        values, slopes = out * width, None
        if jacobian:
            eye = torch.diag(width).expand(len(z), 1, len(width), len(width))
            slopes = weight_jacobian(layout, cache, eye)
        self.model.invariants.act(slot_index, arguments, values, slopes, self._functions)
        return (values, slopes) if jacobian else values


def _on(values: np.ndarray, like):
    """An array as a tensor where another tensor is."""
    import torch

    return torch.as_tensor(values, device=like.device)


def _column(value, like):
    """A number or (points,) tensor as a (points,) tensor like another one."""
    import torch

    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(len(like))


class _SparseJacobian:
    """Nonzero entries of d trees / d names, evaluated into a dense batch."""

    def __init__(self, trees, names, inputs):
        self.shape = (len(trees), len(names))
        derivatives = {(i, j): T.derivative(tree, name) for i, tree in enumerate(trees) for j, name in enumerate(names)}
        self.entries = [(place, d) for place, d in derivatives.items() if d != T.ZERO]
        self._program = Program([d for _, d in self.entries], inputs)

    def evaluate(self, values, like, functions):
        import torch

        result = torch.zeros((len(like), *self.shape), dtype=like.dtype, device=like.device)
        for ((i, j), _), value in zip(self.entries, self._program.run(values, functions), strict=True):
            result[:, i, j] = value
        return result
