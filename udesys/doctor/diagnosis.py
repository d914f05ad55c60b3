"""Everything that is looked at, in order."""

from __future__ import annotations

from udesys.doctor.computer import look_at_compiled_code, look_at_devices, look_at_terminal
from udesys.doctor.engines import look_at_engines, look_at_julia
from udesys.doctor.findings import Diagnosis, Finding
from udesys.doctor.libraries import look_at_extras, look_at_libraries
from udesys.doctor.trial import try_discovery

__all__ = ["Diagnosis", "Finding", "diagnose"]


def diagnose(*, trial: bool = False) -> Diagnosis:
    """Look at what udesys needs and what it can use; nothing is installed or started.

    Args:
        trial: discover a small built-in system too, which takes some seconds.
    """
    found = list(look_at_libraries())
    if all(finding.state == "ok" for finding in found if finding.needed):  # else what follows cannot be loaded
        for look in (look_at_engines, look_at_julia, look_at_devices, look_at_compiled_code):
            found += look()
        found += try_discovery() if trial else ()
    found += [*look_at_extras(), *look_at_terminal()]
    return Diagnosis(findings=tuple(found))
