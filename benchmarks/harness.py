"""Time contenders fairly in one run, and write down what was measured.

Fair means three things here. Contenders take turns in *blocks*: after a call into
OpenBLAS (NumPy, SciPy) its workers spin for some milliseconds on the cores that torch
wants, and the reverse, so every block begins with a pause and warm-up calls that are
not counted. Ratios are taken within a round, so that a slow minute of the machine hits
all contenders alike, and their median over the rounds is reported. And a time stands
beside the quality of its answer: a contender that fails or does not converge gives the
reason and no number.
"""

import argparse
import datetime
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "gpytorch", "threadpoolctl")
PAUSE = 0.05  # seconds for another library's spinning workers to go to sleep


class NotConverged(RuntimeError):
    """A contender's answer is not one; the message says why."""


@dataclass
class Contender:
    """Somebody who answers the question.

    Attributes
    ----------
    name : str
    call : callable
        What is timed.
    quality : callable (answer of `call`) -> dict of float
        Raises NotConverged where the answer deserves no time.
    """

    name: str
    call: object
    quality: object = staticmethod(lambda answer: {})


def compete(case, contenders, *, rounds=5, block=0.3):
    """Rows of results, one per contender; ratios are to the first of them.

    Parameters
    ----------
    case : dict
        What tells this comparison from the others (n, d, ...).
    contenders : list of Contender
    rounds : int
        How often all of them take their turn.
    block : float
        Seconds of one turn (at least one call).
    """
    quality, failed = {}, {}
    for contender in contenders:
        try:
            quality[contender.name] = contender.quality(contender.call())
        except (NotConverged, ArithmeticError, MemoryError, RuntimeError) as error:
            failed[contender.name] = f"{type(error).__name__}: {error}"
    times = {name: [] for name in quality}
    for _ in range(rounds):
        for contender in contenders:
            if contender.name in times:
                times[contender.name].append(_block(contender.call, block))
    first = times.get(contenders[0].name)
    rows = []
    for contender in contenders:
        name = contender.name
        row = {"case": case, "contender": name, "seconds": None, "ratio": None}
        if name in failed:
            row["failed"] = failed[name]
        else:
            row["seconds"] = statistics.median(times[name])
            row["spread"] = [min(times[name]), max(times[name])]
            row["quality"] = quality[name]
            if first:
                pairs = zip(times[name], first, strict=True)
                row["ratio"] = statistics.median(t / f for t, f in pairs)
        rows.append(row)
        show(row)
    return rows


def _block(call, seconds):
    """Median seconds of a call within one block, after a pause and a warm-up."""
    gc.collect()
    time.sleep(PAUSE)
    began = time.perf_counter()
    call()
    once = time.perf_counter() - began
    if once < seconds / 4:  # the first call may have met spinning workers
        until = time.perf_counter() + seconds / 4
        while time.perf_counter() < until:
            call()
    durations = []
    until = time.perf_counter() + seconds
    while not durations or time.perf_counter() < until:
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def show(row):
    """One line of a result on the terminal."""
    case = " ".join(f"{key}={value}" for key, value in row["case"].items())
    if row.get("failed"):
        print(f"{case:28} {row['contender']:30} {row['failed']}", flush=True)
        return
    ratio = f"{row['ratio']:8.2f}" if row.get("ratio") is not None else " " * 8
    seconds = row.get("seconds")
    value = f"{1e3 * seconds:11.3f} ms" if seconds is not None else " " * 14
    quality = " ".join(f"{k}={v:.6g}" for k, v in row.get("quality", {}).items())
    print(f"{case:28} {row['contender']:30}{value}{ratio}  {quality}", flush=True)


def product_rate(n=2000, dtype=torch.float64, device="cpu", repeats=5):
    """Flop per second of one matrix product of order n: the floor's yardstick."""
    A = torch.randn(n, n, dtype=dtype, device=device)
    out = torch.empty_like(A)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        torch.mm(A, A, out=out)
        torch.get_device_module(A.device).synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds[1:])


def problem(n, d, seed=0, n_test=0):
    """Rows (n, d) and a smooth function of them with noise (standard deviation 0.1)."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, (n + n_test, d))
    directions = rng.standard_normal((d, 4)) / np.sqrt(d)
    y = np.sin(2 * X @ directions).sum(axis=1) + 0.1 * rng.standard_normal(n + n_test)
    if n_test:
        return X[:n], y[:n], X[n:], y[n:]
    return X, y


def peak_memory(setup, work):
    """Bytes at the peak of `work` above what the process held after `setup`.

    Both are Python source; they run in a process of their own. Linux: the kernel's
    high-water mark of resident memory, set back before `work`.
    """
    code = f"""
import re
def status(field):
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(field + r":\\s+(\\d+)", file.read()).group(1))
{setup}
import gc; gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
{work}
print(status("VmHWM") - before)
"""
    return float(run_python(code).split()[-1])


def run_python(code, **variables):
    """What a fresh interpreter prints for this source, with environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def machine():
    """What the numbers depend on beside the code."""
    facts = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if hasattr(os, "getloadavg"):  # who else was at work, at the end of the run
        facts["load_average"] = round(os.getloadavg()[1], 1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY"):
        if name in os.environ:
            facts[name] = os.environ[name]
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line for line in file if line.startswith("model name")]
        facts["processor"] = names[0].split(":")[1].strip()
        facts["memory_gib"] = round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        )
    except (OSError, IndexError, ValueError):
        pass
    return facts


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def options(description, **extra):
    """The command line that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small cases, few rounds")
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    for name, settings in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser.parse_args()


def joined(rows, path):
    """The rows, after those of an earlier run that are of other cases."""
    if path is None or not path.exists():
        return rows
    cases = [one["case"] for one in rows]
    before = json.loads(path.read_text())["rows"]
    return [one for one in before if one["case"] not in cases] + rows


def save(name, rows, args, *, script=None, **facts):
    """Write the rows, and all that they depend on, as JSON."""
    suffix = "-quick" if args.quick else ""
    path = args.out or RESULTS / f"{name}{suffix}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = " --quick" if args.quick else ""
    document = {
        "benchmark": name,
        "command": f"python benchmarks/{script or f'bench_{name}'}.py{flags}",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        **facts,
        "rows": rows,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"-> {path.name}")
