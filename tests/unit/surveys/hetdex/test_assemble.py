"""HETDEX's per-healpix files and ledger, on small extracted files with every kind of row, across a pixel's edge."""

import csv
from pathlib import Path

import h5py
import healpy
import numpy as np
import pytest

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.ledger import account, show, summarise, write_ledger
from skyharvest.surveys.hetdex import extract as hetdexextract
from skyharvest.surveys.hetdex.about import SURVEY as HETDEX
from skyharvest.surveys.hetdex.assemble import assemble_hetdex
from skyharvest.surveys.hetdex.cube import N_WAVE, WAVE_AIR
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.plan import make_plan, targets_of_cube, write_plan
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.spectra import CubeSpectra
from skyharvest.targets.table import read_targets, write_targets
from small_index import listed, write_index

RELEASE = load_release("pdr1")
PIX16 = 1000
# Shots of 2017, 2019 and 2021 see the source on the edge; 001 is absent, 002 unreadable, 003 sees nothing.
CUBES = [(20170301004, "034"), (20190301004, "034"), (20190301005, "001"), (20190301006, "002"), (20210301004, "003")]


def on_an_edge() -> tuple[np.ndarray, np.ndarray]:
    """Return two positions 0.6″ apart, on two sides of an NSIDE=16 pixel's edge."""
    edge = healpy.boundaries(16, PIX16, step=2, nest=True).T[1]
    inward = np.array(healpy.pix2vec(16, PIX16, nest=True)) - edge
    inward *= np.deg2rad(0.3 / 3600) / np.linalg.norm(inward)
    both = np.array([edge + inward, edge - inward])
    return healpy.vec2ang(both, lonlat=True)


RA, DEC = on_an_edge()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A finished run. What a cube holds is made up: its reading is tested elsewhere."""
    root = tmp_path_factory.mktemp("run")
    far = (RA[0] + 5, DEC[0] - 5)
    positions = [
        (RA[0], DEC[0]),
        (RA[1], DEC[1]),
        (far[0], far[1]),
        (far[0], far[1] + 1),
        (far[0], far[1] + 2),
        (1.0, -80.0),
    ]
    rows = [f"{float(ra)!r},{float(dec)!r},s{k}" for k, (ra, dec) in enumerate(positions)] + ["x,1,bad"]
    (root / "list.csv").write_text("\n".join(["RA,DEC,name", *rows]) + "\n")
    targets = read_targets(root / "list.csv", "RA", "DEC")
    write_targets(targets, root / "targets")
    at = [(RA[0], DEC[0]), (RA[1], DEC[1]), *positions[2:5]]
    shotid, slot = zip(*CUBES, strict=True)
    index = listed(shotid, [name.encode() for name in slot], *np.array(at).T)
    write_index(root / "ifu-index.fits", index)
    from skyharvest.surveys.hetdex.index import read_index

    columns = {name: np.asarray(targets.table.column(name).to_numpy()) for name in ("row", "ra", "dec", "pix16")}
    write_plan(make_plan(read_index(root / "ifu-index.fits"), columns), root / "hetdex", RELEASE, "archive")
    extract(root)
    for pix16, cubes in HETDEX.read_plan(root / "hetdex/plan.csv").searched.items():
        assemble(root, pix16, cubes)
    return root


def extract(root: Path) -> None:
    archive = root / "archive"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hetdexextract, "SECOND_READING_S", 0.0)
        patch.setattr(hetdexextract, "read_cube", read)
        patch.setattr(hetdexextract, "extract_spectra", light)
        for shotid, slot in CUBES:
            path = RELEASE.cube(shotid, slot)
            (archive / path).parent.mkdir(parents=True, exist_ok=True)
            if slot != "001":
                (archive / path).touch()
            out = HETDEX.path(root / "hetdex/extracted", f"{shotid}_{slot}")
            targets = targets_of_cube(root / "hetdex/plan_targets.npy", shotid, slot)
            with Archive(str(archive)) as source:
                extract_cube(source, path, targets, out, wanted=WantedSpectra(), scratch=root / "scratch")


def read(path: Path, name: str, **_) -> str:
    if "_002" in name:
        raise MalformedFile(f"{name}: HDU MASK is missing")
    return name


def light(cube: str, ra, dec, **_) -> CubeSpectra:
    """Every target's flux is the number of its place; on the cube that sees nothing there is no coverage."""
    n = len(ra)
    flux = np.repeat(np.asarray(ra, np.float32)[:, None], N_WAVE, axis=1)
    if "_003" in cube:
        flux = np.full_like(flux, np.nan)
    share = np.where("20190301004" in cube, 0.4, 1.0) * np.ones(n)
    return CubeSpectra(np.ones(n, bool), np.full(n, 50.5), np.full(n, 51.5), share, flux, flux / 10, flux * 0 + 1)


def assemble(root: Path, pix16: int, cubes) -> Path:
    out = HETDEX.crossmatch(root / "hetdex_crossmatches", pix16)
    assemble_hetdex(
        pix16,
        [HETDEX.path(root / "hetdex/extracted", cube) for cube in cubes],
        out,
        targets=root / "targets/targets.parquet",
        plan_targets=root / "hetdex/plan_targets.npy",
        plan_cubes=root / "hetdex/plan_cubes.npy",
        name="chandra",
        attributes={"release": "pdr1"},
    )
    return out


def test_a_source_on_an_edge_has_all_its_epochs_in_both_files(results):
    names = []
    for k, pix16 in enumerate(healpy.ang2pix(16, RA, DEC, nest=True, lonlat=True).tolist()):
        with h5py.File(HETDEX.crossmatch(results / "hetdex_crossmatches", pix16)) as file:
            hetdex = file["hetdex"]
            assert hetdex["shotid"][:].tolist() == [20170301004, 20190301004]
            assert hetdex["ifuslot"][:].tolist() == [b"034", b"034"]
            assert hetdex["aperture_on_cube"][:].tolist() == [1.0, 0.4]
            assert hetdex["in_2017"][:].tolist() == [True, False]
            assert hetdex["epoch_group"][:].tolist() == [0, 0]
            assert hetdex["n_epochs"][:].tolist() == [2, 2]
            assert file["chandra/row"][:].tolist() == [k, k]
            names += [name.decode() for name in file["chandra/name"][:]]
            np.testing.assert_array_equal(hetdex["spectrum_flux"][:], np.float32(RA[k]) * np.ones((2, N_WAVE), "f4"))
            np.testing.assert_array_equal(hetdex["spectrum_lambda"][:], WAVE_AIR)
            assert hetdex["ra"][:].tolist() == [RA[k]] * 2
            assert file.attrs["healpix"] == pix16 and file.attrs["release"] == "pdr1"
    assert names == ["s0", "s0", "s1", "s1"]


def test_where_nothing_was_found_the_file_is_there_without_rows(results):
    pix16 = int(healpy.ang2pix(16, RA[0] + 5, DEC[0] - 5, nest=True, lonlat=True))
    with h5py.File(HETDEX.crossmatch(results / "hetdex_crossmatches", pix16)) as file:
        assert len(file["hetdex/shotid"]) == len(file["chandra/row"]) == len(file["hetdex/n_epochs"]) == 0


def accounted(root: Path):
    return account(
        targets=root / "targets/targets.parquet",
        rejected=root / "targets/rejected.csv",
        plan_targets=root / "hetdex/plan_targets.npy",
        extracted=root / "hetdex/extracted",
        crossmatches=root / "hetdex_crossmatches",
        name="chandra",
        survey=HETDEX,
        config_hash="",
    )


def test_the_ledger_has_every_csv_row_once(results, tmp_path):
    made = accounted(results)
    write_ledger(made, tmp_path / "ledger.csv")
    with (tmp_path / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == HETDEX.columns
    expected = ["matched", "matched", "cube_absent", "cube_unreadable", "no_spectrum", "not_covered", "rejected"]
    assert [line["status"] for line in lines] == expected
    assert [line["n_spectra"] for line in lines] == ["2", "2", "0", "0", "0", "0", "0"]
    assert [line["n_cubes"] for line in lines] == ["2", "2", "1", "1", "1", "0", "0"]
    assert [line["missing_cubes"] for line in lines] == ["0", "0", "1", "1", "0", "0", "0"]
    summary = summarise(made, {"release": "pdr1"})
    assert summary["cubes"] == {"read": 3, "absent": 1, "unreadable": 1}
    assert "MASK is missing" in summary["unreadable_cubes"][0]["reason"]
    shown = show(summary, HETDEX)
    assert "cubes absent" in shown and "unreadable: datacubes/20190301006/" in shown


def test_a_spectrum_that_an_assembled_file_lacks_is_noticed(results, tmp_path):
    path = HETDEX.crossmatch(
        results / "hetdex_crossmatches", int(healpy.ang2pix(16, RA[:1], DEC[:1], nest=True, lonlat=True)[0])
    )
    kept = path.read_bytes()
    try:
        with h5py.File(path, "r+") as file:
            rows = file["chandra/row"][:1]
            del file["chandra/row"]
            file["chandra/row"] = rows
        with pytest.raises(MalformedFile, match="CSV row 0 has 1 spectra in the assembled files and 2"):
            accounted(results)
    finally:
        path.write_bytes(kept)
