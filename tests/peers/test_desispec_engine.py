"""Engine desispec: its four steps by desispec's own commands, against the truth, and our extraction against theirs."""

import importlib

import fitsio
import numpy as np
import pytest
from desispec.io import read_frame

from skyharvest.reduction.desi.extraction.frame import extract_frame
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.make_tables import make_tables
from skyharvest.reduction.desi.production import Production, freeze
from skyharvest.reduction.desi.psf.file import read_psf
from skyharvest.reduction.desi.psf.lines import read_lines
from skyharvest.reduction.desi.records import DONE, Records
from skyharvest.reduction.desi.run_tasks import run_job
from skyharvest.reduction.desi.settings import frozen
from skyharvest.simulate.desi_night.camera import cameras
from skyharvest.simulate.desi_night.night import NIGHT, Plan, simulate
from skyharvest.simulate.desi_night.psf import off
from small_production import settings

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1800)]

WAVE = (4300.0, 4500.0, 0.8)
DEAD = 9
ARCS, FLAT, SCIENCE = (1, 2), 3, 4
MOVED = (-0.10, 0.18)  # of the science exposure


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A night of one camera, as far as its spectra are extracted; nobody writes there."""
    for name in ("specter.psf", "gpu_specter.core", "specex._libspecex"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{error}: github.com/desihub has specter, gpu_specter and specex, which no registry has")
    root = tmp_path_factory.mktemp("night")
    plan = Plan(arcs=2, flats=1, science=1, many_cosmics=None, missing=None, truncated=False, cameras=("b0",))
    simulate(root, plan)
    with (root / "calibration/spec/sp0/b0.yaml").open("a") as stream:
        stream.write(f"    BROKENFIBERS: '{DEAD}'\n")
    # specex has a list of lines of its own, with another one in the place of one that the simulated lamps have.
    lines = "".join(f"XeI {wave} 3 100\n" for wave in read_lines())
    (root / "specex_linelist_desi.txt").write_text(lines)
    given = settings(root, engine="desispec", raw=str(root / "data"))
    given |= {name: str(root / name) for name in ("calibration", "desimodel")}
    all_fibers = {"more": f"--nspec {plan.n_fiber}"}
    given["options"]["psf"] |= all_fibers
    given["options"]["extract"] |= all_fibers | {"b": list(WAVE), "barycentric": False}
    directory = root / "redux"
    freeze(directory, frozen(given))
    make_tables(root / "data", directory)
    made = Production(directory, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECEXDATA", str(root))
        for name, value in made.commands.environment.items():
            patch.setenv(name, value)
        for step in ("preproc", "psf", "psfnight", "traceshift", "extract"):
            for job in made.jobs(step, 1e9):
                run_job(made, job, 2, root / "done.json")
    return made


def test_all_tasks_are_done_and_leave_nothing_else(reduced):
    records = Records(reduced.directory)
    tasks = [task.key for task in reduced.tasks() if task.key.kind in ("psf", "psfnight", "traceshift", "extract")]
    assert {key: records.get(key).reason for key in tasks if records.get(key).state != DONE} == {}
    assert list(reduced.directory.rglob(".task-*")) == []


def test_traces_are_where_the_light_is(reduced):
    camera, lit = cameras()["b0"], np.arange(25) != DEAD

    def psf(kind, owner):
        return read_psf(reduced.commands.outputs(Key(kind, owner, "b0"))[0])

    assert off(psf("psfnight", str(NIGHT)), camera, (0, 0), lit) < 0.06
    assert off(psf("traceshift", f"{NIGHT}/{SCIENCE:08d}"), camera, MOVED, lit) < 0.12


def test_we_extract_the_same_from_the_same(reduced, tmp_path):
    owner = f"{NIGHT}/{SCIENCE:08d}"
    image, psf, theirs = (
        reduced.commands.outputs(Key(k, owner, "b0"))[0] for k in ("preproc", "traceshift", "extract")
    )
    extract_frame(image, psf, tmp_path / "frame.fits.gz", np.arange(WAVE[0], WAVE[1] + 0.4, WAVE[2]), psf_error=0.01)
    peer, own = read_frame(str(theirs)), read_frame(str(tmp_path / "frame.fits.gz"))
    assert np.allclose(peer.wave, own.wave)
    good = (peer.mask == 0) & (own.mask == 0) & (own.ivar > 0)
    assert good.mean() > 0.9
    apart = (np.abs(peer.flux - own.flux) * np.sqrt(own.ivar))[good]
    assert np.median(apart) < 0.05
    assert apart.max() < 0.5
    assert fitsio.read_header(str(theirs))["SPECTER"]
