"""Tasks that the tests of PySR ask for."""

from dataclasses import replace

import numpy as np

from udesys.search import Task


def product_task(count=60, size=1.0):
    """0.7*x*y at some points, half of them known five times worse than the others."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0.5, 2.0, (count, 2))
    std = np.where(np.arange(count) % 2, 0.02, 0.1)
    values = 0.7 * points.prod(1) + std * rng.standard_normal(count)
    return Task(term="NN", arguments=("S", "beta"), points=points, values=size * values, std=size * std)


def with_more(task, **more):
    """The task with what it may get from a model with units, or from other engines."""
    return replace(task, **more)
