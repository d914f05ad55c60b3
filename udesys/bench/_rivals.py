"""The Lotka-Volterra hybrid trained by gradient descent on one long simulation, in torchdiffeq and in diffrax.

The recipe is the published scripts' own: the first row is the start, the loss is the mean squared error, Adam for 200
steps at 0.1, then a quasi-Newton method of at most 10,000. Here the network is udesys' (tanh and a linear skip), and a
training ends once its loss is at its target.

Source: Rackauckas et al., arXiv:2001.04385, the script of its Lotka-Volterra study. Tsit5: Tsitouras, Comput. Math.
Appl. 62 (2011) 770. Weights at the start: Glorot & Bengio, AISTATS (2010), eq. 16.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZES = (2, 5, 5, 5, 2)
TOLERANCE = 1e-6  # relative and absolute, of the solvers
ADAM_STEPS, ADAM_RATE = 200, 0.1
NEWTON_STEPS = 10_000
HISTORY = 100  # pairs that L-BFGS keeps: more than there are weights, so that nothing is forgotten too soon
STALLED = 1e-12  # change of weights and loss at which a quasi-Newton method ends by itself
RESTART_GAIN = 1e-3  # one that ended so begins anew while that lowers the loss by this share


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is fitted, and to what.

    Attributes:
        t: (n,) sample times.
        y: (n, 2) noisy prey and predator.
        floor: mean squared error of the true system's simulation.
        target: mean squared error at which a fit counts as done.
        known: (2,) linear growth rates that the model is given.
    """

    t: np.ndarray
    y: np.ndarray
    floor: float
    target: float
    known: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training.

    Attributes:
        reached: the loss came to the target.
        seconds: until then, or until it failed; without compilation.
        compile_seconds: spent on compilation beside them.
        loss: mean squared error at the end.
        steps: evaluations of the loss in Adam, and after it.
        failure: why it never came there.
    """

    reached: bool
    seconds: float
    compile_seconds: float = 0.0
    loss: float
    steps: tuple[int, int] = (0, 0)
    failure: str = ""


class _Ended(Exception):
    """The training is over; the text says why it failed, and is empty where it did not."""


class _Watch:
    """Counts evaluations, and ends a training at its target, at its time limit and where nothing is finite."""

    def __init__(self, target: float, limit: float):
        self.target, self.limit, self.began = target, limit, time.perf_counter()
        self.loss, self.counts = math.inf, [0, 0]
        self.paused = 0.0

    @property
    def seconds(self) -> float:
        """Spent so far, without pauses."""
        return time.perf_counter() - self.began - self.paused

    def see(self, loss: float, *, adam: bool = False) -> None:
        """Take note of one evaluation of the loss."""
        self.loss = loss
        self.counts[0 if adam else 1] += 1
        if loss <= self.target:
            raise _Ended
        if not math.isfinite(loss):
            raise _Ended("the loss is not finite")
        if self.seconds > self.limit:
            raise _Ended("time limit")
        if self.counts[1] >= NEWTON_STEPS:
            raise _Ended(f"not there after {NEWTON_STEPS} evaluations")

    def result(self, steps: Callable[[], None]) -> Training:
        """Run a training to its end."""
        try:
            steps()
            failure = "it stalled"
        except _Ended as end:
            failure = str(end)
        return Training(
            reached=not failure,
            seconds=self.seconds,
            compile_seconds=self.paused,
            loss=self.loss,
            steps=tuple(self.counts),
            failure=failure,
        )


def first_weights(seed: int) -> np.ndarray:
    """Weights of the rivals' network: Glorot's uniform layers, zero biases, no skip; in the order of udesys' layout."""
    rng, parts = np.random.default_rng(seed), []
    for a, b in itertools.pairwise(SIZES):
        width = math.sqrt(6.0 / (a + b))
        parts += [rng.uniform(-width, width, a * b), np.zeros(b)]
    return np.concatenate([*parts, np.zeros(SIZES[0] * SIZES[-1])])


def _layers(weights):
    """[(W, b), ...] and the skip matrix as views of a flat array of either library."""
    layers, start = [], 0
    for a, b in itertools.pairwise(SIZES):
        layers.append((weights[start : start + a * b].reshape(b, a), weights[start + a * b : start + a * b + b]))
        start += a * b + b
    return layers, weights[start:].reshape(SIZES[-1], SIZES[0])


# ------------------------------------------------------------------ torchdiffeq
def torch_right_side(case: Case, weights):
    """f(t, x) of the hybrid at one state (2,), for weights (n,) of torch.

    The known growth and the skip are one matrix, and every layer is one fused operation.
    """
    import torch

    (*hidden, (last, offset)), skip = _layers(weights)
    linear = skip + torch.diag(torch.tensor(case.known, dtype=weights.dtype))

    def right_side(t, x):
        z = x
        for matrix, bias in hidden:
            z = torch.tanh(torch.addmv(bias, matrix, z))
        return torch.addmv(torch.addmv(offset, last, z), linear, x)

    return right_side


def torch_loss(case: Case):
    """Mean squared error as a function of weights (n,) of torch."""
    import torch
    from torchdiffeq import odeint

    t, y = torch.tensor(case.t), torch.tensor(case.y)

    def loss(weights):
        right_side = torch_right_side(case, weights)
        return ((odeint(right_side, y[0], t, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5") - y) ** 2).mean()

    return loss


def train_torchdiffeq(case: Case, seed: int, limit: float, begin: Callable[[], None]) -> Training:
    """Dormand-Prince with Adam, then L-BFGS with a strong Wolfe line search.

    Args:
        case: what is fitted.
        seed: of the weights at the start.
        limit: seconds.
        begin: called after the warm-up.

    Source: torchdiffeq's dopri5, differentiated through its steps: on problems this small that is faster than its
        adjoint.
    """
    import torch

    loss = torch_loss(case)
    weights = torch.tensor(first_weights(seed), requires_grad=True)
    torch.autograd.grad(loss(weights), weights)
    begin()
    watch = _Watch(case.target, limit)

    def steps():
        adam = torch.optim.Adam([weights], lr=ADAM_RATE)
        for _ in range(ADAM_STEPS):
            adam.zero_grad()
            value = loss(weights)
            watch.see(value.item(), adam=True)
            value.backward()
            adam.step()
        before = math.inf
        while watch.loss < (1 - RESTART_GAIN) * before:
            before = watch.loss
            _lbfgs(loss, weights, watch)

    return watch.result(steps)


def _lbfgs(loss, weights, watch: _Watch) -> None:
    import torch

    newton = torch.optim.LBFGS(
        [weights],
        max_iter=NEWTON_STEPS,
        history_size=HISTORY,
        tolerance_grad=STALLED,
        tolerance_change=STALLED,
        line_search_fn="strong_wolfe",
    )

    def closure():
        newton.zero_grad()
        value = loss(weights)
        watch.see(value.item())
        value.backward()
        return value

    newton.step(closure)


# ------------------------------------------------------------------ diffrax
def jax_right_side(case: Case):
    """f(t, x, weights) of the hybrid at one state (2,), for weights (n,) of JAX."""
    import jax.numpy as jnp

    known = jnp.diag(jnp.asarray(case.known))

    def right_side(t, x, weights):
        (*hidden, (last, offset)), skip = _layers(weights)
        z = x
        for matrix, bias in hidden:
            z = jnp.tanh(matrix @ z + bias)
        return last @ z + offset + (skip + known) @ x

    return right_side


def jax_loss(case: Case):
    """Mean squared error as a function of weights (n,) of JAX; infinite where the solver stops early."""
    import diffrax
    import jax.numpy as jnp

    t, y, term = jnp.asarray(case.t), jnp.asarray(case.y), diffrax.ODETerm(jax_right_side(case))

    def loss(weights):
        solution = diffrax.diffeqsolve(
            term,
            diffrax.Tsit5(),
            t[0],
            t[-1],
            None,
            y[0],
            args=weights,
            saveat=diffrax.SaveAt(ts=t),
            stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
            throw=False,
        )
        return ((solution.ys - y) ** 2).mean()

    return loss


def train_diffrax(case: Case, seed: int, limit: float, begin: Callable[[], None]) -> Training:
    """Tsit5, jitted, with optax' Adam, then optimistix' BFGS; every step is compiled ahead of its first use.

    Args:
        case: what is fitted.
        seed: of the weights at the start.
        limit: seconds, for the compilation of each of the two methods and for their steps.
        begin: called before and after each compilation.
    """
    import jax
    import jax.numpy as jnp
    import optax
    import optimistix

    if not jax.config.jax_enable_x64:
        raise RuntimeError("JAX is not set to float64 (JAX_ENABLE_X64=1).")
    loss = jax_loss(case)
    weights = jnp.asarray(first_weights(seed))
    jax.block_until_ready(weights + 1.0)  # its first operation sets up the backend
    adam = optax.adam(ADAM_RATE)
    newton = optimistix.BFGS(rtol=STALLED, atol=STALLED)
    begin()
    watch = _Watch(case.target, limit)

    def adam_step(weights, state):
        value, slope = jax.value_and_grad(loss)(weights)
        change, state = adam.update(slope, state, weights)
        return value, optax.apply_updates(weights, change), state

    def compiled(function, *examples):
        begin()
        began = time.perf_counter()
        done = jax.jit(function).lower(*examples).compile()
        watch.paused += time.perf_counter() - began
        begin()
        return done

    def steps():
        now, state = weights, adam.init(weights)
        step = compiled(adam_step, now, state)
        for _ in range(ADAM_STEPS):
            value, now, state = step(now, state)
            watch.see(value.item(), adam=True)
        _bfgs(newton, loss, now, watch, compiled)

    return watch.result(steps)


def _bfgs(newton, loss, weights, watch: _Watch, compiled) -> None:
    """Step by step, so that the loss is seen after each; restarted while that helps."""
    import jax

    def function(weights, _):
        return loss(weights), None

    shape = jax.eval_shape(loss, weights)

    def first(weights):
        return newton.init(function, weights, None, {}, shape, None, frozenset())

    def one(weights, state):
        weights, state, _ = newton.step(function, weights, None, {}, state, frozenset())
        over, _ = newton.terminate(function, weights, None, {}, state, frozenset())
        return weights, state, over

    begin_at = compiled(first, weights)
    step = compiled(one, weights, begin_at(weights))
    before = math.inf
    while watch.loss < (1 - RESTART_GAIN) * before:
        before, state, over = watch.loss, begin_at(weights), False
        while not over:
            weights, state, over = step(weights, state)
            watch.see(state.f_info.f.item())
