"""What every test gets: --slow, the data folder, and a check that it leaves global state alone."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rich.style  # noqa: F401  its first import draws from random's generator, in no test's name

# Before anything imports matplotlib: figures are drawn without a display.
os.environ["MPLBACKEND"] = "Agg"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a longer study; run with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir():
    """The folder of measured data sets beside the package."""
    return Path(__file__).resolve().parent.parent / "data"


@pytest.fixture(autouse=True)
def global_state_stays():
    """Fail a test after which torch, NumPy or `random` behave differently for the next one.

    A library is looked at only once something has imported it; what a test changed is put back.
    """
    before = read_globals()
    yield
    after = read_globals()
    changed = [setting for setting in after if after[setting] != before.get(setting, setting.initial(after))]
    for setting in changed:
        setting.write(sys.modules[setting.module], before.get(setting, setting.default))
    if changed:
        pytest.fail(
            f"the test left these changed: {', '.join(setting.name for setting in changed)}. Use a local "
            "generator (np.random.default_rng, torch.Generator, random.Random) or a context manager "
            "(np.errstate, torch.no_grad), or put the old value back.",
            pytrace=False,
        )


UNKNOWN = object()


@dataclass(frozen=True, eq=False)
class Setting:
    """One piece of a library's global state."""

    name: str
    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    default: Any = UNKNOWN  # what a test finds that is the first to import the library

    def initial(self, after):
        return after[self] if self.default is UNKNOWN else self.default


SETTINGS = [
    Setting("random's generator", "random", lambda m: m.getstate(), lambda m, v: m.setstate(v)),
    Setting(
        "NumPy's global generator",
        "numpy.random.mtrand",
        # The keys as bytes, since arrays do not compare to one truth value.
        lambda m: tuple(v.tobytes() if hasattr(v, "tobytes") else v for v in m.get_state()),
        lambda m, v: m.set_state((v[0], sys.modules["numpy"].frombuffer(v[1], "uint32"), *v[2:])),
    ),
    Setting(
        "NumPy's error state",
        "numpy",
        lambda m: m.geterr(),
        lambda m, v: m.seterr(**v),
        {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    ),
    Setting(
        "torch's default dtype",
        "torch",
        lambda m: str(m.get_default_dtype()),
        lambda m, v: m.set_default_dtype(getattr(m, v.removeprefix("torch."))),
        "torch.float32",
    ),
    Setting(
        "torch's number of threads",
        "torch",
        lambda m: m.get_num_threads(),
        lambda m, v: m.set_num_threads(v),
    ),
    Setting(
        "torch's grad mode",
        "torch",
        lambda m: m.is_grad_enabled(),
        lambda m, v: m.set_grad_enabled(v),
        True,
    ),
    Setting(
        "torch's deterministic algorithms",
        "torch",
        lambda m: (
            m.are_deterministic_algorithms_enabled(),
            m.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda m, v: m.use_deterministic_algorithms(v[0], warn_only=v[1]),
        (False, False),
    ),
]


def read_globals():
    return {
        setting: setting.read(sys.modules[setting.module])
        for setting in SETTINGS
        if setting.module in sys.modules
    }
