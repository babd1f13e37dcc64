"""What another production gives, from an archive: whole files only, what is absent and what is out of reach apart."""

import hashlib

import fitsio
import numpy as np
import pytest

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_healpix import path_of, read_healpix
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.records import BROKEN, DONE, FAILED, Records
from skyharvest.reduction.desi.release import write_release
from skyharvest.reduction.desi.run_tasks import JobIncomplete, run_job
from skyharvest.reduction.desi.start_from import take_pixels
from small_production import NIGHT, PIXELS, production


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01")


def written(path, *, sums=""):
    """Write a file of an archive, and its sum into the list of its directory, if that is named; return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fitsio.write(str(path), np.arange(1000.0), clobber=True)
    if sums:
        with (path.parent / sums).open("a") as stream:
            stream.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return path.read_bytes()


def run(made, step, name):
    """Run a job; return the record of each camera, and whether the job is to be run again."""
    broken = False
    try:
        run_job(made, made.job(step, name), 2, made.directory / "done.json")
    except JobIncomplete:
        broken = True
    owner = name.replace("-", "/")
    return {camera: Records(made.directory).get(Key(step, owner, camera)) for camera in ("b0", "r0", "z0")}, broken


def test_what_the_archive_lacks_fails_alone_and_what_is_out_of_reach_is_tried_again(tmp_path):
    calibnight = tmp_path / f"redux/iron/calibnight/{NIGHT}"
    names = {camera: f"psfnight-{camera}-{NIGHT}.fits" for camera in ("b0", "r0", "z0")}
    content = {
        camera: written(calibnight / names[camera], sums=f"redux_iron_calibnight_{NIGHT}.sha256sum")
        for camera in ("b0", "z0")
    }
    with serve(tmp_path / "redux") as served:
        start = {"production": f"{served.url}/iron", "products": ["psfnight"]}
        made = production(tmp_path, start_from=start)
        served.misbehave = lambda handler, _: names["z0"] in handler.path and (handler.answer(503, b"") or True)
        records, broken = run(made, "psfnight", str(NIGHT))
        assert broken
        assert {camera: one.state for camera, one in records.items()} == {"b0": DONE, "r0": FAILED, "z0": BROKEN}
        assert "does not exist" in records["r0"].reason
        served.misbehave = None
        served.forget()
        records, broken = run(production(tmp_path, start_from=start), "psfnight", str(NIGHT))
    assert not broken
    assert records["z0"].state == DONE
    assert not [path for path in served.asked if names["b0"] in path or names["r0"] in path]
    own = made.directory / f"calibnight/{NIGHT}"
    assert {path.name: path.read_bytes() for path in own.iterdir()} == {names[one]: content[one] for one in content}


def test_a_damaged_file_is_not_taken(tmp_path):
    root = tmp_path / f"redux/iron/exposures/{NIGHT}/00000005"
    names = {camera: f"cframe-{camera}-00000005.fits.gz" for camera in ("b0", "r0", "z0")}
    for camera, sums in (("b0", f"redux_iron_exposures_{NIGHT}_00000005.sha256sum"), ("r0", ""), ("z0", "")):
        written(root / names[camera], sums=sums)
    (root / names["b0"]).write_bytes((root / names["r0"]).read_bytes() + b"\0")  # not what its sum says
    (root / names["z0"]).write_bytes((root / names["z0"]).read_bytes()[:-9])  # without a sum, gzip tells
    with serve(tmp_path / "redux") as served:
        made = production(tmp_path, start_from={"production": f"{served.url}/iron", "products": ["cframe"]})
        records, _ = run(made, "cframe", f"{NIGHT}-00000005")
    assert {camera: one.state for camera, one in records.items()} == {"b0": FAILED, "r0": DONE, "z0": FAILED}
    assert "the archive says" in records["b0"].reason
    assert "cannot be unpacked" in records["z0"].reason


def test_pixels_come_from_the_releases_list_of_tiles(tmp_path):
    first = production(tmp_path / "first")
    for pix64 in (9712, 9713):
        written(first.commands.outputs(Key("spectra", f"healpix/main/dark/97/{pix64}", ""))[1])
    write_release(first.directory)
    second = production(tmp_path / "second", pixels=())
    path_of(second.directory, NIGHT).unlink()
    with serve(tmp_path / "first") as served, Archive(f"{served.url}/small") as archive:
        assert take_pixels(archive, second.directory) == [second.tables[NIGHT]]
        assert take_pixels(archive, second.directory, [NIGHT])
    assert served.count("/small/healpix/tilepix.fits") == 1
    found = read_healpix(path_of(second.directory, NIGHT))
    assert [(one.expid, one.spectro, one.healpix) for one in found] == [
        (one.expid, one.spectro, one.healpix) for one in PIXELS
    ]
    with Archive(str(first.directory)) as archive, pytest.raises(InputError, match=r"desi_reduction\.exposure_tables"):
        take_pixels(archive, second.directory, [NIGHT + 1])
