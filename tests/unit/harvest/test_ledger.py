"""Every CSV row exactly once, with what became of it; and files that do not agree with one another."""

import csv
import hashlib
import json
import shutil

import account as account_program
import h5py
import numpy as np
import pytest

import show_summary
from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.ledger import account, show, summarise, write_ledger, write_summary
from skyharvest.harvest.manifest import Manifest, read_manifest
from skyharvest.surveys.desi import selection
from skyharvest.surveys.desi.about import SURVEY as DESI
from small_release import (
    ARCSEC,
    ARMS,
    edge_between,
    harvest,
    inside,
    near,
    path_of,
    simulated,
    toward,
    write,
    write_list,
)

READ, ABSENT, BAD, SIDE, FREE = 27258, 27259, 27247, 27256, 27257  # SIDE is beside READ; FREE: not in the release
ELSE = 27254  # other surveys and programs have it
LISTED = [("main", program, pix) for pix in (READ, ABSENT, BAD, SIDE) for program in ("dark", "bright")]
LISTED += [("sv1", "other", ELSE), ("special", "dark", ELSE), ("special", "dark", ABSENT), ("main", "backup", READ)]


EDGE = edge_between(READ, SIDE)
FIBERS = [inside(READ, 3), inside(READ, 9), toward(READ, EDGE, 0.6)]
FIBERS.append((FIBERS[0][0], FIBERS[0][1] + 2.5 * ARCSEC))
COADD = simulated(4, pix64=READ, at=tuple(zip(*FIBERS, strict=True)), targetid=[40, 30, 20, 39628473202710581])
EMPTY = inside(SIDE, 20)
BESIDE = simulated(2, pix64=SIDE, at=tuple(zip(toward(SIDE, EDGE, 0.75), EMPTY, strict=True)), targetid=[50, 51])
for arm in ARMS:
    BESIDE.ivar[arm][BESIDE.sources.targetid == 51] = 0
TORN = simulated(2, "bright", SIDE)
ROWS = [
    (near(COADD, 0, 0.5), "matched", 1, 0.5, 2, READ, 1),  # the bright coadd is absent
    (inside(FREE, 7), "not_covered", 0, None, 0, FREE, 0),
    (near(COADD, 1, -1.75), "no_fiber", 0, 1.75, 1, READ, 1),
    ((149.0, 95.0), "rejected", 0, None, 0, None, 0),
    (inside(BAD, 7), "coadd_unreadable", 0, None, 0, BAD, 2),  # dark is torn, bright is absent
    (inside(ABSENT, 7), "coadd_absent", 0, None, 0, ABSENT, 2),
    (inside(READ, 50), "no_fiber", 0, None, 0, READ, 1),
    (edge_between(READ, ABSENT), "no_fiber", 0, None, 0, READ, 3),
    (near(COADD, 0, 1.75), "matched", 1, 0.75, 2, READ, 1),
    (EDGE, "matched", 2, 0.6, 2, READ, 2),  # a fiber on either side
    (("", 1.0), "rejected", 0, None, 0, None, 0),
    (inside(ELSE, 7), "not_selected", 0, None, 0, ELSE, 0),
    (inside(ELSE, 9), "not_selected", 0, None, 0, ELSE, 0),
    (inside(SIDE, 50), "coadd_unreadable", 0, None, 0, SIDE, 1),  # dark was searched, bright is torn
    ((EMPTY[0], EMPTY[1] - 0.4 * ARCSEC), "no_spectrum", 0, 0.4, 1, SIDE, 1),  # ditto, and dark has nothing but a fiber
]
TOLD = (
    "2 more rows are in special/dark (2), sv1/other (2): add special, sv1 to desi.surveys"
    " and add other to desi.programs"
)
LEDGER = "row,status,n_spectra,nearest_arcsec,n_within_report_radius,pix64,missing_coadds\n" + "".join(
    f"{k},{status},{n},{'' if nearest is None else f'{nearest:.5f}'},{within},{'' if pix is None else pix},{missing}\n"
    for k, (_, status, n, nearest, within, pix, missing) in enumerate(ROWS)
)


def write_csv(path, places):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["RA_DESI", "DEC_DESI", "targetid"])
        writer.writerows([*place, 39628473202710581] for place in places)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The results of a run; nobody writes here."""
    folder = tmp_path_factory.mktemp("ledger")
    write(folder / "archive", COADD)
    write(folder / "archive", BESIDE)
    for torn in (simulated(2, pix64=BAD), TORN):
        path = folder / "archive" / write(folder / "archive", torn)
        path.write_bytes(path.read_bytes()[:-300_000])
    write_list(folder / "archive", LISTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "SECOND_READING_S", 0)
        harvest(folder / "archive", write_csv(folder / "t.csv", [place for place, *_ in ROWS]), folder / "results")
    return folder / "results"


@pytest.fixture
def results(finished, tmp_path):
    """A copy, to be spoilt."""
    shutil.copytree(finished, tmp_path / "results")
    return tmp_path / "results"


def files(results):
    return {
        "targets": results / "targets" / "targets.parquet",
        "rejected": results / "targets" / "rejected.csv",
        "plan_targets": results / "desi" / "plan_targets.npy",
        "not_selected": results / "desi" / "plan_not_selected.json",
        "extracted": results / "desi" / "extracted",
        "crossmatches": results / "desi_crossmatches",
        "survey": DESI,
        "config_hash": "abc",
    }


def test_every_row_is_there_once_with_what_became_of_it(finished, tmp_path):
    made = account(**files(finished), name="chandra")
    write_ledger(made, tmp_path / "ledger.csv")
    assert (tmp_path / "ledger.csv").read_text() == LEDGER
    summary = summarise(made, {"release": "demo"})
    assert summary["rows"] == sum(summary["status"].values()) == len(ROWS)
    assert summary["status"] == {
        "matched": 3,
        "no_spectrum": 1,
        "coadd_unreadable": 2,
        "no_fiber": 3,
        "coadd_absent": 1,
        "not_selected": 2,
        "not_covered": 1,
        "rejected": 2,
    }
    assert list(summary["status"]) == list(DESI.statuses)
    assert summary["not_selected"] == {
        "where": {"special/dark": 2, "sv1/other": 2},
        "change": {"desi.surveys": ["special", "sv1"], "desi.programs": ["other"]},
    }
    assert summary["spectra"] == 4
    assert summary["coadds"] == {"read": 2, "absent": 4, "unreadable": 2}
    torn = ["main/dark/272/27247/coadd-main-dark-27247.fits", "main/bright/272/27256/coadd-main-bright-27256.fits"]
    assert summary["unreadable_coadds"] == [
        {"coadd": f"spectro/redux/demo/healpix/{path}", "reason": bad["reason"]}
        for path, bad in zip(torn, made.unreadable, strict=True)
    ]
    assert all("it is truncated" in bad["reason"] for bad in made.unreadable)
    assert (summary["without"], summary["incomplete_coadds"]) == ({}, [])
    write_summary(summary, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_the_programs_write_and_show_it(finished, tmp_path, capsys):
    command = ["--release", "demo", "--name", "chandra", "--ledger", tmp_path / "desi" / "ledger.csv"]
    command += ["--summary", tmp_path / "desi" / "summary.json", "--manifest", tmp_path / "desi" / "manifest.json"]
    for name, path in (files(finished) | {"survey": "desi"}).items():
        command += [f"--{name.replace('_', '-')}", path]
    assert cli.run(account_program.main, account_program.build_parser(), [str(word) for word in command]) == 0
    shown = capsys.readouterr().out
    assert (tmp_path / "desi" / "ledger.csv").read_text() == LEDGER
    words = [line.split() for line in shown.splitlines()]
    assert ["no_fiber", "3", "20.0%"] in words
    assert ["not_selected", "2", "13.3%"] in words
    assert ["all", "CSV", "rows", "15"] in words
    assert shown.splitlines()[-1] == TOLD
    assert ["coadds", "absent", "4"] in words
    assert "unreadable: spectro/redux/demo/healpix/main/dark/272/27247/coadd-main-dark-27247.fits: " in shown
    csv = hashlib.sha256((finished.parent / "t.csv").read_bytes()).hexdigest()
    pixels = {READ >> 4: 4, BAD >> 4: 0}
    assert read_manifest(tmp_path, "desi") == Manifest("desi", "demo", csv, "abc", len(ROWS), pixels)
    assert cli.run(show_summary.main, show_summary.build_parser(), [str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(shown)
    assert cli.run(show_summary.main, show_summary.build_parser(), [str(tmp_path / "nowhere")]) == 2
    assert "the run has not finished" in capsys.readouterr().err


def test_a_targetid_matches_beyond_every_radius(tmp_path):
    write(tmp_path / "archive", COADD)
    write_list(tmp_path / "archive", LISTED)
    csv = write_csv(tmp_path / "t.csv", [inside(READ, 50), inside(FREE, 1)])
    harvest(tmp_path / "archive", csv, tmp_path / "results", programs=["dark"], targetid="targetid")
    write_ledger(account(**files(tmp_path / "results"), name="chandra"), tmp_path / "ledger.csv")
    lines = (tmp_path / "ledger.csv").read_text().splitlines()
    assert lines[1:] == [f"0,matched,1,,0,{READ},0", f"1,not_covered,0,,0,{FREE},0"]
    with h5py.File(DESI.crossmatch(tmp_path / "results" / "desi_crossmatches", READ >> 4)) as file:
        assert file["desi/targetid"][:].tolist() == [39628473202710581]
        assert file["desi/separation_arcsec"][0] > 100


def test_a_run_that_covers_nothing_is_accounted_for(tmp_path):
    write_list(tmp_path / "archive", LISTED)
    harvest(tmp_path / "archive", write_csv(tmp_path / "t.csv", [(10, 80), (20, -80)]), tmp_path / "results")
    summary = summarise(account(**files(tmp_path / "results"), name="chandra"), {})
    assert summary["status"]["not_covered"] == summary["rows"] == 2
    assert "not_covered" in show(summary, DESI)


def test_a_rejected_row_may_hold_a_huge_cell(results):
    rejected = results / "targets" / "rejected.csv"
    rejected.write_text(rejected.read_text().replace("\n3,", f"\n3,{'x' * 200_000}"))
    assert np.flatnonzero(account(**files(results), name="chandra").status == "rejected").tolist() == [3, 10]


# --- Files that do not agree -----------------------------------------------------------------------------------------


def lose_a_rejected_row(results):
    path = results / "targets" / "rejected.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def reject_an_accepted_row(results):
    path = results / "targets" / "rejected.csv"
    path.write_text(path.read_text().replace("\n3,", "\n2,"))


def change_the_plan(results):
    path = results / "desi" / "plan_targets.npy"
    pairs = np.load(path)
    np.save(path, pairs[~((pairs["pix64"] == READ) & (pairs["row"] == 6))])


def extract_for_another_row(results):
    with h5py.File(DESI.path(results / "desi" / "extracted", BAD), "r+") as file:
        file["targets/row"][0] = 1


def lose_a_spectrum(results):
    with h5py.File(DESI.crossmatch(results / "desi_crossmatches", READ >> 4), "r+") as file:
        row = file["chandra/row"][:]
        del file["chandra/row"]
        file["chandra/row"] = row[:-1]


def give_a_spectrum_to_another_row(results):
    with h5py.File(DESI.crossmatch(results / "desi_crossmatches", READ >> 4), "r+") as file:
        file["chandra/row"][0] = 2


def tear_an_extracted_file(results):
    path = DESI.path(results / "desi" / "extracted", READ)
    path.write_bytes(path.read_bytes()[:3000])


def tear_an_assembled_file(results):
    path = DESI.crossmatch(results / "desi_crossmatches", READ >> 4)
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose_a_rejected_row, r"targets\.parquet and .*rejected\.csv together do not hold every one of 15 CSV"),
        (reject_an_accepted_row, "together do not hold every .* rows once: run `snakemake targets`"),
        (change_the_plan, r"272/27258\.hdf5 was made for another plan: remove it"),
        (extract_for_another_row, r"272/27247\.hdf5 was made for another plan"),
        (
            lose_a_spectrum,
            r"CSV row 9 has 1 spectra in the assembled files and 2 in the extracted ones \(1 rows d",
        ),
        (give_a_spectrum_to_another_row, r"CSV row 0 has 0 spectra in the assembled .* and 1 .* \(2 rows differ\)"),
        (tear_an_extracted_file, r"272/27258\.hdf5 is not a readable HDF5 file.*remove it"),
        (tear_an_assembled_file, r"healpix=1703/crossmatch_desi\.hdf5 is not a readable HDF5 file"),
    ],
)
def test_files_that_do_not_agree_are_refused(results, spoil, message):
    spoil(results)
    with pytest.raises(MalformedFile, match=message):
        account(**files(results), name="chandra")


def test_the_paths_of_coadds_are_those_of_the_archive(finished):
    with h5py.File(DESI.path(finished / "desi" / "extracted", READ)) as file:
        assert file["files/path"][0].decode() == path_of(COADD)
