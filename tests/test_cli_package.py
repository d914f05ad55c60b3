"""`import udesys`: nothing heavy, and `ud.fit` the function whatever was imported before."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import udesys

ROOT = Path(__file__).resolve().parent.parent
STATEMENTS = [
    "import udesys.fit",
    "import udesys.discover",
    "from udesys.fit.result import FitResult",
    "from udesys import fit, discover",
    "udesys.fit",
]


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_udesys_imports_nothing_else():
    loaded = json.loads(python("import json, sys, udesys; print(json.dumps(sorted(sys.modules)))"))
    assert not {"numpy", "typer", "rich", "lark", "tomllib"} & set(loaded)
    assert [name for name in loaded if name.startswith("udesys")] == ["udesys"]


def test_the_functions_stay_functions_in_every_order_of_imports():
    # All orders of three statements, one after the other with the package forgotten in between.
    script = f"""
import sys, types
for order in {list(itertools.permutations(STATEMENTS, 3))!r}:
    for name in [m for m in sys.modules if m.split(".")[0] == "udesys"]:
        del sys.modules[name]
    import udesys
    for statement in order:
        exec(statement)
        assert isinstance(udesys.fit, types.FunctionType), (order, statement)
        assert isinstance(udesys.discover, types.FunctionType), (order, statement)
    from udesys.fit import fit as from_room
    from udesys import fit as from_package
    assert udesys.fit is from_room is from_package, order
    assert isinstance(sys.modules["udesys.fit"], types.ModuleType)
"""
    python(script)


def test_every_public_name_can_be_had_and_is_listed():
    for name in udesys.__all__:
        assert getattr(udesys, name) is not None
    assert {*udesys.__all__, "errors"} == set(dir(udesys))
    assert issubclass(udesys.errors.FitError, udesys.errors.UdesysError)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'udesys' has no attribute 'Fit'"):
        _ = udesys.Fit


def test_the_functions_can_be_replaced_in_tests(monkeypatch):
    monkeypatch.setattr(udesys, "fit", len)
    assert udesys.fit is len
