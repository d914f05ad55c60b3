"""A HybridField as plain arrays for the compiled flow."""

from __future__ import annotations

import itertools

import numpy as np

from udesys.integrate import flow as F
from udesys.model import tree as T
from udesys.model.field import HybridField
from udesys.model.program import Program

MOST_WEIGHTS = 10_000  # of one matrix; for a larger one the matrix products of tensors are faster


class CompiledField:
    """The equations and networks of a field as `integrate.flow` takes them.

    Args:
        field: its scales are read at every call, since the fit sets them later.

    Attributes:
        plan: see `integrate.flow.Plan`.
    """

    def __init__(self, field: HybridField):
        self.field, self.plan = field, _plan(field)

    @property
    def scales(self) -> F.Scales:
        """The field's scales as they are now."""
        scales = [self.field.scales[k] for k, _ in self.field.calls]
        parts = ([getattr(s, name) for s in scales] for name in ("shift", "width", "output"))
        return F.Scales(*(np.concatenate(p) if p else np.zeros(0) for p in parts), self.field.parameter_scale)

    def flow(self, intervals: F.Intervals, nodes, theta, substeps, which=None, *, share=1.0) -> np.ndarray:
        """See `integrate.flow.flow`; `which` None takes all intervals."""
        which = _all(intervals, which)
        return F.flow(self.plan, self.scales, intervals, nodes, theta, substeps, which, share=share)

    def flow_jacobians(self, intervals: F.Intervals, nodes, theta, substeps, which=None, *, by_theta=True):
        """See `integrate.flow.flow_jacobians`."""
        which = _all(intervals, which)
        return F.flow_jacobians(self.plan, self.scales, intervals, nodes, theta, substeps, which, by_theta=by_theta)

    def linearise(self, t, x, u, theta):
        """See `integrate.flow.linearise`; of the arguments a list with those of every network's first call."""
        arguments, by_state, by_output = F.linearise(self.plan, self.scales, t, x, u, theta)
        networks = [k for k, _ in self.field.calls]
        sizes = [self.field.layouts[k].sizes[0] for k in networks]
        pieces = np.split(arguments, np.cumsum(sizes)[:-1], axis=1)
        return [pieces[networks.index(k)] for k in range(len(self.field.layouts))], by_state, by_output

    def term(self, slot: int, arguments: np.ndarray, theta: np.ndarray):
        """A network by itself, layer by layer.

        Args:
            slot: which network.
            arguments: (points, arguments) [data units].

        Returns:
            Values (points, outputs) [data units], and their derivative by the weights (points, outputs, weights).
        """
        layout, scale = self.field.layouts[slot], self.field.scales[slot]
        layers, skip = layout.matrices(theta[self.field.weights_of[slot]])
        units, slopes = [(arguments - scale.shift) / scale.width], []
        for matrix, bias in layers[:-1]:
            unit, slope = _ACTIVATIONS[layout.activation](units[-1] @ matrix.T + bias)
            units.append(unit)
            slopes.append(slope[:, None])
        matrix, bias = layers[-1]
        values = units[-1] @ matrix.T + bias + units[0] @ skip.T
        n, n_out = values.shape
        by_unit = np.broadcast_to(np.eye(n_out), (n, n_out, n_out))  # outputs by what goes into a layer
        parts = [_outer(by_unit, units[0])]
        for k in range(len(layers) - 1, -1, -1):
            parts += [by_unit, _outer(by_unit, units[k])]
            if k > 0:
                by_unit = (by_unit @ layers[k][0]) * slopes[k - 1]
        return values * scale.output, np.concatenate(parts[::-1], 2) * scale.output[:, None]


def _outer(by_unit: np.ndarray, units: np.ndarray) -> np.ndarray:
    n, n_out, _ = by_unit.shape
    return (by_unit[:, :, :, None] * units[:, None, None, :]).reshape(n, n_out, -1)


def _tanh(x):
    y = np.tanh(x)
    return y, 1.0 - y * y


_ACTIVATIONS = {  # and their slopes
    "tanh": _tanh,
    "softplus": lambda x: (np.logaddexp(0.0, x), 1.0 / (1.0 + np.exp(-x))),
    "cubic": lambda x: (x * (1.0 + x * x / 6.0), 1.0 + 0.5 * x * x),
}


def is_wide(field: HybridField) -> bool:
    """Whether some network has layers so wide that tensors are faster."""
    sizes = [layout.sizes for layout in field.layouts]
    return any(a * b > MOST_WEIGHTS for s in sizes for a, b in itertools.pairwise(s))


def _all(intervals: F.Intervals, which) -> np.ndarray:
    return np.arange(len(intervals.node)) if which is None else np.asarray(which, np.int64)


def _plan(field: HybridField) -> F.Plan:
    model, fixed = field.model, field.model.fixed_values
    inputs = [*model.states, *field.parameters, "t", *model.exogenous, *field.outputs]
    arguments = [T.substitute(a, fixed) for _, call in field.calls for a in call.args]
    slopes = [T.substitute(right, fixed) for right in model.rhs]
    n_a, d = len(arguments), len(slopes)
    blocks, outputs, n_units = _blocks(field, 1 + n_a)
    state_items = range(d + n_units, d + n_units + d)
    parameter_items = range(state_items.stop, state_items.stop + len(field.parameters))
    by_outputs = _derivatives(slopes, range(d), field.outputs, [d + unit for unit in outputs])
    others = [
        entry
        for trees, items in ((slopes, range(d)), (arguments, range(d + 1, d + 1 + n_a)))
        for names, to in ((model.states, state_items), (field.parameters, parameter_items))
        for entry in _derivatives(trees, items, names, to)
    ]
    places, derivatives = zip(*by_outputs, *others, strict=True) if by_outputs or others else ((), ())
    # A program computes its trees in turn, so what the first ones need comes first.
    parts = [len(Program(trees, inputs).code) for trees in (arguments, [*arguments, *slopes])]
    program = Program([*arguments, *slopes, *derivatives], inputs)
    outputs_from = d + len(field.parameters) + 1 + len(model.exogenous)
    instructions = outputs_from + len(outputs) + len(program.constants)
    units = instructions + len(program.code)
    at = F.Places(
        d=d,
        n_parameters=len(field.parameters),
        n_inputs=len(model.exogenous),
        n_units=n_units,
        outputs=outputs_from,
        instructions=instructions,
        units=units,
        items=units + 2 * n_units,
        length=units + 2 * n_units + d * parameter_items.stop,
    )
    registers = program.outputs.astype(np.int64)
    return F.Plan(
        at=at,
        code=program.code,
        constants=program.constants,
        parts=_integers([0, *parts, len(program.code)]),
        slopes=registers[n_a : n_a + d].copy(),
        arguments=registers[:n_a].copy(),
        outputs=_integers(outputs),
        blocks=_integers(blocks).reshape(-1, 6),
        entries=np.column_stack([_integers(places).reshape(-1, 2), registers[n_a + d :]]),
        groups=_integers([0, len(by_outputs), len(places)]),
    )


def _derivatives(trees, items, names, to) -> list:
    """((item of a tree, item of a name), derivative) of those that are not zero."""
    slopes = [
        ((i, j), T.derivative(tree, name))
        for tree, i in zip(trees, items, strict=True)
        for name, j in zip(names, to, strict=True)
    ]
    return [entry for entry in slopes if entry[1] != T.ZERO]


def _blocks(field: HybridField, n_units: int):
    """Matrices of all calls, units of their outputs, and the number of units, of which the first ones are taken."""
    blocks, outputs, argument = [], [], 1
    for k, _ in field.calls:
        layout, x = field.layouts[k], argument
        weights = field.weights_of[k].start
        for (w, b), rows in zip(layout.slices, layout.sizes[1:], strict=True):
            columns = (w.stop - w.start) // rows
            last = b is layout.slices[-1][1]
            blocks.append((columns, rows, weights + w.start, x, n_units, F.LINEAR))
            if last:
                skip = weights + layout.skip.start
                blocks.append((layout.sizes[0], rows, skip, argument, n_units, F.LINEAR))
            blocks.append(
                (1, rows, weights + b.start, 0, n_units, F.LINEAR if last else F.ACTIVATIONS.index(layout.activation))
            )
            x, n_units = n_units, n_units + rows
        outputs += range(x, n_units)
        argument += layout.sizes[0]
    return blocks, outputs, n_units


def _integers(values) -> np.ndarray:
    return np.array(values, dtype=np.int64)
