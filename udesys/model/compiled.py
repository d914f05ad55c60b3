"""A HybridField as plain arrays for the compiled flow."""

from __future__ import annotations

import numpy as np

from udesys.integrate.flow import ACTIVATIONS, LINEAR, Plan, Scales
from udesys.model import tree as T
from udesys.model.field import HybridField
from udesys.model.program import Program


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
    def scales(self) -> Scales:
        """The field's scales as they are now."""
        scales = [self.field.scales[k] for k, _ in self.field.calls]
        parts = ([getattr(s, name) for s in scales] for name in ("shift", "width", "output"))
        return Scales(*(np.concatenate(p) if p else np.zeros(0) for p in parts), self.field.parameter_scale)


def _plan(field: HybridField) -> Plan:
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
    registers = program.outputs.astype(np.int64)
    return Plan(
        counts=_integers([d, len(field.parameters), len(model.exogenous), n_units]),
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
            blocks.append((columns, rows, weights + w.start, x, n_units, LINEAR))
            if last:
                skip = weights + layout.skip.start
                blocks.append((layout.sizes[0], rows, skip, argument, n_units, LINEAR))
            blocks.append((1, rows, weights + b.start, 0, n_units, LINEAR if last else ACTIVATIONS.index(layout.activation)))
            x, n_units = n_units, n_units + rows
        outputs += range(x, n_units)
        argument += layout.sizes[0]
    return blocks, outputs, n_units


def _integers(values) -> np.ndarray:
    return np.array(values, dtype=np.int64)
