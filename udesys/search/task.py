"""What an engine is asked: a missing term's samples, and how columns over them reach the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.vanishing import Vanishing
from udesys.search.boundary import Inward
from udesys.search.prior import DEFAULT, Prior


@dataclass(frozen=True, kw_only=True)
class PointwiseResponse:
    """Plain regression on samples: a column is compared with the values where it stands.

    Attributes:
        std: (points,) standard deviation of the values.
        target: (points,) values over std.
    """

    std: np.ndarray
    target: np.ndarray

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """(rows, terms) of columns (points, terms)."""
        return columns / self.std[:, None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A missing term to be put in closed form.

    Attributes:
        term: its name.
        arguments: names of what it may depend on.
        points: (points, arguments) [data units].
        values: (points,) what the network learned there.
        std: (points,) how well it knows it.
        response: maps columns over the points to rows that are compared with `response.target`; pointwise
            by default, the weak form of the dynamics in a discovery.
        taken: names of the model's states and parameters, which constants must not have either.
        guesses: formulas with their numbers in place from which an engine may start.
        units: argument -> its unit, and under the term's name that of the term; empty where unknown.
        prior: over forms.
        allows: whether an additive form may stand in the formula; None allows all.
        vanishing: where the term is zero, whatever its constants.
        inward: what it must not do where positive states are zero.
        spare: how many times as many candidates as otherwise the exhaustive search hands on.

    Raises:
        SearchError: a value is not finite, or the shapes do not agree.
    """

    term: str
    arguments: tuple[str, ...]
    points: np.ndarray
    values: np.ndarray
    std: np.ndarray | None = None
    response: object = None
    taken: frozenset[str] = frozenset()
    guesses: tuple[T.Tree, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    prior: Prior = DEFAULT
    allows: Callable[[T.Tree], bool] | None = None
    vanishing: tuple[Vanishing, ...] = ()
    inward: tuple[Inward, ...] = ()
    spare: int = 1

    def allowed(self, forms: list, tree: Callable = lambda form: form) -> list:
        """Those of the forms that may stand in the formula.

        Args:
            forms: trees, or what holds them.
            tree: form -> its tree.
        """
        return forms if self.allows is None else [form for form in forms if self.allows(tree(form))]

    def respond(self, columns: np.ndarray) -> np.ndarray:
        """(rows, terms) of columns (points, terms), to be compared with `response.target`."""
        return self.response.apply(columns)

    @property
    def names(self) -> frozenset[str]:
        """Names that a formula's constants must not have."""
        return self.taken | set(self.arguments)

    def __post_init__(self):
        points, values = np.asarray(self.points, float), np.asarray(self.values, float)
        std = np.ones_like(values) if self.std is None else np.asarray(self.std, float)
        if points.ndim != 2 or points.shape != (len(values), len(self.arguments)) or std.shape != values.shape:
            raise SearchError(
                f"{self.term}: points {points.shape}, values {values.shape} and std {std.shape} do not agree with "
                f"{len(self.arguments)} arguments. Give (points, arguments), (points,) and (points,)."
            )
        for name, array in (("points", points), ("values", values), ("std", std)):
            if not np.isfinite(array).all():
                row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))[0])
                raise SearchError(f"{self.term}: {name}[{row}] is not finite. Drop that sample before the search.")
            object.__setattr__(self, name, array)
        if not (std > 0).all():
            raise SearchError(f"{self.term}: std must be positive everywhere.")
        if self.response is None:
            object.__setattr__(self, "response", PointwiseResponse(std=std, target=values / std))
