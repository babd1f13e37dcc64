"""Targets matched by TARGETID: off their fibers, across edges of pixels; coadds without positions; rounded ones."""

import csv
import logging
from decimal import Decimal

import h5py
import healpy
import numpy as np
import pytest

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.ledger import account, show, summarise
from skyharvest.harvest.remarks import remarks
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.extract import extract
from skyharvest.surveys.desi.wanted import Positions, Wanted
from small_release import (
    coadd_files,
    edge_between,
    edit,
    harvest,
    inside,
    near,
    path_of,
    simulated,
    toward,
    write,
    write_list,
)

HERE = 27258
ID = 39628473202710581  # float64 numbers are 8 apart there


def neighbour(pix: int, *, same_parent: bool) -> int:
    """Return a pixel beside another one, in the same NSIDE=16 pixel or in another."""
    sides = healpy.get_all_neighbours(64, pix, nest=True)[::2].tolist()  # those with a common side
    return next(side for side in sides if (side >> 4 == pix >> 4) == same_parent)


def run(folder, coadds, rows, listed=()):
    """Harvest (RA, Dec, TARGETID) rows, and return the ledger."""
    for coadd in coadds:
        write(folder / "archive", coadd)
    write_list(folder / "archive", [*((c.survey, c.program, c.pix64) for c in coadds), *listed])
    with (folder / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("RA_DESI", "DEC_DESI", "targetid"), *rows])
    return harvest_again(folder)


def harvest_again(folder):
    results = folder / "results"
    harvest(folder / "archive", folder / "t.csv", results, programs=["dark"], targetid="targetid")
    return account(
        targets=results / "targets" / "targets.parquet",
        rejected=results / "targets" / "rejected.csv",
        plan_targets=results / "desi" / "plan_targets.npy",
        not_selected=results / "desi" / "plan_not_selected.json",
        extracted=results / "desi" / "extracted",
        crossmatches=results / "desi_crossmatches",
        name="chandra",
        survey=DESI,
        config_hash="abc",
    )


@pytest.mark.parametrize("same_parent", [True, False], ids=["NSIDE=64", "NSIDE=16"])
@pytest.mark.parametrize("covered", [True, False])
def test_a_targetid_is_found_across_an_edge(tmp_path, same_parent, covered):
    """The position is 1.5, 9 or 14 arcsec from its fiber, and they are on the two sides of an edge."""
    other = neighbour(HERE, same_parent=same_parent)
    edge = edge_between(HERE, other)
    fiber = toward(HERE, edge, 0.75)
    coadds = [simulated(2, at=np.transpose([fiber, inside(HERE, 40)]), pix64=HERE, targetid=[ID, ID + 1])]
    if covered:
        coadds.append(simulated(1, at=np.transpose([inside(other, 20)]), pix64=other, targetid=[ID + 2]))
    rows = [(*toward(other, edge, arcsec), ID) for arcsec in (0.75, 8.25, 13.25)]
    assert healpy.ang2pix(64, *np.transpose(rows)[:2].astype(float), nest=True, lonlat=True).tolist() == [other] * 3
    made = run(tmp_path, coadds, rows)
    assert made.status.tolist() == ["matched", "matched", "no_fiber" if covered else "not_covered"]
    assert made.n_spectra.tolist() == [1, 1, 0]
    assert made.nearest_arcsec[0] == pytest.approx(1.5, abs=0.03)
    with h5py.File(DESI.crossmatch(tmp_path / "results/desi_crossmatches", other >> 4)) as file:
        assert file["chandra/row"][:].tolist() == [0, 1]
        assert file["desi/targetid"][:].tolist() == [ID, ID]
        assert file["desi/pix64"][:].tolist() == [HERE, HERE]
        assert file["desi/separation_arcsec"][:] == pytest.approx([1.5, 9], abs=0.03)


@pytest.mark.parametrize("columns", [("TARGET_RA",), ("TARGET_DEC",), ("TARGET_RA", "TARGET_DEC")])
def test_a_coadd_without_positions_is_matched_by_targetid_alone(tmp_path, columns):
    coadds = [simulated(3, pix64=HERE, at=np.transpose([inside(HERE, k) for k in (3, 4, 5)]))]
    ids = coadds[0].sources.targetid.tolist()
    rows = [(*near(coadds[0], fiber, 1.5), ids[fiber]) for fiber in (2, 0)]
    whole, part = (tmp_path / name for name in ("whole", "part"))
    run(whole, coadds, rows)
    made = run(part, coadds, rows)
    torn = part / "archive" / path_of(coadds[0])

    def take_away(hdus):
        for column in columns:
            hdus["FIBERMAP"].columns.del_col(column)

    edit(torn, take_away)
    made = harvest_again(part)
    assert made.status.tolist() == ["matched", "matched"]
    at = DESI.path(part / "results/desi/extracted", HERE), DESI.path(whole / "results/desi/extracted", HERE)
    with h5py.File(at[0]) as file, h5py.File(at[1]) as expected:
        for name in ("row", "targetid", *(f"{arm}/{kind}" for arm in "brz" for kind in ("flux", "ivar", "mask"))):
            assert file[name][:].tobytes() == expected[name][:].tobytes(), name
        for axis in ("RA", "DEC"):
            values = file[axis.lower()][:]
            if f"TARGET_{axis}" in columns:
                assert np.isnan(values).all()
            else:
                assert np.array_equal(values, expected[axis.lower()][:])
        assert np.isnan(file["separation_arcsec"][:]).all()
        assert file["targets/n_within_report_radius"][:].tolist() == [0, 0]
    with h5py.File(DESI.crossmatch(part / "results/desi_crossmatches", HERE >> 4)) as file:
        assert file["desi/targetid"][:].tolist() == [ids[2], ids[0]]
        assert file["desi/primary"][:].all()

    ra, dec = np.array([row[:2] for row in rows]).T
    with (
        Archive(str(part / "archive")) as archive,
        pytest.raises(MalformedFile, match=f"column {columns[0]} is missing"),
    ):
        extract(archive, coadd_files([path_of(coadds[0])]), part / "x.hdf5", Wanted(Positions(np.arange(2), ra, dec)))


ROUNDED = {
    "float64": lambda targetid: int(float(targetid)),
    "17 digits": lambda targetid: int(f"{float(targetid):.0f}"),
    "shortest digits of a float64": lambda targetid: int(Decimal(repr(float(targetid)))),
    "a spreadsheet": lambda targetid: targetid // 100 * 100,
    "15 digits, rounded": lambda targetid: round(targetid, -2),
}


@pytest.mark.parametrize("how", ROUNDED)
def test_rounded_targetids_are_said_to_be_suspicious(tmp_path, how, caplog):
    rounded = ROUNDED[how]
    ids = [ID, ID + 10_002, ID + 20_006]
    assert all(0 < abs(rounded(targetid) - targetid) < 100 for targetid in ids)
    coadd = simulated(5, pix64=HERE, at=np.transpose([inside(HERE, k) for k in (3, 4, 5, 6, 7)]))
    coadd.sources.targetid[:] = [*ids, 39628473202720000, ID + 30_005]
    coadd = simulated(
        5, pix64=HERE, at=(coadd.sources.ra, coadd.sources.dec), targetid=coadd.sources.targetid[::-1].tolist()
    )
    at = {int(targetid): near(coadd, k, 1.5) for k, targetid in enumerate(coadd.sources.targetid)}
    rows = [(*at[targetid], rounded(targetid)) for targetid in ids]
    rows += [
        (*at[39628473202720000], 39628473202720000),  # looks rounded by chance, and is there
        (*inside(HERE, 30), rounded(ID + 30_005)),  # that fiber is far away
        (*inside(HERE, 31), 39628473202800000),  # looks rounded by chance, and is not there
    ]
    with caplog.at_level(logging.WARNING):
        made = run(tmp_path, [coadd], rows)
    assert made.status.tolist() == [*["no_fiber"] * 3, "matched", "no_fiber", "no_fiber"]
    assert made.rounded == dict(enumerate(ids))
    (said,) = [line for line in caplog.messages if "look rounded, such as" in line and "fiber" in line]
    assert (
        f"3 TARGETIDs look rounded, such as {rounded(ID)} of CSV row 0, where there is a fiber of TARGETID {ID}" in said
    )
    summary = summarise(made, {"release": "demo"})
    assert summary["rounded_targetids"] == {str(row): str(targetid) for row, targetid in enumerate(ids)}
    assert remarks(summary) == [show(summary, DESI).splitlines()[-1]]
    assert remarks(summary)[0].startswith(
        "3 TARGETIDs look rounded, of CSV rows 0, 1, 2: read that column as text or int64"
    )


def test_a_rounded_targetid_is_found_without_positions_and_in_another_coadd(tmp_path):
    other = neighbour(HERE, same_parent=False)
    edge = edge_between(HERE, other)
    coadds = [
        simulated(1, pix64=HERE, at=np.transpose([toward(HERE, edge, 0.75)]), targetid=[ID]),
        simulated(1, pix64=other, at=np.transpose([inside(other, 20)]), targetid=[ID + 9]),
    ]
    rows = [(*toward(other, edge, 0.75), ID // 100 * 100), (*inside(other, 20), ID + 9)]
    made = run(tmp_path, coadds, rows)
    assert (made.status.tolist(), made.rounded) == (["no_fiber", "matched"], {0: ID})
    edit(tmp_path / "archive" / path_of(coadds[0]), lambda hdus: hdus["FIBERMAP"].columns.del_col("TARGET_RA"))
    assert harvest_again(tmp_path).rounded == {0: ID}


def test_a_summary_without_rounded_targetids_says_nothing(tmp_path):
    coadd = simulated(1, pix64=HERE, at=np.transpose([inside(HERE, 3)]), targetid=[ID])
    summary = summarise(run(tmp_path, [coadd], [(*near(coadd, 0, 1.5), ID), (*inside(HERE, 9), ID + 3)]), {})
    assert summary["status"]["no_fiber"] == summary["status"]["matched"] == 1
    assert "rounded_targetids" not in summary
    assert remarks(summary) == []
