"""A HybridField without tensors: plain arrays for the compiled flow, and NumPy for what is needed once in a fit."""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np

from udesys.integrate import flow as F
from udesys.model import tree as T
from udesys.model.field import HybridField
from udesys.model.program import Program

MOST_WEIGHTS = 10_000  # of one matrix; for a larger one the matrix products of tensors are faster


def is_wide(field: HybridField) -> bool:
    """Whether some network has layers so wide that tensors are faster."""
    sizes = [layout.sizes for layout in field.layouts]
    return any(a * b > MOST_WEIGHTS for s in sizes for a, b in itertools.pairwise(s))


class CompiledField:
    """The equations and networks of a field as `integrate.flow` takes them.

    Args:
        field: its scales are read at every call, since the fit sets them later.

    Attributes:
        plan: see `integrate.flow.Plan`.
    """

    def __init__(self, field: HybridField):
        model, fixed, self.field = field.model, field.model.fixed_values, field
        point = [*model.states, *field.parameters, "t", *model.exogenous]
        arguments = [a for trees in field.argument_trees for a in trees]
        slopes = [T.substitute(right, fixed) for right in model.invariants.acting_rhs]
        blocks, outputs, n_units = _blocks(field, 1 + len(arguments))
        entries, derivatives = _derivatives(field, slopes, arguments, outputs, n_units)
        inputs = [*point, *field.outputs]
        self._slopes, self._inputs, self._arguments = slopes, inputs, Program(arguments, point)
        self._program = Program([*arguments, *slopes, *derivatives], inputs)
        # A program computes its trees in turn, so what the first ones need comes first.
        parts = [len(Program(trees, inputs).code) for trees in ([], arguments, [*arguments, *slopes])]
        self.plan = _plan(field, self._program, parts, blocks, outputs, entries, n_units)
        d = len(slopes)
        self._rows: dict[int, F.Rows] = {}
        self._entries, self._outputs, self._states = entries, [d + unit for unit in outputs], d + n_units

    @property
    def scales(self) -> F.Scales:
        """The field's scales as they are now."""
        scales = [self.field.scales[k] for k, _ in self.field.calls]
        if not scales:
            return F.Scales(*np.zeros((3, 0)), self.field.parameter_scale)
        shift, width = np.concatenate([s.shift for s in scales]), np.concatenate([s.width for s in scales])
        return F.Scales(shift, width, np.concatenate([s.output for s in scales]), self.field.parameter_scale)

    def flow(self, intervals: F.Intervals, nodes, theta, substeps, which=None, *, share=1.0) -> np.ndarray:
        """See `integrate.flow.flow`; `which` None takes all intervals."""
        arguments = (self.plan, self.scales, intervals, nodes, theta, substeps, _all(intervals, which))
        return F.flow(*arguments, share=share, rows=self._rows)

    def flow_jacobians(self, intervals: F.Intervals, nodes, theta, substeps, which=None, *, by_theta=True):
        """See `integrate.flow.flow_jacobians`."""
        arguments = (self.plan, self.scales, intervals, nodes, theta, substeps, _all(intervals, which))
        return F.flow_jacobians(*arguments, by_theta=by_theta, rows=self._rows)

    # -------------------------------------------------------------- at points, by NumPy
    @cached_property
    def _right_side(self) -> Program:
        return Program(self._slopes, self._inputs)

    def right_side(self, t, x, u, theta) -> np.ndarray:
        """dx/dt (points, d); arguments as for `linearise`."""
        n, field = len(x), self.field
        point, outputs, begin = [*x.T, *field.parameter_values(theta), t, *u.T], [], 0
        columns = _columns(self._arguments.run(point), n)
        for k, _ in field.calls:
            end = begin + field.layouts[k].sizes[0]
            _, _, values = self._forward(k, columns[:, begin:end], theta)
            outputs += [*(values * field.scales[k].output).T]
            begin = end
        return _columns(self._right_side.run([*point, *outputs]), n)

    def linearise(self, t, x, u, theta):
        """The right side at points.

        Args:
            t: (points,) times.
            x: (points, d) states.
            u: (points, k) inputs.
            theta: (n_theta,) weights of all networks, then the parameters.

        Returns:
            Arguments of every network's first call, a list of (points, arguments) [data units], df/dx (points, d, d),
            and the derivative of f by the outputs of all calls in turn (points, d, outputs).
        """
        field, (n, d), n_a, n_o = self.field, x.shape, len(self.plan.arguments), len(self.plan.outputs)
        point = [*x.T, *field.parameter_values(theta), t, *u.T]
        columns = _columns(self._arguments.run(point), n)
        arguments, outputs, by_argument, begin = {}, [], np.zeros((n, n_o, n_a)), 0
        for k, _ in field.calls:
            piece = slice(begin, begin + field.layouts[k].sizes[0])
            values, slopes, _ = self._network(k, columns[:, piece], theta, weights=False)
            by_argument[:, len(outputs) : len(outputs) + values.shape[1], piece] = slopes
            arguments.setdefault(k, columns[:, piece])
            outputs += [*values.T]
            begin = piece.stop
        by_state, by_output = np.zeros((n, d + n_a, d)), np.zeros((n, d, n_o))
        derivatives = self._program.run([*point, *outputs])[n_a + d :]
        for (of, to), value in zip(self._entries, derivatives, strict=True):
            if to in self._outputs:
                by_output[:, of, self._outputs.index(to)] = value
            elif to < self._states + d:
                by_state[:, of if of < d else of - 1, to - self._states] = value
        by_state = by_state[:, :d] + by_output @ (by_argument @ by_state[:, d:])
        return [arguments[k] for k in range(len(field.layouts))], by_state, by_output

    def term(self, slot: int, arguments: np.ndarray, theta: np.ndarray):
        """Values (points, outputs) of what acts of a network at arguments (points, arguments) in data units.

        Returns:
            The values, and their derivative by the network's weights (points, outputs, weights).
        """
        products = [arguments[:, i] * arguments[:, j] for i, j in self.field.layouts[slot].pairs]
        seen = np.column_stack([arguments, *products])
        values, _, slopes = self._network(slot, seen, theta, weights=True)
        self.field.model.invariants.act(slot, arguments, values, slopes)
        return values, slopes

    def _network(self, k: int, arguments: np.ndarray, theta: np.ndarray, *, weights: bool):
        """Values of a network, and their derivatives by its arguments and by its weights, layer by layer."""
        layout, scale = self.field.layouts[k], self.field.scales[k]
        layers, skip = layout.matrices(theta[self.field.weights_of[k]])
        units, slopes, values = self._forward(k, arguments, theta)
        n, n_out = values.shape
        pulled = np.broadcast_to(np.eye(n_out), (n, n_out, n_out))  # outputs by what goes into a layer
        parts = [_outer(pulled, units[0])] if weights else []
        for i in range(len(layers) - 1, -1, -1):
            if weights:
                parts += [pulled, _outer(pulled, units[i])]
            pulled = pulled @ layers[i][0] * (slopes[i - 1] if i > 0 else 1.0)
        output = scale.output[:, None]
        by_weight = np.concatenate(parts[::-1], 2) * output if weights else None
        return values * scale.output, (pulled + skip) * output / scale.width, by_weight

    def _forward(self, k: int, arguments: np.ndarray, theta: np.ndarray):
        """What goes into every layer, slopes of the hidden ones, and values in units of the network's scale."""
        layout, scale = self.field.layouts[k], self.field.scales[k]
        layers, skip = layout.matrices(theta[self.field.weights_of[k]])
        units, slopes = [(arguments - scale.shift) / scale.width], []
        for matrix, bias in layers[:-1]:
            unit, slope = _ACTIVATIONS[layout.activation](units[-1] @ matrix.T + bias)
            units.append(unit)
            slopes.append(slope[:, None])
        matrix, bias = layers[-1]
        return units, slopes, units[-1] @ matrix.T + bias + units[0] @ skip.T


def _columns(values: list, n: int) -> np.ndarray:
    """Numbers and (n,) arrays as the columns of a matrix."""
    return np.stack([np.broadcast_to(v, n) for v in values], 1) if values else np.zeros((n, 0))


def _outer(pulled: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(n, outputs, b) times (n, a) -> (n, outputs, b * a)."""
    return (pulled[:, :, :, None] * units[:, None, None, :]).reshape(*pulled.shape[:2], -1)


def _tanh(x):
    y = np.tanh(x)
    return y, 1.0 - y * y


_ACTIVATIONS = {  # and their slopes
    "tanh": _tanh,
    "softplus": lambda x: (np.logaddexp(0.0, x), 1.0 / (1.0 + np.exp(-x))),
    "cubic": lambda x: (x * (1.0 + x * x / 6.0), 1.0 + 0.5 * x * x),
}


# ------------------------------------------------------------------ the plan
def _all(intervals: F.Intervals, which) -> np.ndarray:
    return np.arange(len(intervals.node)) if which is None else np.asarray(which, np.int64)


def _plan(field: HybridField, program: Program, parts, blocks, outputs, entries, n_units: int) -> F.Plan:
    model, registers = field.model, program.outputs.astype(np.int64)
    d, n_a = len(model.states), len(registers) - len(model.states) - len(entries)
    first = d + len(field.parameters) + 1 + len(model.exogenous)
    instructions = first + len(outputs) + len(program.constants)
    units = instructions + len(program.code)
    items = units + 2 * n_units
    at = F.Places(
        d=d,
        n_parameters=len(field.parameters),
        n_inputs=len(model.exogenous),
        n_units=n_units,
        outputs=first,
        instructions=instructions,
        units=units,
        items=items,
        length=items + d * (d + n_units + d + len(field.parameters)),
        widest=max((rows for _, rows, *_ in blocks), default=1),
    )
    by_outputs = sum(d <= to < d + n_units for _, to in entries)
    return F.Plan(
        at=at,
        code=program.code,
        constants=program.constants,
        parts=_integers([*parts, len(program.code)]),
        slopes=registers[n_a : n_a + d].copy(),
        arguments=registers[:n_a].copy(),
        outputs=_integers(outputs),
        blocks=_integers(blocks).reshape(-1, 6),
        entries=np.column_stack([_integers(entries).reshape(-1, 2), registers[n_a + d :]]),
        groups=_integers([0, by_outputs, len(entries)]),
    )


def _derivatives(field: HybridField, slopes, arguments, outputs, n_units: int):
    """Pairs of items of which one depends on the other, those by outputs first, and the derivatives."""
    d, states = len(slopes), field.model.states
    right_side, argument_items = range(d), range(d + 1, d + 1 + len(arguments))
    state_items = range(d + n_units, d + n_units + d)
    parameter_items = range(state_items.stop, state_items.stop + len(field.parameters))
    entries, found = [], []
    for trees, of, names, to in (
        (slopes, right_side, field.outputs, [d + unit for unit in outputs]),
        (slopes, right_side, states, state_items),
        (slopes, right_side, field.parameters, parameter_items),
        (arguments, argument_items, states, state_items),
        (arguments, argument_items, field.parameters, parameter_items),
    ):
        for (tree, i), (name, j) in itertools.product(zip(trees, of, strict=True), zip(names, to, strict=True)):
            slope = T.derivative(tree, name)
            if slope != T.ZERO:
                entries.append((i, j))
                found.append(slope)
    return entries, found


def _blocks(field: HybridField, n_units: int):
    """Matrices of all calls, units of their outputs, and the number of units, of which the first ones are taken."""
    blocks, outputs, argument = [], [], 1
    for k, _ in field.calls:
        layout, weights, x = field.layouts[k], field.weights_of[k].start, argument
        for i, (matrix, bias) in enumerate(layout.slices):
            columns, rows, activation = *layout.sizes[i : i + 2], F.ACTIVATIONS.index(layout.activation)
            blocks.append((columns, rows, weights + matrix.start, x, n_units, F.LINEAR))
            if i == len(layout.slices) - 1:
                activation = F.LINEAR
                blocks.append((layout.sizes[0], rows, weights + layout.skip.start, argument, n_units, F.LINEAR))
            blocks.append((1, rows, weights + bias.start, 0, n_units, activation))
            x, n_units = n_units, n_units + rows
        outputs += range(x, n_units)
        argument += layout.sizes[0]
    return blocks, outputs, n_units


def _integers(values) -> np.ndarray:
    return np.array(values, dtype=np.int64)
