"""Peak memory of one likelihood with gradient, in units of n x n float64 matrices."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn_torchgp import TorchGPRegressor

def memory(line):
    with open("/proc/self/status") as status:
        return 1024 * int(next(s for s in status if s.startswith(line)).split()[1])

def model(n):
    X = np.random.RandomState(0).rand(n, 10)
    kernel = ConstantKernel() * RBF(np.ones(10)) + WhiteKernel()
    return TorchGPRegressor(kernel, optimizer=None).fit(X, X.sum(1)), kernel

small, kernel = model(700)  # loads and warms up every library on the path
small.log_marginal_likelihood(kernel.theta, eval_gradient=True)
n = 3000
fitted, kernel = model(n)
before = memory("VmRSS")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # the peak starts again from here
fitted.log_marginal_likelihood(kernel.theta, eval_gradient=True)
print((memory("VmHWM") - before) / (8 * n * n))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_likelihood_and_gradient_take_one_matrix():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    matrices = float(run.stdout)
    # Pages of the upper triangle that nobody writes never become resident.
    assert 0.5 < matrices < 1.5, matrices
