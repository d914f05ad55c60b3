"""The spec: one TOML file, or a dict of the same shape, that names the data, the model and the search."""

from udesys.spec.loading import load_spec
from udesys.spec.result import Spec

__all__ = ["Spec", "load_spec"]
