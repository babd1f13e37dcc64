"""What stands in for specter, by what desispec makes of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reduction_camera import camera, psf_of
from skyharvest.reduction.desi.psf.file import write_psf

pytestmark = pytest.mark.peers

READ = """
import sys
import numpy as np
from skyharvest.reduction.desi.without_specter import stand_in
stand_in()
stand_in()
from desispec.io import read_xytraceset
traces = read_xytraceset(sys.argv[1])
wave = np.array([7500.0, 7800.0])
fibers = np.arange(traces.nspec)
read = {"all": traces.x_vs_wave(fibers, wave), "middle": traces.x_vs_wave(fibers, 7500.0)}
np.savez(sys.argv[2], **read, one=traces.y_vs_wave(3, wave))
"""


def test_desispec_reads_the_traces_that_were_written(tmp_path):
    psf = psf_of(camera(n_y=700))
    write_psf(tmp_path / "psf.fits", psf, "z0")
    arguments = [sys.executable, "-c", READ, tmp_path / "psf.fits", tmp_path / "read.npz"]
    library = str(Path(__file__).resolve().parents[4] / "scripts")
    run = subprocess.run(arguments, env={"PYTHONPATH": library}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    x, y = psf.traces(np.array([7500.0, 7800.0]))
    with np.load(tmp_path / "read.npz") as read:
        np.testing.assert_allclose(read["all"], x, atol=1e-9)
        np.testing.assert_allclose(read["middle"], x[:, 0], atol=1e-9)
        np.testing.assert_allclose(read["one"], y[3], atol=1e-9)
