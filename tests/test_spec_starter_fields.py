"""starter_spec of tables with fields on a line: the grid is found, and the spec runs as it is."""

import numpy as np
import pytest

from udesys.errors import DataError
from udesys.fit import check_enough
from udesys.spec import load_spec
from udesys.spec.starter import starter_spec

X, T = np.arange(12) * 0.5, np.arange(8) * 0.25
U = 1 / (1 + np.exp(3 * (X - 2 - T[:, None])))  # a front that moves


@pytest.fixture
def starter(tmp_path):
    """The starter of a table given as text; the spec that it wrote passes a check."""

    def make(text, said=None):
        (tmp_path / "a.csv").write_text(text)
        made = starter_spec(tmp_path / "a.csv", said=said)
        (tmp_path / "s.toml").write_text(made.text)
        read = load_spec(tmp_path / "s.toml")
        check_enough(read.model, read.data)
        assert read.model.grid == made.spec.model.grid
        return made

    return make


def wide(fields="u", more=""):
    header = ["t", *(f"{name}@{x:.1f}" for name in fields for x in X)]
    rows = [[t, *(v for k in range(len(fields)) for v in row ** (k + 1))] for t, row in zip(T, U, strict=True)]
    return "\n".join(",".join(map(str, row)) + more for row in [header, *rows]) + "\n"


def long(names="t,x,u", runs=("",), order="t"):
    rows = [(run, t, x, U[i, k]) for run in runs for i, t in enumerate(T) for k, x in enumerate(X)]
    rows = rows if order == "t" else sorted(rows, key=lambda row: (row[0], row[2], row[1]))
    return "\n".join([names, *(",".join(map(str, row if row[0] else row[1:])) for row in rows)]) + "\n"


def equations(made):
    return list(made.spec.model.equation_of.values())


def roles(made):
    return {guess.column: guess.role for guess in made.guesses}


def test_a_wide_table_gets_a_grid_and_diffusion(starter):
    made = starter(wide())
    assert equations(made) == ["u' = NN1(u) + D*dxx(u)"]
    assert str(made.spec.model.grid) == "12 points of x from 0 to 5.5, neumann ends"
    assert "changes in time, in 12 columns u@0.0 to u@5.5" in str(made)
    assert "x'" not in made.text  # x is the position here


def test_two_fields_spread_by_constants_of_their_own(starter):
    made = starter(wide("uv"))
    assert equations(made) == ["u' = NN1(u, v) + D_u*dxx(u)", "v' = NN2(u, v) + D_v*dxx(v)"]


@pytest.mark.parametrize("order", ["t", "x"])
def test_a_long_table_is_known_by_the_name_of_its_position_and_by_its_repeated_values(starter, order):
    made = starter(long(order=order))
    assert roles(made) == {"t": "time", "x": "position", "u": "state"}
    assert equations(made) == ["u' = NN1(u) + D*dxx(u)"]
    assert made.spec.data.points == tuple(X)


def test_a_long_table_may_have_runs_and_other_names(starter):
    made = starter(long("run,time (s),depth_cm,conc", runs=("A", "B")))
    assert roles(made) == {"run": "trajectory", "time (s)": "time", "conc": "state", "depth_cm": "position"}
    assert list(made.spec.data.runs) == ["A", "B"]
    assert made.spec.data.position == "depth_cm"


def test_an_input_acts_at_all_points_and_a_field_may_be_left_out(starter):
    header, *rows = wide("uv").splitlines()
    text = "\n".join([f"{header},force", *(f"{row},{np.sin(3 * k)}" for k, row in enumerate(rows))]) + "\n"
    made = starter(text, said={"v": "left out"})
    assert roles(made) == {"t": "time", "u": "state", "v": "left out", "force": "input"}
    assert equations(made) == ["u' = NN1(u, force) + D*dxx(u)"]


def test_a_column_beside_the_fields_is_no_state(starter):
    header, *rows = wide().splitlines()
    text = "\n".join([f"{header},w", *(f"{row},{k**2}" for k, row in enumerate(rows))]) + "\n"
    made = starter(text)
    assert roles(made)["w"] == "left out"
    assert equations(made) == ["u' = NN1(u) + D*dxx(u)"]


def test_a_table_whose_positions_do_not_repeat_holds_no_fields(starter):
    t = np.arange(20) * 0.1
    made = starter("t,x\n" + "".join(f"{a},{np.cos(a)}\n" for a in t))
    assert made.spec.model.grid is None


def test_columns_at_odd_positions_are_refused(starter):
    with pytest.raises(DataError, match="positions must be evenly spaced, but x = 4 follows x = 1"):
        starter("t,u@0,u@0.5,u@1,u@4\n" + "".join(f"{k},1,2,3,{k}\n" for k in range(8)))
