"""Training stages, one per file, found by listing the folder.

A stage has `run(problem, unknowns, rng, progress) -> StageReport`; those that fit the nodes too also take
`given_noise` and `converged`. A file whose name starts with an underscore is shared by stages and none itself.
"""

import importlib
import pkgutil
from types import ModuleType

from udesys.errors import FitError, did_you_mean


def stage_names() -> tuple[str, ...]:
    """Names of all training stages, in alphabetical order."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def load_stage(name: str) -> ModuleType:
    """The module of a training stage.

    Raises:
        FitError: there is none of this name.
    """
    known = stage_names()
    if name not in known:
        raise FitError(f"there is no training stage {name!r}. {did_you_mean(str(name), known)}")
    return importlib.import_module(f"{__name__}.{name}")
