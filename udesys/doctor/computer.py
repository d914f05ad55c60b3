"""The computer: cores, memory, graphics cards, where compiled code is kept, and the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from udesys.doctor.findings import Finding, setting

DEVICES, OTHER = "Devices", "Other"
USE_GPU = 'a spec asks for it by  [fit] device = "cuda"'
DRIVER = Path("/proc/driver/nvidia/version")
SIGNS = "±θ²·"  # of figures, units and names


def look_at_devices() -> Iterator[Finding]:
    """Processor cores, memory and graphics cards."""
    yield Finding(group=DEVICES, name="cpu", state="ok", text=_processor(), needed=True)
    yield _graphics()


def look_at_compiled_code() -> Iterator[Finding]:
    """Whether the compiled simulator can be loaded, and kept for the next time."""
    about = {"group": OTHER, "name": "numba cache"}
    try:
        from udesys.integrate import machine

        place = Path(machine._simulate.stats.cache_path)
    except Exception as error:  # numba refuses to compile what it cannot keep
        text = f"the simulator does not load: {str(error).strip().partition(chr(10))[0]}"
        yield Finding(state="broken", text=text, remedy=_other_cache(), needed=True, **about)
        return
    if not _writable(place):
        text = f"{place} cannot be written: the simulator is compiled anew each time, which takes some seconds."
        yield Finding(state="broken", text=text, remedy=_other_cache(), **about)
        return
    known = any(place.glob("machine.*.nbi"))
    text = "the simulator is compiled" if known else "writable; the first discovery compiles for some seconds"
    yield Finding(state="ok", text=f"{text}, {place}", **about)


def look_at_terminal() -> Iterator[Finding]:
    """Whether the terminal can show what is printed."""
    encoding = getattr(sys.stdout, "encoding", None) or "none"
    kind = "a terminal" if sys.stdout.isatty() else "no terminal: progress comes as plain lines"
    try:
        SIGNS.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        text = f"{kind}; its encoding {encoding} lacks letters such as θ or ² that names and units may have."
        text = text.encode("ascii", "backslashreplace").decode()
        yield Finding(group=OTHER, name="terminal", state="broken", text=text, remedy=setting("PYTHONUTF8", "1"))
        return
    text = f"{kind}, {encoding}, {shutil.get_terminal_size().columns} columns"
    yield Finding(group=OTHER, name="terminal", state="ok", text=text)


def _processor() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{cores} cores for this process"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        text += f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory"
    import torch

    return f"{text}, {torch.get_num_threads()} threads in torch"


def _graphics() -> Finding:
    """A card that computes in double precision through torch, or what is in the way."""
    import torch

    about = {"group": DEVICES, "name": "gpu"}
    seen = DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if torch.version.cuda is None:
        remedy = _torch_with_cuda(torch.__version__)
        if seen:
            text = f"an NVIDIA card is there, but torch {torch.__version__} is built without CUDA."
        else:
            text = f"none found, and torch {torch.__version__} is built without CUDA. With an NVIDIA card:"
        return Finding(state="missing", text=text, remedy=remedy, **about)
    if not torch.cuda.is_available():
        if not seen:
            return Finding(state="missing", text="no NVIDIA card found; everything runs on the processor.", **about)
        text = f"torch is built for CUDA {torch.version.cuda}, but the card or its driver does not answer."
        return Finding(state="broken", text=text, remedy="nvidia-smi  # update the driver it names", **about)
    try:
        torch.ones(2, dtype=torch.float64, device="cuda").sum().item()
    except Exception as error:
        text = f"{torch.cuda.get_device_name(0)} does not compute: {str(error).strip().partition(chr(10))[0]}"
        return Finding(state="broken", text=text, remedy=_torch_with_cuda(torch.__version__), **about)
    return Finding(state="ok", text=f"{_cards(torch)}, CUDA {torch.version.cuda}; {USE_GPU}", **about)


def _cards(torch) -> str:
    cards = []
    for k in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(k).total_memory / 2**30
        cards.append(f"{torch.cuda.get_device_name(k)} with {memory:.0f} GiB")
    return ", ".join(cards)


def _torch_with_cuda(version: str) -> str:
    """PyPI's torch is built with CUDA for Linux, and without for Windows."""
    index = " --index-url https://download.pytorch.org/whl/cu130" if sys.platform == "win32" else ""
    return f'python -m pip install --force-reinstall "torch=={version.partition("+")[0]}"{index}'


def _other_cache() -> str:
    return setting("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "numba"))


def _writable(place: Path) -> bool:
    """Whether a file may be made there, or in the nearest folder above that exists."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return os.access(place, os.W_OK)
