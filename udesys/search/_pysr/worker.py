"""The child process that runs PySR: started by its path, without torch and without udesys.

Julia and torch in one process can crash in either import order (pytorch#78829, PythonCall.jl#215), and what is
compiled for one search serves the next. Requests come in as lines of JSON through what was the standard input,
answers go out through what was the standard output. Both are moved to other descriptors before Julia starts, so
nothing that Julia reads or prints is in their way. The process ends when the other end of its input closes.
"""

import json
import os
import queue
import sys
import threading

LONGEST_ERROR = 500  # characters; a Julia stack trace has pages
# A first small search compiles what the real one calls, so that compiling takes nothing off its time.
WARM_UP = {"niterations": 1, "populations": 2, "run_id": "warm_up"}


def main() -> int:
    """Serve requests until the input closes."""
    requests, say = open_channels()
    try:
        from pysr import PySRRegressor
    except BaseException as error:  # juliapkg raises a bare Exception, and Julia may ask to exit
        say(event="unavailable", error=describe(error))
        return 1
    say(event="ready")
    compiled: set[str] = set()
    while True:
        serve(requests.get(), PySRRegressor, compiled, say)


def open_channels():
    """The queue of requests, and a function that sends an answer."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    answers = os.fdopen(outgoing, "w", encoding="utf-8")
    requests: queue.SimpleQueue = queue.SimpleQueue()

    def listen():
        with os.fdopen(incoming, encoding="utf-8") as lines:
            for line in lines:
                requests.put(json.loads(line))
        os._exit(0)  # who asked is gone, and a search under way is of no use

    def say(**answer):
        answers.write(f"\n{json.dumps(answer)}\n")  # on a line of its own whatever was printed before
        answers.flush()

    threading.Thread(target=listen, daemon=True).start()
    return requests, say


def serve(request: dict, regressor, compiled: set[str], say) -> None:
    """Run one search and say how it went."""
    number = request["number"]
    try:
        options, data, kind = arguments(request)
        dropped = ""
        if kind not in compiled:
            _, dropped = fitted(regressor, {**options, **WARM_UP}, data)
            compiled.add(kind)
        say(event="compiled", number=number)
        if dropped:
            options = without_guesses(options)
        model, dropped_now = fitted(regressor, options, data)
        say(event="done", number=number, equations=equation_texts(model.equations_), note=dropped or dropped_now)
    except Exception as error:
        say(event="failed", number=number, error=describe(error))


def arguments(request: dict) -> tuple[dict, dict, str]:
    """Keyword arguments of the regressor and of its fit, and a name for what has to be compiled for them."""
    import numpy as np

    options, data = dict(request["regressor"]), dict(request["fit"])
    if "constraints" in options:  # PySR tells a pair from a number by its being a tuple, which JSON has not
        options["constraints"] = {name: tuple(pair) for name, pair in options["constraints"].items()}
    for name in ("X", "y", "weights"):
        data[name] = np.asarray(data[name], float)
    types = [options.get("binary_operators"), options.get("unary_operators"), bool(options.get("guesses"))]
    return options, data, json.dumps([*types, sorted(data)])


def fitted(regressor, options: dict, data: dict):
    """The fitted model, without the guesses where PySR refuses them, and what it said then."""
    try:
        return regressor(**options).fit(**data), ""
    except Exception as error:
        if not options.get("guesses"):
            raise
        refused = describe(error)
    return regressor(**without_guesses(options)).fit(**data), f"PySR searched without the guesses given: {refused}"


def without_guesses(options: dict) -> dict:
    """The options with no formula to start from."""
    return {name: value for name, value in options.items() if name not in ("guesses", "fraction_replaced_guesses")}


def equation_texts(equations) -> list[str]:
    """The formulas of a frame of equations; of the first one where there is a list, as for several outputs.

    pandas reads the column as floats where every formula is a bare number.
    """
    frame = equations[0] if isinstance(equations, list) else equations
    return [str(text) for text in frame["equation"]]


def describe(error: BaseException) -> str:
    """One line about an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_ERROR]


if __name__ == "__main__":
    sys.exit(main())
