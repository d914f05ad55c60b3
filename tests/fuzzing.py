"""Inputs that nobody should write and somebody will: what tests/test_fuzz.py feeds to everything that reads."""

import copy
import datetime
import math
import random
import string

from hypothesis import strategies as st

TRIPWIRES = [
    "__import__('os').system('touch pwned')",
    "open('pwned', 'w')",
    "eval(\"open('pwned', 'w')\")",
    "exec(\"open('pwned', 'w')\")",
    "().__class__.__base__.__subclasses__()",
    "lambda: open('pwned', 'w')",
    "$(touch pwned)",
    "=cmd|'/C touch pwned'!A0",
    "!!python/object/apply:os.system ['touch pwned']",
]
NAMES_OF_PYTHON = [
    "lambda",
    "class",
    "import",
    "None",
    "True",
    "eval",
    "exec",
    "print",
    "__name__",
    "self",
    "nan",
    "inf",
]
CHARACTERS = [
    "\0",
    "\ufeff",
    "\r",
    "\r\n",
    "\x85",
    "\u2028",
    "\x1b[31m",
    "\x7f",
    "\ud800",
    "é",
    "θ",
    "٣",
    "１",
    "\U0001f600",
]

# --- equations ---------------------------------------------------------------------------------------

EQUATIONS = [
    "x' = alpha*x + NN1(x, y)\ny' = NN2(x, y) - delta*y",
    "x'' = -k*x - c*x' + NN(x, x')[0]\ny' = NN(x, x')[1]",
    "a' = exp(-b/T)*sin(2*pi*t) + min(a, 3)**2 - NN1(a, log(b + 1))\nb' = sqrt(abs(a))/(K + a)^2",
]
PIECES = [
    *TRIPWIRES, *NAMES_OF_PYTHON, *CHARACTERS, *string.punctuation, *"xyt019 \t\n",
    "x'", "x''", "x''''", "'x", "()", "(,)", "(x,)", "[0]", "[10]", "[1e3]", "[0][0]", "[" + "9" * 5000 + "]",
    "NN", "NN1", "NN1()", "NN1(x)", "NN1(NN2(x))", "NN1(x)(y)", "f(x)", "x.y", "x[0]", "**", "***", "^^", "//", "==",
    "exp", "exp()", "exp(1000)", "log(0)", "log(-1)", "sqrt(-1)", "(-1)**0.5", "0**-1", "1/0", "x/0", "0/0", "max(1)",
    "min(x, y, t)", "9**9**9", "9**9**9**9", "1e308*10", "1e308**2", "x**1e308", "1e400", "1e-400", "5e-324/1e308",
    "1_000", "0x10", "1j", "1e", ".", "..", "1.2.3", "9" * 5000, "0" * 5000, "x" * 5000, "-" * 5000, "+x" * 2000,
    "*x" * 2000, "**x" * 500, "(" * 10_000, "sin(" * 500, "x*" * 140 + "x", "(" * 150 + "x" + ")" * 150,
]  # fmt: skip


def mutate(draw: random.Random, text: str, edits: int | None = None) -> str:
    """A text with pieces put in, taken out, doubled or replaced, one to six of them where it is not said."""
    for _ in range(edits or draw.randint(1, 6)):
        a = draw.randint(0, len(text))
        b = min(len(text), a + draw.randint(0, 8))
        kind = draw.random()
        if kind < 0.45:
            text = text[:a] + draw.choice(PIECES) + text[a:]
        elif kind < 0.65:
            text = text[:a] + text[b:]
        elif kind < 0.8:
            text = text[:a] + draw.choice(string.printable) + text[b:]
        elif kind < 0.9:
            text = text[:a] + text[a:b] * draw.randint(2, 5) + text[b:]
        else:
            text = text[:a] + chr(draw.randint(0, 0x10FFFF)) + text[b:]
    return text


def garbage(draw: random.Random) -> str:
    """Pieces in a row."""
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(0, 40)))


def equations() -> st.SearchStrategy[str]:
    """Equations that are right, nearly right, or nothing."""
    names = st.sampled_from(["x", "y", "x'", "t", "pi", "k", "NN1(x, y)", "NN2(x)[1]", "2", "0.5", "1e308", "0"])
    calls = st.sampled_from(["exp", "log", "sqrt", "sin", "abs", "sign", "sigmoid", "tanh"])
    trees = st.recursive(
        names,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "^"]), inner).map(" ".join),
            st.tuples(calls, inner).map(lambda pair: f"{pair[0]}({pair[1]})"),
            st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
            inner.map(lambda text: f"-({text})"),
        ),
        max_leaves=25,
    )
    right = st.tuples(trees, trees).map(lambda pair: f"x'' = {pair[0]}\ny' = {pair[1]}")
    wrong = st.builds(lambda seed, text: mutate(random.Random(seed), text), st.integers(0, 2**32), right)
    none = st.one_of(st.text(max_size=80), st.integers(0, 2**32).map(lambda seed: garbage(random.Random(seed))))
    return st.one_of(right, wrong, none)


# --- tables ------------------------------------------------------------------------------------------

CELLS = [
    "0", "1", "3.5", "-1e3", "1e308", "1e309", "-1e309", "inf", "-Infinity", "nan", "NaN", "-nan", "NA", "n/a", "null",
    "None", "", "  ", "1,5", "1.234,5", "1 234", "1_000", "1'000", "1,234,567", "0x1F", "1e", "--1", "½", "∞", "3 mm",
    "2024-01-01", "12:30", "true", "''", '"', '""', '"a', 'a"b', '"a,b"', '"a\nb"', "9" * 400, "9" * 5000, "1e-400",
    "5e-324", "-0", "x" * 3000, "0" * 5000 + "1", "1,000" * 3000, "1 " * 3000, "1-" * 3000, "#DIV/0!", "1;2", "1|2",
    *CHARACTERS, *TRIPWIRES,
]  # fmt: skip
HEADERS = [
    "t", "time", "Time (s)", "t_s", "day", "x", "y", "x'", "y'", "v", "run", "subject", "u", "force", "Hare (k)", "NN1",
    "pi", "exp", "θ", "Größe", "", "T", "_", "a b", "a,b", "1", "2.5", "é" * 300, "a\nb", "'", '""', "drop", "index",
    "e" * 50_000, *NAMES_OF_PYTHON, *CHARACTERS, *TRIPWIRES,
]  # fmt: skip
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"]
COLUMNS = {
    "times": lambda k, j: str(k),
    "line": lambda k, j: repr(0.5 * k + j),
    "wave": lambda k, j: repr(math.sin(0.3 * k + j)),
    "slope": lambda k, j: repr(0.3 * math.cos(0.3 * k + j)),
    "counts": lambda k, j: str(k * k % 7),
    "labels": lambda k, j: "ab"[k % 24 > 12],
    "constant": lambda k, j: "9.81",
    "empty": lambda k, j: "",
    "huge": lambda k, j: repr(1.7e308 * math.sin(k + j)),
    "tiny": lambda k, j: repr(1e-310 * math.sin(k + j)),
    "restarts": lambda k, j: str(k % 8),
}


@st.composite
def tables(draw) -> tuple[bytes, str]:
    """A table as the bytes of a file, and the name of its first column."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    n_rows, n_columns = rng.choice([rng.randint(0, 5), rng.randint(6, 40)]), rng.randint(1, 8)
    separator = rng.choice([*[","] * 8, ";", "\t", "|", " ; "])
    mess = rng.choice([0, 0, 0, 0, 0.003, 0.02, 0.3, 1])
    header = [rng.choice(HEADERS) if rng.random() < 0.4 else f"c{j}" for j in range(n_columns)]
    header[0] = rng.choice([header[0], "t", "t"])
    kinds = ["times", *rng.choices(list(COLUMNS), k=n_columns - 1)]
    kinds = kinds if rng.random() < 0.8 else kinds[::-1]
    lines = [separator.join(header)]
    for k in range(n_rows):
        cells = [COLUMNS[kind](k, j) for j, kind in enumerate(kinds)]
        cells = [rng.choice(CELLS) if rng.random() < mess else cell for cell in cells]
        ragged = rng.random() < 0.2 * mess
        lines.append(separator.join(cells[: rng.randint(0, n_columns)] if ragged else cells))
    text = rng.choice([*["\n"] * 12, "\r\n", "\r", "\n\n", "\x85"]).join(lines)
    data = text.encode(
        rng.choice([*["utf-8"] * 30, *ENCODINGS]), "replace" if rng.random() < 0.8 else "backslashreplace"
    )
    for _ in range(rng.choice([*[0] * 9, 1, 3])):
        a = rng.randint(0, len(data))
        data = data[:a] + rng.randbytes(rng.randint(0, 4)) + data[a + rng.randint(0, 6) :]
    return data, header[0]


# --- specs -------------------------------------------------------------------------------------------

TABLE = "run,t,F,T,x,v,y,signal,void\n" + "".join(
    f"{run},{k},{k % 3},{20 + run},{1 + k % 3},{k % 4 - 2},{2 + k % 2},{k * 0.1},\n" for run in (1, 2) for k in range(9)
)
SPEC = {
    "data": {
        "file": "a.csv",
        "time": "t",
        "trajectory": "run",
        "columns": {"x'": "v", "s": "signal"},
        "inputs": {"F": {"column": "F", "interpolation": "linear"}},
        "covariates": ["T"],
        "noise": {"x": "5%", "y": 0.1},
        "holdout": {"last": "20%"},
    },
    "model": {
        "equations": "x'' = -k*x + NN1(x, x', T) + F\ny' = a*y + NN2(x, y)",
        "observe": {"s": "gain*x"},
        "positive": ["y"],
        "stays_zero": ["y"],
        "conserved": [],
    },
    "parameters": {"k": 1.0, "a": {"start": 0.5, "bounds": [0, 5], "unit": "1/s"}, "gain": {"prior": [1.2, 0.1]}},
    "initial": {"x": "free", "y": 1.0},
    "networks": {"NN1": {"hidden": [8], "activation": "tanh", "products": True}},
    "fit": {
        "stages": [],
        "solver": "auto",
        "loss": "auto",
        "restarts": 2,
        "device": "cpu",
        "tolerances": {"flow": 0.05, "gain": 1e-3},
    },
    "search": {
        "engines": ["sparse"],
        "operators": ["+", "*", "exp"],
        "library": {"degree": 3, "functions": ["sin"], "templates": ["monod", "x/(K + x)"], "terms": ["x*sqrt(y)"]},
        "max_terms": 4,
        "max_complexity": 20,
        "time_limit": 30,
        "forbidden": ["sign", "sin(exp)", "sin*exp"],
        "units": {"x": "m", "y": "kg", "t": "s"},
        "terms": {"NN2": {"sign": "negative", "increasing": ["x"], "guess": "x*y/(K + x)", "depends_on": ["x*y"]}},
        "prior": {"other": 3.4},
    },
}


def nested(depth: int, kind: type):
    """A list in a list, or a table in a table, and so on."""
    value = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


VALUES = [
    None, True, False, 0, 1, -1, 2, 10**9, 10**18, 10**400, 10**5000, -(10**5000), 1e308, -1e308, 5e-324, 0.0, -0.0,
    math.inf, -math.inf, math.nan, "", " ", "x", "y", "t", "x'", "NN1", "NN1(x)", "x/0", "log(-1)", "9**9**9",
    "exp(exp(exp(exp(9))))", "sin(sin(sin(x)))", "x" * 100_000, "(" * 10_000, "9" * 5000, "5%", "-5%", "%", "1e400%",
    "../../../etc/passwd", "/dev/zero", "/dev/null", "/proc/self/mem", "a" * 300 + ".csv", "a\0.csv", ".", "bad.csv",
    "empty.csv", "folder.csv", "monod", "kg", "kg*" * 3000 + "kg", "m**1000000000", "m**9**9**9", "10**10**10 m",
    "degC", "cuda:99", "cuda", "1 1", "1/0", [], {}, [[]], ["x"], ["x", "x"], [1], [None], ["x"] * 10_000, [0, 5],
    [math.nan, 1], [-math.inf, math.inf], [10**5000, 1], [10**9], [8] * 1000, ["NN1(x)"], ["x/0"], ["log(0)"],
    ["x**1e308"], ["x'"], ["x*" * 200 + "x"], {"x": 1}, {"": ""}, {"x": {"x": {"x": 1}}}, {1: 2}, {None: None}, (1, 2),
    datetime.date(2024, 1, 1), datetime.time(1), b"x", 1j, range(3), nested(50, dict), nested(50, list),
    nested(900, list), nested(20_000, list), *TRIPWIRES, *NAMES_OF_PYTHON, *CHARACTERS,
]  # fmt: skip
KEYS = [
    "x", "y", "k", "a", "gain", "NN1", "NN2", "NN3", "NN1[0]", "t", "x'", "signal", "s", "F", "T", "run", "value",
    "start", "bounds", "file", "time", "hidden", "sign", "degree", "unit", "fixed", "last", "trajectories", "zz", "",
    "a" * 100_000, *NAMES_OF_PYTHON, *CHARACTERS, *TRIPWIRES,
]  # fmt: skip


def mutate_spec(draw: random.Random) -> dict:
    """A spec of which one to four entries are replaced, dropped, added or damaged."""
    spec = copy.deepcopy(SPEC)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        table, key = spec, draw.choice(list(spec) or ["data"])
        while isinstance(table.get(key), dict) and table[key] and draw.random() < 0.8:
            table = table[key]
            key = draw.choice(list(table))
        kind, old = draw.random(), table.get(key)
        if kind < 0.55:
            table[key] = draw.choice(VALUES)
        elif kind < 0.7:
            table.pop(key, None)
        elif kind < 0.85:
            table[draw.choice(KEYS)] = draw.choice(VALUES)
        elif isinstance(old, str):
            table[key] = mutate(draw, old)
        elif isinstance(old, list):
            table[key] = [*old, draw.choice(VALUES)]
    return spec


def specs() -> st.SearchStrategy[dict]:
    """Specs that are wrong in some places."""
    return st.integers(0, 2**32).map(lambda seed: mutate_spec(random.Random(seed)))
