"""Every benchmark that needs no GPU and no data, in turn: ``python benchmarks``."""

import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "lml",
    "fit",
    "calls",
    "predict",
    "threads",
    "memory",
    "import",
    "dtype",
    "evaluations",
    "classification_speed",
)

for name in NAMES:
    began = time.perf_counter()
    script = Path(__file__).with_name(f"bench_{name}.py")
    subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=True)
    print(f"{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
