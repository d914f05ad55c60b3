"""The one place where failures leave the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from typer.core import TyperGroup

from udesys.errors import UdesysError, readable

PREFIX = "udesys: "


class Commands(TyperGroup):
    """The top group: what a command refuses becomes one message on stderr and exit status 1."""

    def invoke(self, ctx):
        with one_message():
            return super().invoke(ctx)


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Turn what a user can meet into one message and `typer.Exit(1)`; a defect keeps its traceback.

    Raises:
        typer.Exit: after the message.
    """
    try:
        yield
    except UdesysError as error:
        message = str(error)
    except BrokenPipeError:  # the reader of a pipe has gone; typer ends quietly
        raise
    except OSError as error:
        message = f"{error.filename}: {error.strerror}." if error.filename and error.strerror else f"{error}."
    except KeyboardInterrupt:
        message = "stopped."
    else:
        return
    typer.echo(PREFIX + readable(message), err=True)
    raise typer.Exit(1)
