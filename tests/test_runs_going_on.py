"""A run that is stopped at any moment goes on to the result of one that was not; what is not its own it refuses."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_runs import contents

from udesys import runs
from udesys.errors import UdesysError
from udesys.runs import files as run_files
from udesys.runs import folder as run_folder
from udesys.runs import going_on, manifest
from udesys.spec import load_spec
from udesys.systems import get_system, write_system

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A spec of Lotka-Volterra with the engine that needs nothing."""
    folder = tmp_path_factory.mktemp("spec")
    path = write_system(get_system("lotka_volterra"), folder)[1]
    path.write_text(path.read_text() + '\n[search]\nengines = ["sparse"]\n')
    return load_spec(path)


def report(law):
    """Stands for the figures and the report."""
    return {"report.html": f"<p>{law.closed_form.equation_texts(6)}", "figures/fit.png": b"\x89PNG"}


@pytest.fixture(scope="module")
def whole(spec, tmp_path_factory):
    """An uninterrupted run, and a copy of its folder as it was before every file that came to be in it."""
    base = tmp_path_factory.mktemp("whole")
    folder, moments, write = base / "a", [], run_files.write_whole

    def snapshot(path, content):
        if folder in path.parents:
            moments.append(base / f"moment{len(moments)}")
            shutil.copytree(folder, moments[-1])
        return write(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "write_whole", snapshot)
        runs.discover_into(folder, spec, illustrate=report)
    return folder, moments


def outcome(folder):
    """Everything in a run but the times that things took, the log, and the hashes of these."""
    found = {}
    for name, content in contents(folder).items():
        if name in ("run.json", "log.jsonl", ".lock"):
            continue
        found[name] = _without_times(json.loads(content)) if name.endswith(".json") else content
    return found


def _without_times(value):
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in ("timing_s", "seconds")}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


# --- going on ----------------------------------------------------------------------------------------


def test_a_stage_that_is_kept_is_not_run_again(spec, whole, monkeypatch):
    _, moments = whole
    calls = []
    for name in ("fit", "recover"):
        real = getattr(going_on, name)
        monkeypatch.setattr(going_on, name, lambda *a, real=real, n=name, **k: (calls.append(n), real(*a, **k))[1])
    engines, propose = [], runs.proposals.propose
    monkeypatch.setattr(runs.proposals, "propose", lambda *a: (engines.append(a[0].term), propose(*a))[1])
    last = {}
    for moment in moments:
        if (moment / "run.json").exists():
            state = json.loads((moment / "run.json").read_text())["state"]
            last[state] = moment
    last = {state: shutil.copytree(moment, moment.with_name(state)) for state, moment in last.items()}
    runs.discover_into(last["found"], spec, illustrate=report)
    assert calls == []
    runs.discover_into(last["fitted"], spec, illustrate=report)
    assert (calls, engines) == (["recover"], [])
    runs.discover_into(last["begun"], spec, illustrate=report)
    assert calls == ["recover", "fit", "recover"]
    assert engines[:2] == ["NN1", "NN2"]


def test_a_run_stopped_before_any_of_its_writes_ends_as_if_it_had_not_been(spec, whole):
    folder, moments = whole
    assert len(moments) > 20
    expected = outcome(folder)
    for moment in [*moments[::3], moments[-1]]:
        (moment / ".result.json.1234.part").write_bytes(b"cut sh")  # what a kill in the middle of a write leaves
        done = runs.discover_into(moment, spec, illustrate=report)
        assert outcome(moment) == expected, moment.name
        assert not done.there
        assert not list(moment.glob("*.part"))


def test_a_finished_run_says_so_and_changes_nothing(spec, whole):
    folder, _ = whole
    before = contents(folder)
    done = runs.discover_into(folder, spec, illustrate=report)
    assert done.there
    assert contents(folder) == before
    assert str(done.found) == str(runs.load_run(folder))


def test_the_two_halves_are_the_whole(spec, whole, tmp_path):
    fitted = runs.fit_into(tmp_path / "a", spec)
    assert not fitted.there and runs.fit_into(tmp_path / "a", spec).there
    with pytest.raises(UdesysError, match=r"there is no law in .*: it has a fit, but no law yet\. Go on with"):
        runs.load_run(tmp_path / "a")
    runs.recover_into(tmp_path / "a", illustrate=report)
    assert outcome(tmp_path / "a") == outcome(whole[0])
    assert runs.recover_into(tmp_path / "a", illustrate=report).there


def test_recover_again_keeps_the_fit(spec, whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(UdesysError, match="holds a law already, found with other engines"):
        runs.recover_into(folder, engines=["operon"], illustrate=report)
    runs.recover_into(folder, overwrite=True, illustrate=report)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert outcome(folder) == outcome(whole[0])


def test_another_search_in_the_same_place_keeps_the_fit(spec, whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    before = (folder / "model.safetensors").read_bytes()
    other = replace(spec, raw={**spec.raw, "search": {**spec.raw["search"], "max_terms": 2}})
    monkeypatch.setattr(going_on, "fit", None)
    runs.discover_into(folder, other, overwrite=True, illustrate=report)
    assert (folder / "model.safetensors").read_bytes() == before
    assert "max_terms = 2" in (folder / "spec.toml").read_text()


# --- what is not its own -----------------------------------------------------------------------------


def test_another_seed_spec_or_table_is_refused_and_named(spec, whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    before = contents(folder)
    other = {
        r"the seed \(0 there, 7 now\)": (spec, 7),
        r"\[search\] max_terms": (replace(spec, raw={**spec.raw, "search": {**spec.raw["search"], "max_terms": 2}}), 0),
        r"the data \(SHA-256 .* there, 000000000000\.\.\. now\)": (
            replace(spec, data=replace(spec.data, sha256="0" * 64)), 0,
        ),
    }  # fmt: skip
    for message, (asked, seed) in other.items():
        with pytest.raises(UdesysError, match=f"holds a run of something else: {message}.*--overwrite"):
            runs.discover_into(folder, asked, seed=seed, illustrate=report)
        assert contents(folder) == before


def test_a_run_that_is_replaced_is_there_until_the_new_one_ends(spec, whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    before = outcome(folder)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(going_on, "fit", stop)
        with pytest.raises(UdesysError, match="stopped before there was anything to keep"):
            runs.discover_into(folder, spec, seed=3, overwrite=True, illustrate=report)
    assert outcome(folder) == before and not (tmp_path / ".a.replaced").exists()
    with monkeypatch.context() as patch:
        patch.setattr(going_on, "recover", stop)
        with pytest.raises(UdesysError, match=r"stopped; the fit is kept in .*a. The same command goes on from there"):
            runs.discover_into(folder, spec, seed=3, overwrite=True, illustrate=report)
    assert outcome(tmp_path / ".a.replaced") == before
    runs.discover_into(folder, spec, seed=3, overwrite=True, illustrate=report)
    assert runs.load_result(folder)["seed"] == 3
    assert not (tmp_path / ".a.replaced").exists()


@pytest.mark.parametrize("damage", ["truncated", "a flipped byte", "of another run", "gone"])
def test_a_damaged_file_is_refused_by_name_and_nothing_is_lost(damage, spec, whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    other = runs.RunFolder(tmp_path / "b", manifest.Asked(spec={}, seed=9, data_sha256=""))
    names = [name for name in contents(folder) if name != ".lock"]
    other.put({name: f"{name} of another" for name in names if name != "run.json"}, "done")
    for name in names:
        content = (folder / name).read_bytes()
        changed = {
            "truncated": content[: len(content) // 2],
            "a flipped byte": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
            "of another run": (other.path / name).read_bytes(),
            "gone": None,
        }[damage]
        if changed is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(changed)
        before = contents(folder)
        if not (damage == "gone" and name == "run.json"):
            with pytest.raises(UdesysError, match=r"is missing|is damaged|is not what the run|schema|holds a run of"):
                runs.discover_into(folder, spec, illustrate=report)
        else:
            with pytest.raises(UdesysError, match=r"holds a run without its run.json"):
                runs.discover_into(folder, spec, illustrate=report)
        if name not in ("report.html", "figures/fit.png"):
            with pytest.raises(UdesysError):
                runs.load_run(folder)
        assert contents(folder) == before
        (folder / name).write_bytes(content)
    assert outcome(folder) == outcome(whole[0])


def test_a_damaged_report_is_drawn_again(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "a")
    expected = (folder / "report.html").read_bytes()
    (folder / "report.html").write_text("cut")
    (folder / "figures" / "fit.png").unlink()
    runs.redraw(folder, report)
    assert (folder / "report.html").read_bytes() == expected
    manifest.check_all(folder, manifest.read_manifest(folder)["files"])


# --- where it cannot write ---------------------------------------------------------------------------


def _hold(folder, asked, ready, done):
    with run_folder.hold(folder, asked):
        ready.set()
        done.wait(30)


def test_two_runs_in_one_place_are_refused(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    asked = manifest.Asked(spec={}, seed=0, data_sha256="")
    other = context.Process(target=_hold, args=(tmp_path / "a", asked, ready, done))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(UdesysError, match=r"a is in use by another udesys process. Wait for it to end"):
            with run_folder.hold(tmp_path / "a", asked):
                pass
    finally:
        done.set()
        other.join(30)
    with run_folder.hold(tmp_path / "a", asked):
        pass


def test_a_place_that_cannot_be_written_is_refused(spec, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for place, message in {
        tmp_path / "file": "file is a file, not a folder",
        tmp_path / "file" / "a": "file/a cannot be made: Not a directory",
    }.items():
        with pytest.raises(UdesysError, match=message):
            runs.discover_into(place, spec)
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UdesysError, match="mine holds files that are no run"):
        runs.discover_into(tmp_path / "mine", spec, overwrite=True)
    assert list(contents(tmp_path / "mine")) == ["thesis.txt"]


def test_a_full_disk_is_one_message_and_the_run_goes_on_when_there_is_space(spec, whole, tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        folder, ballast = tmp_path / "a", tmp_path / "ballast"
        for room in (0, 24_000, 60_000):
            ballast.write_bytes(b"\0" * (2 * 2**20 - 8192 - room))
            with pytest.raises(UdesysError, match=r"No space left on device\. Free some space"):
                runs.discover_into(folder, spec, illustrate=report)
            ballast.unlink()
        runs.discover_into(folder, spec, illustrate=report)
        assert outcome(folder) == outcome(whole[0])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# --- killed ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(tmp_path):
    spec = write_system(get_system("lotka_volterra"), tmp_path)[1]

    def start(folder):
        command = [sys.executable, "-m", "udesys", "discover", str(spec), "-o", str(folder), "--quiet"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    began = time.monotonic()
    assert start(tmp_path / "whole").wait(600) == 0
    seconds = time.monotonic() - began
    expected, random_ = outcome(tmp_path / "whole"), random.Random(5)
    killed, same = 0, 0
    for k in range(20):
        folder = tmp_path / f"run{k}"
        process = start(folder)
        time.sleep(random_.uniform(0.0, seconds))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        again = start(folder)
        _, said = again.communicate(timeout=600)
        assert again.returncode == 0, said.decode()
        same += outcome(folder) == expected
        print(f"{k}: {'killed' if killed else 'ended'}, same so far {same}")
    assert same == 20
    assert killed >= 15
