"""A small discovery from end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator

from udesys.doctor.findings import Finding

SYSTEM, NOISE = "lotka_volterra", 0.005
TRUE_FORM = "c0*prey*predator"  # of both missing terms


def try_discovery() -> Iterator[Finding]:
    """Discover the built-in predators and preys."""
    about = {"group": "Self test", "name": "discovery", "needed": True}
    began = time.perf_counter()
    try:
        found = _discovered()
    except Exception as error:  # a defect of this installation
        yield Finding(state="broken", text=f"failed with {type(error).__name__}: {error}", **about)
        return
    seconds = time.perf_counter() - began
    text = f"{', '.join(f'{term} = {form}' for term, form in found.items())} in {seconds:.1f} s"
    right = set(found.values()) == {TRUE_FORM}
    yield Finding(state="ok" if right else "broken", text=text if right else f"{text}, not {TRUE_FORM}", **about)


def _discovered() -> dict[str, str]:
    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.search import SearchOptions
    from udesys.systems import get_system, make_data

    system = get_system(SYSTEM)
    model = HybridODE(system.equations, parameters=system.parameters)
    law = discover(model, make_data(system, NOISE, seed=0), seed=0, options=SearchOptions(engines=("sparse",)))
    return {term: residual.expression for term, residual in law.residuals.items()}
