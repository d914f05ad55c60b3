"""What holds for the whole package: who may import whom, how light it starts, what it never calls."""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "udesys"

# From the top down; a room imports only from rooms below it. "udesys" is __init__.py, whose names are
# the rooms' own, loaded when asked for: those who stand above every room may use it.
ROOMS = [
    ["cli", "bench"],
    ["doctor"],
    ["udesys"],
    ["api"],
    ["report"],
    ["runs"],
    ["spec"],
    ["repeating"],
    ["discover"],
    ["assess"],
    ["select"],
    ["search"],
    ["fit"],
    ["systems"],
    ["model"],
    ["integrate"],
    ["data"],
    ["errors", "processes", "progress"],
]
DEPTH = {room: depth for depth, line in enumerate(ROOMS) for room in line}
RULE = "a room imports only from rooms below it: " + " > ".join(" | ".join(line) for line in ROOMS)
BESIDE = {("cli", "bench")}  # the command line lists the comparisons

HEAVY = {
    "torch",
    "jax",
    "jaxlib",
    "diffrax",
    "optax",
    "optimistix",
    "equinox",
    "torchdiffeq",
    "pandas",
    "pyarrow",
    "sympy",
    "matplotlib",
    "numba",
    "scipy",
    "pysr",
    "juliacall",
    "pyoperon",
    "pint",
}


# --- the import rule ---------------------------------------------------------------------------------


def test_a_room_imports_only_from_rooms_below_it():
    assert not list(import_violations(PACKAGE)), report(import_violations(PACKAGE), RULE)


def test_the_import_rule_catches_every_way_of_importing_upwards(tmp_path):
    write_tree(
        tmp_path / "udesys",
        {
            "__init__.py": "from udesys.cli import main\n",
            "__main__.py": "from udesys.cli import main\n",
            "errors.py": "from . import data\n",
            "runs.py": "import json\n\nimport udesys\n",
            "discover.py": "from udesys import __version__, fit, report\n",
            "helpers.py": "",
            "model/__init__.py": "from .tree import Tree\nfrom ..errors import ModelError\n",
            "model/tree.py": "def parse():\n    from udesys.search.pool import Pool\n",
            "fit/__init__.py": "from udesys.model import tree\nfrom ..data import table\n",
            "fit/stages/adam.py": "from ... import search\nfrom ...model import tree\n",
            "search/__init__.py": "import importlib\n\nimportlib.import_module(f'{__name__}.sparse')\n",
            "search/sparse.py": "import importlib\n\nimportlib.import_module('udesys.select')\n",
            "search/pysr.py": "import importlib\n\nimportlib.import_module(f'udesys.cli.{__name__}')\n",
            "bench/pendulum.py": "import udesys as ud\nimport udesys.cli.main\n",
            "cli/bench.py": "def run():\n    from udesys import bench\n    from udesys.report import text\n",
        },
    )
    found = [str(violation) for violation in import_violations(tmp_path / "udesys")]
    assert found == [
        "bench/pendulum.py:2: bench imports udesys.cli.main",
        "discover.py:1: discover imports udesys.report",
        "errors.py:1: errors imports udesys.data",
        "fit/stages/adam.py:1: fit imports udesys.search",
        "helpers.py:1: helpers is no room of the design; put it into one, or add it to the list in its place",
        "model/tree.py:2: model imports udesys.search.pool",
        "runs.py:3: runs imports udesys",
        "search/pysr.py:3: search imports udesys.cli.",
        "search/sparse.py:3: search imports udesys.select",
    ]


def import_violations(package: Path) -> Iterator[str]:
    """Each import in the package that goes up or sideways, as "file:line: what"."""
    for path, tree in parsed(package):
        room = room_of(path)
        if room == "udesys":
            continue
        if room not in DEPTH:
            yield (
                f"{path}:1: {room} is no room of the design; "
                "put it into one, or add it to the list in its place"
            )
            continue
        for line, target in package_imports(tree, module_package(path)):
            if not allowed(room, room_of_module(target)):
                yield f"{path}:{line}: {room} imports {target}"


def allowed(room: str, other: str) -> bool:
    return room == other or (room, other) in BESIDE or DEPTH[room] < DEPTH.get(other, len(ROOMS))


def parsed(package: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module of a package as (path relative to it, syntax tree), by name."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package), ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(path: Path) -> str:
    name = path.parts[0].removesuffix(".py")
    return {"__init__": "udesys", "__main__": "cli"}.get(name, name)


def room_of_module(name: str) -> str:
    """udesys.fit.stages -> fit; udesys itself -> udesys."""
    return "".join(name.split(".")[1:2]) or "udesys"


def module_package(path: Path) -> list[str]:
    """The package that a relative import in this file starts from."""
    return ["udesys", *path.parts[:-1]]


def package_imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, module) of every import from udesys, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        for name in imported_names(node, package):
            if name == "udesys" or name.startswith("udesys."):
                yield node.lineno, name


def imported_names(node: ast.AST, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        if module != "udesys":
            return [module]
        # Of the package itself: a room, a name that __init__.py loads from one, or its own __version__.
        names = [alias.name for alias in node.names if not alias.name.startswith("__")]
        return [f"udesys.{name}" if name in DEPTH else "udesys" for name in names]
    if isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"} and node.args:
        return [leading_text(node.args[0])]
    return []


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def leading_text(node: ast.expr) -> str:
    """The constant text that a string or an f-string starts with."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


# --- a light start -----------------------------------------------------------------------------------


def test_importing_udesys_loads_no_heavy_library():
    assert not HEAVY & loaded_by("import udesys")


def test_the_help_of_the_command_line_loads_no_library_for_numbers():
    loaded = loaded_by(command_line("--help"))
    assert not (HEAVY | {"numpy", "jinja2", "packaging"}) & loaded
    assert "lark" not in loaded


def test_a_check_loads_what_reads_and_nothing_that_fits_or_draws():
    # In seconds: a third of what waiting for the compiled simulator and the splines would take.
    loaded = loaded_by(command_line("check", "data/lynx_hare.toml"), depth=2)
    assert {"numpy", "lark", "pint"} <= loaded  # the spec names units, and pint loads scipy's own top
    assert not (HEAVY - {"pint", "scipy"}) & loaded
    assert not {f"scipy.{part}" for part in ("linalg", "optimize", "interpolate", "stats", "special")} & loaded


@pytest.mark.parametrize("arguments", [["systems"], ["--version"], ["export", "no/run", "--to", "latex"]])
def test_what_is_listed_or_refused_does_not_wait_for_torch_or_figures(arguments):
    loaded = loaded_by(command_line(*arguments, status=1 if "export" in arguments else 0))
    assert not {"torch", "matplotlib", "pandas", "pysr", "pyoperon"} & loaded


def command_line(*arguments: str, status: int = 0) -> str:
    """A script that runs the command line, and goes on after it."""
    script = f"""
        import runpy
        sys.argv = ["udesys", *{list(arguments)!r}]
        try:
            runpy.run_module("udesys", run_name="__main__")
        except SystemExit as stop:
            assert (stop.code or 0) == {status}, stop.code
    """
    return inspect.cleandoc(script)


def test_no_module_takes_the_place_of_a_public_name_when_imported():
    # `udesys.fit` the function and `udesys/fit/` the room share a name; Python binds the room's module to
    # the package when it is first imported, whatever stood there.
    modules = [
        ".".join(["udesys", *path.with_suffix("").parts]).removesuffix(".__init__")
        for path, _ in parsed(PACKAGE)
        if path.name != "__main__.py"
    ]
    script = f"""
        import importlib, types
        sys.modules["pysr"] = sys.modules["juliacall"] = None  # would start Julia
        import udesys
        for name in {modules!r}:
            importlib.import_module(name)
        taken = [n for n in udesys.__all__ if isinstance(getattr(udesys, n), types.ModuleType)]
        assert not taken, f"a module now stands where these public names were: {{taken}}"
    """
    loaded_by(inspect.cleandoc(script))


def test_pysr_is_imported_only_inside_functions():
    found = [
        f"{path}:{node.lineno}: imports {name}"
        for path, tree in parsed(PACKAGE)
        for node in nodes_run_at_import(tree)
        for name in imported_names(node, module_package(path))
        if name.split(".")[0] in {"pysr", "juliacall"}
    ]
    assert not found, report(found, "importing pysr starts Julia, and may download it")


def nodes_run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from nodes_run_at_import(child)


def loaded_by(script: str, depth: int = 1) -> set[str]:
    """The modules that a fresh interpreter holds after the script, those of the top level or down to `depth`."""
    code = f"import json, sys\n{script}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    names = json.loads(done.stderr.splitlines()[-1])
    return {".".join(name.split(".")[:level]) for name in names for level in range(1, depth + 1)}


# --- what is never called ----------------------------------------------------------------------------

PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "shelve"}
FORBIDDEN = {"eval", "exec", "builtins.eval", "builtins.exec", "torch.load", "torch.save"}
FORBIDDEN_LAST = {"sympify", "parse_expr", "read_pickle", "to_pickle"}
CLOSED = "text from a file is never run as code, and nothing is pickled"


def test_nothing_evaluates_text_or_reads_a_pickle():
    found = list(dangerous_uses(PACKAGE))
    assert not found, report(found, CLOSED)


def test_the_scan_for_evaluation_and_pickles_sees_through_aliases(tmp_path):
    source = """\
        import pickle
        import torch as th
        import numpy as np
        import safetensors.torch
        from sympy import sympify as read
        from sympy.parsing import sympy_parser
        eval("1")
        list(map(exec, []))
        th.load("x")
        frame.eval("a + b")
        sympy_parser.parse_expr("x")
        np.load("x", allow_pickle=True)
        network.eval()
        safetensors.torch.load(b"")
        re.compile("x")
        """
    write_tree(tmp_path, {"model/tree.py": inspect.cleandoc(source)})
    assert list(dangerous_uses(tmp_path)) == [
        "model/tree.py:1: pickle",
        "model/tree.py:5: sympy.sympify",
        "model/tree.py:7: eval",
        "model/tree.py:8: exec",
        "model/tree.py:9: torch.load",
        "model/tree.py:10: frame.eval",
        "model/tree.py:11: sympy.parsing.sympy_parser.parse_expr",
        "model/tree.py:12: allow_pickle",
    ]


def dangerous_uses(package: Path) -> Iterator[str]:
    """Each use of what runs text as code or reads pickles, as "file:line: name"."""
    for path, tree in parsed(package):
        aliases = import_aliases(tree)
        found = {(node.lineno, name) for node in ast.walk(tree) for name in dangerous_names(node, aliases)}
        yield from (f"{path}:{line}: {name}" for line, name in sorted(found))


def dangerous_names(node: ast.AST, aliases: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if is_dangerous(alias.name))
    elif isinstance(node, ast.ImportFrom):
        names = [] if node.level else [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if is_dangerous(name))
    elif isinstance(node, ast.Name | ast.Attribute):
        name = dotted(node, aliases)
        if is_dangerous(name):
            yield name
    elif isinstance(node, ast.Call):
        # torch's network.eval() takes nothing; pandas' frame.eval(text) runs text.
        if isinstance(node.func, ast.Attribute) and node.func.attr == "eval" and node.args:
            yield dotted(node.func, aliases)
        yield from (word.arg for word in node.keywords if word.arg == "allow_pickle" and not_false(word))


def is_dangerous(name: str) -> bool:
    parts = name.split(".")
    return parts[0] in PICKLES or name in FORBIDDEN or parts[-1] in FORBIDDEN_LAST


def not_false(word: ast.keyword) -> bool:
    return not (isinstance(word.value, ast.Constant) and word.value.value is False)


def import_aliases(tree: ast.Module) -> dict[str, str]:
    """The name that each import binds -> what it stands for."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return aliases


def dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """a.b.c for such an expression, with the first name resolved; "?.c" where it hangs on something else."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, aliases)}.{node.attr}"
    return "?"


# --- documentation -----------------------------------------------------------------------------------


def test_every_public_name_and_argument_is_documented():
    package = importlib.import_module("udesys")
    public = {name: getattr(package, name) for name in package.__all__}
    found = [f"{name}: {gap}" for name, thing in public.items() for gap in documentation_gaps(thing)]
    assert not found, report(found, "a docstring has one sentence, and Args names every argument")


def test_the_documentation_check_sees_what_is_missing():
    def documented(x, *rest, scale=1, **more):
        """Scale.

        Args:
            x, scale: (batch,), where
                a note: stays a note.
            *rest: more of them.
            **more (dict): options.

        Returns:
            nothing: at all.
        """

    def renamed(x, dt):
        """Step.

        Args:
            x: the state.
            step: the old name.
        """

    def bare(x): ...

    class Fields:
        """A result.

        Attributes:
            value: [m].
        """

        def __init__(self, value, unit):
            self.value, self.unit = value, unit

    assert list(documentation_gaps(documented)) == []
    assert list(documentation_gaps(renamed)) == ["Args lacks dt", "Args names step, which is no argument"]
    assert list(documentation_gaps(bare)) == ["has no docstring"]
    assert list(documentation_gaps(Fields)) == ["Args lacks unit"]


def documentation_gaps(thing: object) -> Iterator[str]:
    """What the docstring of a function or class leaves out; nothing for other values."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return
    doc = own_docstring(thing)
    if not doc:
        yield "has no docstring"
        return
    arguments = argument_names(thing)
    documented = documented_names(doc)
    if inspect.isclass(thing):
        # Attributes may list what is no argument.
        documented |= documented_names(inspect.cleandoc(thing.__init__.__doc__ or ""))
    yield from (f"Args lacks {name}" for name in arguments if name not in documented)
    if inspect.isroutine(thing):
        yield from (
            f"Args names {name}, which is no argument" for name in sorted(documented - set(arguments))
        )


def own_docstring(thing: object) -> str:
    """The docstring that was written for this thing, not inherited and not made by @dataclass."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    return "" if inspect.isclass(thing) and doc.startswith(f"{thing.__name__}(") else doc


def argument_names(thing: object) -> list[str]:
    if inspect.isclass(thing) and not constructed_here(thing):
        return []
    return [name for name in inspect.signature(thing).parameters if not name.startswith("_")]


def constructed_here(cls: type) -> bool:
    """Whether the class has a constructor of the package's own, unlike a plain exception or an enum."""
    maker = getattr(cls.__init__, "__module__", None) or ""
    return maker.split(".")[0] == cls.__module__.split(".")[0]


def documented_names(doc: str) -> set[str]:
    """The names under "Args:" and "Attributes:", as in "x, y: ..." and "**options (dict): ..."."""
    names = set()
    for section in re.findall(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)+)", doc, flags=re.MULTILINE):
        indent = re.match(r"\s*", section.lstrip("\n")).group()
        for entry in re.findall(rf"^{indent}(\S[^:(\n]*)(?:\([^\n]*\))?:", section, flags=re.MULTILINE):
            names |= {name.strip(" *`") for name in entry.split(",")}
    return names


# --- the wheel ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.sample
def test_the_wheel_works_from_another_folder(tmp_path):
    wheel = built_wheel(tmp_path / "wheel")
    inside = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert inside == {"udesys", wheel.name.split("-py3")[0] + ".dist-info"}

    site = tmp_path / "site"
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = run_python("-c", "import udesys; print(udesys.__file__)", cwd=elsewhere, env=environment)
    assert Path(where.strip()).is_relative_to(site)
    assert "discover" in run_python("-m", "udesys", "--help", cwd=elsewhere, env=environment)


def built_wheel(folder: Path) -> Path:
    try:
        pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    except subprocess.CalledProcessError as failure:
        # The build backend comes from the package index, and pip says so when that is out of reach.
        if "No matching distribution found for hatchling" in failure.stdout + failure.stderr:
            pytest.skip("the build backend, hatchling, cannot be fetched: offline?")
        raise AssertionError(failure.stderr) from failure
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(*arguments) -> str:
    return run_python("-m", "pip", "--disable-pip-version-check", *map(str, arguments))


def run_python(*arguments, **options) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, **options)
    return done.stdout


# --- shared ------------------------------------------------------------------------------------------


def report(found, rule: str) -> str:
    return "\n".join(["", *map(str, found), "", f"The rule: {rule}."])


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
