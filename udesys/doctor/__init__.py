"""What is installed here, what works, and the one line that adds or repairs the rest."""

from udesys.doctor.diagnosis import Diagnosis, Finding, diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
