"""udesys: from measurements and the physics you know to the equation you don't.

    import udesys as ud

    data = ud.read_table("data/lynx_hare.csv", time="year")
    model = ud.HybridODE("hare' = alpha*hare + NN1(hare, lynx)\\nlynx' = NN2(hare, lynx) - delta*lynx")
    law = ud.discover(model, data, seed=0)
    print(law)

Every name below is loaded when it is first used, so that `import udesys` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udesys import errors as errors
    from udesys.api import Law, discover, load_run, recover
    from udesys.assess.bifurcation.asking import bifurcation
    from udesys.data import Dataset, Trajectory, read_table
    from udesys.discover import Discovery
    from udesys.fit import FitOptions, FitResult, fit
    from udesys.model import Grid, HybridODE, Network, Parameter
    from udesys.search.knowledge import TermKnowledge
    from udesys.search.library import Library
    from udesys.search.options import SearchOptions
    from udesys.search.prior import Prior
    from udesys.spec import Spec, load_spec

__version__ = "0.1.0"

_HOME = {
    "read_table": "udesys.data",
    "Dataset": "udesys.data",
    "Trajectory": "udesys.data",
    "HybridODE": "udesys.model",
    "Parameter": "udesys.model",
    "Network": "udesys.model",
    "Grid": "udesys.model",
    "fit": "udesys.fit",
    "FitOptions": "udesys.fit",
    "FitResult": "udesys.fit",
    "discover": "udesys.api",
    "recover": "udesys.api",
    "Law": "udesys.api",
    "load_run": "udesys.api",
    "bifurcation": "udesys.assess.bifurcation.asking",
    "Discovery": "udesys.discover",
    "Library": "udesys.search.library",
    "SearchOptions": "udesys.search.options",
    "TermKnowledge": "udesys.search.knowledge",
    "Prior": "udesys.search.prior",
    "Spec": "udesys.spec",
    "load_spec": "udesys.spec",
}

__all__ = [
    "read_table",
    "Dataset",
    "Trajectory",
    "HybridODE",
    "Parameter",
    "Network",
    "Grid",
    "fit",
    "FitOptions",
    "FitResult",
    "discover",
    "recover",
    "Discovery",
    "Law",
    "load_run",
    "bifurcation",
    "Library",
    "SearchOptions",
    "TermKnowledge",
    "Prior",
    "Spec",
    "load_spec",
    "__version__",
]


def __getattr__(name: str):
    if name == "errors":
        return importlib.import_module("udesys.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'udesys' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "errors"])


class _Package(types.ModuleType):
    """The package, in which `fit` and `discover` are the functions.

    Python binds a room's module to the package when it is first imported, from anywhere; where a function
    has the room's name, the module stays reachable as `from udesys.fit import ...` only.
    """

    def __setattr__(self, name: str, value) -> None:
        if name in _HOME and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
