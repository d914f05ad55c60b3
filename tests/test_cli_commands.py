"""What holds for every command, comparisons included: its help, its example, and what a shell completes."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer
from test_architecture import HEAVY, ROOT, command_line, loaded_by
from test_cli import COMMANDS, run

from udesys import cli
from udesys.cli.bench import comparisons

NAMES = [[name] for name in COMMANDS] + [["bench", name] for name in comparisons()]


def command_of(path):
    """The command that a path of names leads to."""
    command = typer.main.get_command(cli.application())
    for name in path:
        context = command.make_context("udesys", [], resilient_parsing=True)  # a group lists its commands then
        command = command.get_command(context, name)
        assert command is not None, path
    return command


def test_every_command_of_the_folder_is_known():
    assert sorted(typer.main.get_command(cli.application()).list_commands(None)) == COMMANDS


@pytest.mark.parametrize("path", NAMES, ids=" ".join)
def test_the_help_of_a_command_says_what_it_does_and_gives_an_example(path):
    done = run(*path, "--help")
    assert done.exit_code == 0, done.output
    shown = " ".join(done.stdout.split())
    (example,) = re.findall(rf"Example: (udesys {' '.join(path)}.*?)$", shown)
    command = command_of(path)
    assert command.help and command.help[0].isupper() and "." in command.help
    unsaid = [p.name for p in command.params if p.name != "help" and not getattr(p, "help", None)]
    assert not unsaid, f"{' '.join(path)}: {unsaid} have no help"
    assert example == command.epilog.removeprefix("Example: ")


@pytest.mark.parametrize("path", NAMES, ids=" ".join)
def test_the_example_of_a_command_is_understood_by_it(path):
    command = command_of(path)
    words = shlex.split(command.epilog.removeprefix("Example: "))
    assert words[: len(path) + 1] == ["udesys", *path]
    command.make_context(path[-1], words[len(path) + 1 :])  # a usage error raises


# --- completion --------------------------------------------------------------------------------------


def completed(*words):
    """What bash would offer for the last word."""
    wanted = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_UDESYS_COMPLETE": "complete_bash"}
    command = [sys.executable, "-m", "udesys"]
    environment = {**os.environ, **wanted}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["udesys", "di"], ["discover"]),
        (["udesys", "export", "runs/a", "--to", ""], ["sbml", "python", "latex", "sympy"]),
        (["udesys", "doctor", "--t"], ["--test"]),
        (["udesys", "systems", "lotka_volterra_"], ["lotka_volterra_lecture"]),
        (["udesys", "bench", "lot"], ["lotka-volterra"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(words, offered):
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_the_shell_is_shown(shell):
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "udesys", "--show-completion", shell]
    done = subprocess.run(command, cwd=ROOT, env=named, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"_UDESYS_COMPLETE=complete_{shell}" in done.stdout


def test_completing_a_command_loads_no_library_for_numbers():
    wanted = {"COMP_WORDS": "udesys di", "COMP_CWORD": "1", "_UDESYS_COMPLETE": "complete_bash"}
    script = f"import os\nos.environ.update({wanted!r})\n{command_line()}"
    assert not (HEAVY | {"numpy"}) & loaded_by(script)
