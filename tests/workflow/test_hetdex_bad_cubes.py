"""Cubes that are not what they should be, beside good ones: what becomes of their rows, and of the others."""

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

RELEASE = "resources/demo/hetdex"
TRUNCATED, OTHER_SHAPE, MASKED, PLAIN = "20190301012_034", "20200918021_106", "20170302011_013", "20200918021_095"


def cube(root: Path, name: str) -> Path:
    shotid = name.partition("_")[0]
    return root / f"datacubes/{shotid}/dex_cube_{name}.fits"


def rewrite(path: Path, change) -> None:
    """Write a cube anew, uncompressed, its arrays changed."""
    with fits.open(path) as hdus:
        images = [fits.ImageHDU(change(hdu.name, hdu.data), hdu.header, name=hdu.name) for hdu in hdus[1:]]
        fits.HDUList([fits.PrimaryHDU(header=hdus[0].header), *images]).writeto(path, overwrite=True)


@pytest.fixture(scope="module")
def archive(demo: Path, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bad") / "pdr1"
    shutil.copytree(demo / RELEASE, root)
    whole = cube(root, TRUNCATED).read_bytes()
    cube(root, TRUNCATED).write_bytes(whole[: len(whole) // 2])
    rewrite(cube(root, OTHER_SHAPE), lambda _, data: data[:100])
    rewrite(cube(root, MASKED), lambda name, data: data | 1 if name == "MASK" else data)
    rewrite(cube(root, PLAIN), lambda _, data: data)
    return root


def settings(demo: Path, archive: Path) -> list[str]:
    csv_ = demo / "resources/demo/targets.csv"
    return [
        "--config",
        f"targets={{csv: {csv_}, ra: RA_DESI, dec: DEC_DESI}}",
        "desi={enabled: false}",
        "legacysurvey={enabled: false}",
        f"hetdex={{enabled: true, release: pdr1, archive: {archive}}}",
        "results=results",
    ]


def spectra(results: Path) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """Flux and error of every (row, cube)."""
    found = {}
    for path in results.glob("hetdex_crossmatches/healpix=*/crossmatch_hetdex.hdf5"):
        with h5py.File(path) as file:
            group = file["hetdex"]
            names = zip(file["chandra/row"][:].tolist(), group["shotid"][:], group["ifuslot"][:], strict=True)
            for i, (row, shotid, slot) in enumerate(names):
                found[row, f"{shotid}_{slot.decode()}"] = group["spectrum_flux"][i], group["spectrum_error"][i]
    return found


def test_bad_cubes_cost_their_own_spectra_and_no_others(demo, archive, run, tmp_path):
    done = run(tmp_path, *settings(demo, archive))
    assert done.status == 0, done.output
    before, after = spectra(demo / "results/demo"), spectra(tmp_path / "results")
    bad = {TRUNCATED, OTHER_SHAPE, MASKED}
    assert set(after) == {key for key in before if key[1] not in bad}
    assert {name for _, name in after} >= {PLAIN}
    for key, arrays in after.items():
        for ours, theirs in zip(arrays, before[key], strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=str(key))
    with (tmp_path / "results/hetdex/ledger.csv").open(newline="") as stream:
        ledger = {int(line["row"]): line for line in csv.DictReader(stream)}
    rows = {name: {row for row, of in before if of == name} for name in bad}
    others = {row for row, _ in after}
    assert rows[OTHER_SHAPE] - others
    assert rows[MASKED] - others
    assert {ledger[row]["status"] for row in rows[OTHER_SHAPE] - others} == {"cube_unreadable"}
    assert {ledger[row]["status"] for row in rows[MASKED] - others} == {"no_spectrum"}
    assert {ledger[row]["status"] for row in rows[TRUNCATED] & others} == {"matched"}
    assert all(int(ledger[row]["missing_cubes"]) >= 1 for row in rows[TRUNCATED])
    summary = json.dumps(json.loads((tmp_path / "results/hetdex/summary.json").read_text()))
    assert f"dex_cube_{TRUNCATED}.fits" in summary
    assert "has shape (100, 104, 104), expected (1036, 104, 104)" in summary


def test_an_index_without_a_column_is_named_with_the_column(demo, archive, run, tmp_path):
    root = tmp_path / "pdr1"
    root.mkdir()
    table = Table.read(archive / "ifu-index.fits")
    table.remove_column("dec_cen")
    table.write(root / "ifu-index.fits")
    done = run(tmp_path, *settings(demo, root))
    assert done.status != 0
    log = (tmp_path / "results/logs/fetch_hetdex_index.log").read_text()
    assert "ifu-index.fits" in log
    assert "column dec_cen is missing" in log
    assert not (tmp_path / "results/hetdex/ledger.csv").exists()
