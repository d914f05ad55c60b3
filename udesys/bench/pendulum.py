"""A measured pendulum beside its published law.

Kaheman, Fasel, Bramburger, Strom, Kutz & Brunton (2022), arXiv:2205.06231: a single pendulum on a fixed cart,
theta'' = 64.22 sin(theta) - 0.0672 theta' with theta zero upright. The table is not part of this package; it has the
columns t_s, theta_rad, omega_rad_s and split (id or val).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TITLE = "a measured pendulum: sin(theta) from theta'' = NN(theta) - c*theta'"
EXAMPLE = "udesys bench pendulum pendulum.csv"
PUBLISHED = 64.22  # 1/s^2, arXiv:2205.06231
SPEC = {
    "data": {
        "time": "t_s",
        "trajectory": "split",
        "columns": {"theta": "theta_rad", "theta'": "omega_rad_s"},
        "holdout": {"trajectories": ["val"]},
    },
    "model": {"equations": "theta'' = NN(theta) - c*theta'"},
}


def run(
    table: Annotated[Path, typer.Argument(help="CSV with t_s, theta_rad, omega_rad_s and split (id or val).")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the networks.")] = 0,
) -> None:
    """Discover the law of a measured pendulum from its identification part and simulate the validation part."""
    from udesys.discover import discover
    from udesys.spec import load_spec

    spec = load_spec({**SPEC, "data": {"file": table.name, **SPEC["data"]}}, folder=table.parent)
    law = discover(spec.model, spec.data, seed=seed, heldout=spec.heldout, options=spec.options)
    typer.echo(str(law))
    typer.echo(f"\nPublished: theta'' = {PUBLISHED} sin(theta) - 0.0672 theta'")
    if law.residuals["NN"].expression == "c0*sin(theta)":
        value = law.residuals["NN"].constants["c0"].value
        typer.echo(f"Coefficient of sin(theta): {value:.2f}, {100 * (value / PUBLISHED - 1):+.2f} % of the published")
    error = law.error["heldout"]
    typer.echo(f"Open loop from the first row over the validation part: RMSE theta {error['theta']:.4f} rad")
