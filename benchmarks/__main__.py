"""Every benchmark that runs on a CPU, one after the other: ``python benchmarks``."""

import subprocess
import sys
import time
from pathlib import Path

NAMES = ("import", "lml", "fit", "predict", "memory")

for name in NAMES:
    began = time.perf_counter()
    script = Path(__file__).with_name(f"bench_{name}.py")
    subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=True)
    print(f"{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
