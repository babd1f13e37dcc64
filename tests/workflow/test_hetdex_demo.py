"""HETDEX in the demo, run by Snakemake with DESI, against what was simulated."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

RESULTS, RELEASE = "results/demo", "resources/demo/hetdex"


@pytest.fixture(scope="module")
def truth(demo: Path):
    with h5py.File(demo / RELEASE / "truth.hdf5") as file:
        yield {group: {name: data[:] for name, data in file[group].items()} for group in file}


@pytest.fixture(scope="module")
def rows(demo: Path):
    """Every assembled row: its columns by name."""
    tables = []
    for path in sorted((demo / RESULTS / "hetdex_crossmatches").glob("healpix=*/crossmatch_hetdex.hdf5")):
        with h5py.File(path) as file:
            n = len(file["hetdex/shotid"])
            columns = {name: data[:] for name, data in file["hetdex"].items() if len(data) == n}
            assert len(file["chandra/row"]) == n
            tables.append(columns | {"row": file["chandra/row"][:]})
            assert file["hetdex/spectrum_lambda"].attrs["medium"] == "air"
            assert np.all(file["hetdex/spectrum_lambda_vacuum"][:] > file["hetdex/spectrum_lambda"][:] + 0.9)
    assert sum(len(table["row"]) for table in tables) > 0
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def ledger(demo: Path) -> list[dict[str, str]]:
    with (demo / RESULTS / "hetdex/ledger.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_csv_row_is_accounted_for_once(demo, truth, rows):
    lines = ledger(demo)
    with (demo / "resources/demo/targets.csv").open(newline="") as stream:
        positions = list(csv.DictReader(stream))
    assert [int(line["row"]) for line in lines] == list(range(len(positions)))
    with (demo / RESULTS / "desi/ledger.csv").open(newline="") as stream:
        rejected = [line["status"] == "rejected" for line in csv.DictReader(stream)]
    index = fits.getdata(demo / RELEASE / "ifu-index.fits", 1)
    centres = SkyCoord(index["ra_cen"].astype(float), index["dec_cen"].astype(float), unit="deg")
    paths = [f"datacubes/{line['shotid']}/dex_cube_{line['shotid']}_{line['ifuslot']}.fits" for line in index]
    on_disk = [(demo / RELEASE / path).exists() for path in paths]
    spectra = np.bincount(rows["row"], minlength=len(lines))
    for line, position, bad, n in zip(lines, positions, rejected, spectra.tolist(), strict=True):
        assert int(line["n_spectra"]) == n
        if bad:
            assert line["status"] == "rejected"
            continue
        here = SkyCoord(float(position["RA_DESI"]), float(position["DEC_DESI"]), unit="deg")
        near = np.flatnonzero(here.separation(centres).arcsec <= 37.0)
        there = [k for k in near if on_disk[k]]
        expected = "matched" if n else "no_spectrum" if there else "cube_absent" if len(near) else "not_covered"
        assert line["status"] == expected
        assert int(line["missing_cubes"]) == len(near) - len(there)
    summary = json.loads((demo / RESULTS / "hetdex/summary.json").read_text())
    assert {status for status, count in summary["status"].items() if count} >= {
        "matched",
        "cube_absent",
        "not_covered",
        "rejected",
    }
    assert sum(summary["status"].values()) == len(lines)
    assert summary["spectra"] == len(rows["row"])


def test_every_source_on_a_cube_has_its_simulated_spectrum(truth, rows):
    cube_of = {
        (int(shotid), slot): k
        for k, (shotid, slot) in enumerate(zip(truth["cubes"]["shotid"], truth["cubes"]["ifuslot"], strict=True))
    }
    source_of = dict(zip(truth["rows"]["row"].tolist(), truth["rows"]["source"].tolist(), strict=True))
    pairs = truth["pairs"]
    pair_of = {(int(s), int(c)): k for k, (s, c) in enumerate(zip(pairs["source"], pairs["cube"], strict=True))}
    residuals = []
    seen = set()
    for i, row in enumerate(rows["row"].tolist()):
        source, cube = source_of[row], cube_of[int(rows["shotid"][i]), rows["ifuslot"][i]]
        k = pair_of[source, cube]
        assert (row, cube) not in seen
        seen.add((row, cube))
        assert (rows["x"][i], rows["y"][i]) == pytest.approx((pairs["x"][k], pairs["y"][k]), abs=0.01)
        here = pairs["cube"] == cube
        alone = np.hypot(pairs["x"][here] - pairs["x"][k], pairs["y"][here] - pairs["y"][k])
        if np.sort(alone)[1:2].min(initial=np.inf) < 30:  # 15″: no light of a neighbour
            continue
        expected = truth["sources"]["flux"][source] * pairs["fraction"][k]
        whole = rows["spectrum_coverage"][i] > 0.999
        residuals.append(((rows["spectrum_flux"][i] - expected) / rows["spectrum_error"][i])[whole])
    chi = np.concatenate(residuals)
    assert len(chi) > 3000
    assert abs(chi.mean()) < 0.15
    assert chi.std() == pytest.approx(1, abs=0.1)
    on_disk = truth["cubes"]["on_disk"][pairs["cube"]].astype(bool)
    needed = on_disk & (pairs["fraction_on_cube"] > 0.8 * pairs["fraction"])
    for source, cube in zip(pairs["source"][needed].tolist(), pairs["cube"][needed].tolist(), strict=True):
        for row in [row for row, of in source_of.items() if of == source]:
            assert (row, cube) in seen, "a source well on a cube has a spectrum from it"


def test_observations_of_one_source_are_one_group(rows):
    assert rows["n_epochs"].max() >= 2
    for group in np.unique(rows["epoch_group"]):
        here = rows["epoch_group"] == group
        assert group == rows["row"][here].min()
        assert set(rows["n_epochs"][here].tolist()) == {len(np.unique(rows["shotid"][here]))}
        at = SkyCoord(rows["ra"][here], rows["dec"][here], unit="deg")
        assert at[0].separation(at).arcsec.max() < 1.5 * here.sum()


def test_what_the_index_says_of_a_cube_stands_in_its_rows(demo, rows):
    index = fits.getdata(demo / RELEASE / "ifu-index.fits", 1)
    for i in range(len(rows["row"])):
        slot = rows["ifuslot"][i].decode()
        (k,) = np.flatnonzero((index["shotid"] == rows["shotid"][i]) & (index["ifuslot"] == slot))
        for name in ("flag", "fwhm_virus", "response_4540", "mjd", "exptime", "pa"):
            assert rows[name][i] == index[name][k], name
        assert rows["field"][i].decode() == index["field"][k]
        assert rows["in_2017"][i] == (rows["shotid"][i] < 20180101000)


def test_every_cube_of_the_plan_has_an_address(demo):
    plan = (demo / RESULTS / "hetdex/plan.csv").read_text().splitlines()
    assert plan[0].startswith("shotid,ifuslot,n_targets")
    urls = (demo / RESULTS / "hetdex/urls.txt").read_text().splitlines()
    assert len(urls) == len(plan) - 1
    assert all(url.startswith(f"{RELEASE}/datacubes/") for url in urls)
