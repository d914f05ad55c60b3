"""Observables: measured quantities that are functions of the state, with their exact derivatives."""

from __future__ import annotations

import numpy as np

from udesys.model import tree as T
from udesys.model.field import HybridField
from udesys.model.program import Program


class Observation:
    """h(x, p) of a model's observables at the nodes.

    Args:
        field: the model's right side, whose parameters and their scale are used.
    """

    def __init__(self, field: HybridField):
        model, self.field = field.model, field
        trees = [T.substitute(tree, model.fixed_values) for tree in model.observe.values()]
        self.n, self.d = len(trees), len(model.states)
        inputs = [*model.states, *field.parameters, "t", *model.exogenous]
        by_state = [T.derivative(tree, s) for tree in trees for s in model.states]
        by_parameter = [T.derivative(tree, p) for tree in trees for p in field.parameters]
        self._values = Program(trees, inputs)
        self._slopes = Program([*by_state, *by_parameter], inputs)

    def _point(self, t, nodes, theta, u) -> list:
        return [*nodes.T, *self.field.parameter_values(theta), t, *u.T]

    def values(self, t, nodes, theta, u) -> np.ndarray:
        """Observables (nodes, observables) at times t, states, theta and inputs u (nodes, inputs)."""
        columns = [np.broadcast_to(v, len(nodes)) for v in self._values.run(self._point(t, nodes, theta, u))]
        return np.stack(columns, 1) if columns else np.zeros((len(nodes), 0))

    def jacobians(self, t, nodes, theta, u):
        """Their derivatives by the state (nodes, observables, d) and by theta's parameters (nodes, observables, p)."""
        columns = [np.broadcast_to(v, len(nodes)) for v in self._slopes.run(self._point(t, nodes, theta, u))]
        flat = np.stack(columns, 1)
        by_state = flat[:, : self.n * self.d].reshape(-1, self.n, self.d)
        by_parameter = flat[:, self.n * self.d :].reshape(len(nodes), self.n, -1)
        return by_state, by_parameter * self.field.parameter_scale
