"""A production that is read as a release is: what the harvest's own plan and extraction get is what the coadds hold."""

import csv
import os
import subprocess
from pathlib import Path

import fetch_index
import h5py
import harvest_desi
import numpy as np
import plan_desi
import pytest
import write_release as program
from astropy.io import fits

from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi import release as module
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.release import write_release
from skyharvest.simulate.desi.coadd import SimulatedCoadd, write_coadd, write_redrock
from skyharvest.surveys.desi.plan import read_tilepix
from skyharvest.surveys.desi.release import load_release
from skyharvest.targets.table import read_targets, write_targets
from small_release import ARMS, inside, simulated

PIX, NEXT, EMPTY = 27258, 27259, 27260
HEADER = "NIGHT,EXPID,TILEID,SURVEY,PROGRAM,SPECTRO,HEALPIX,N_TARGETS"
ROWS = {
    20250115: [
        *(f"20250115,{expid},1,main,dark,{petal},{pix},20" for expid in (6, 7) for petal, pix in ((0, PIX), (3, PIX))),
        f"20250115,6,1,main,dark,3,{EMPTY},1",
    ],
    20250203: [
        f"20250203,9,2,main,dark,0,{PIX},5",
        f"20250203,9,2,main,dark,0,{NEXT},7",
        f"20250203,10,80,sv3,bright,9,{PIX},2",
    ],
}


def observed(pix64: int, n: int, seed: int, noise: int = 0) -> SimulatedCoadd:
    """Return a coadd; another ``noise`` is the same sky, reduced otherwise."""
    places = [inside(pix64, k) for k in range(n)]
    made = simulated(n, "dark", pix64, seed=seed, at=tuple(zip(*places, strict=True)))
    for arm in ARMS:
        made.flux[arm] += np.float32(noise)
    return made


COADDS = {PIX: observed(PIX, 4, 1), NEXT: observed(NEXT, 2, 2)}


@pytest.fixture
def production(tmp_path) -> Path:
    """Return a production: two pixels of main/dark have coadds, the second of them no redshifts."""
    layout = Layout(tmp_path / "archive/spectro/redux/sim-1")
    for pix64, coadd in COADDS.items():
        path = layout.healpix("coadd", "main", "dark", pix64)
        path.parent.mkdir(parents=True)
        write_coadd(path, coadd)
    write_redrock(layout.healpix("redrock", "main", "dark", PIX), COADDS[PIX])
    layout.healpix("rrdetails", "main", "dark", PIX).write_bytes(b"details")
    (layout.healpix("coadd", "main", "dark", PIX).parent / ".coadd.1.node.tmp").write_bytes(b"of a job that was killed")
    for night, rows in ROWS.items():
        path = layout.production / f"exposure_tables/{night // 100}/exposure_healpix_{night}.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join([HEADER, *rows, ""]))
    return layout.production


def test_the_list_is_what_exposures_reached_and_a_coadd_has(production):
    made = write_release(production)
    assert (made.coadds, made.redshifts, made.without) == (2, 1, 2)
    with fits.open(production / "healpix/tilepix.fits") as file:
        hdu = file[1]
        assert (hdu.name, hdu.header["HPXNSIDE"], hdu.header["HPXNEST"]) == ("TILEPIX", 64, True)
        assert dict(zip(hdu.columns.names, hdu.columns.formats, strict=True)) == {
            "TILEID": "J",
            "SURVEY": "4A",
            "PROGRAM": "4A",
            "PETAL_LOC": "I",
            "HEALPIX": "J",
        }
        rows = [tuple(row) for row in hdu.data.tolist()]
    assert rows == [
        (1, "main", "dark", 0, PIX),
        (1, "main", "dark", 3, PIX),
        (2, "main", "dark", 0, PIX),
        (2, "main", "dark", 0, NEXT),
    ]
    listed = read_tilepix(production / "healpix/tilepix.fits", 64)
    assert [*zip(listed.survey.tolist(), listed.program.tolist(), listed.pix64.tolist(), strict=True)] == [
        ("main", "dark", PIX),
        ("main", "dark", NEXT),
    ]


def test_sums_are_those_of_sha256sum_by_the_names_of_the_archive(production):
    write_release(production)
    archive = production.parents[2]
    release = load_release("sim-1", archive=str(archive))
    for pix64, names in ((PIX, ["coadd", "redrock", "rrdetails"]), (NEXT, ["coadd"])):
        sums = archive / release.checksums("main", "dark", pix64)
        assert sorted(path.name for path in sums.parent.glob("*.sha256sum")) == [sums.name]
        lines = [line.split("  ") for line in sums.read_text().splitlines()]
        assert [name.partition("-")[0] for _, name in lines] == names
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums.name], cwd=sums.parent, check=True)
    whole = archive / "spectro/redux/sim-1/healpix/redux_sim-1_healpix.sha256sum"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", whole.name], cwd=whole.parent, check=True)


def test_only_what_has_changed_is_written_and_only_what_may_have_is_read(production, monkeypatch):
    layout = Layout(production)
    monkeypatch.setattr(module, "TICK_NS", -(10**10))  # as if ten seconds had passed
    assert len(write_release(production).changed) == 4
    read = []
    real = module.hashlib.file_digest
    monkeypatch.setattr(
        module.hashlib, "file_digest", lambda stream, kind: read.append(stream.name) or real(stream, kind)
    )
    assert write_release(production).changed == ()
    assert read == []

    # Another file, with the old one's modification time, as `cp --preserve` leaves it.
    coadd = layout.healpix("coadd", "main", "dark", NEXT)
    when = coadd.stat().st_mtime_ns
    write_coadd(coadd, observed(NEXT, 2, 3))
    os.utime(coadd, ns=(when, when))
    sums = layout.checksums("main", "dark", NEXT)
    os.utime(sums, ns=(when + 1, when + 1))
    lists = (layout.tilepix_checksum(), layout.tilepix())  # a harvest sees that there is something new
    assert write_release(production).changed == (sums, *lists)
    assert read == [str(coadd)]
    os.utime(sums, ns=(when, when))  # as if it were touched: the same content
    assert write_release(production).changed == ()

    layout.healpix("rrdetails", "main", "dark", PIX).unlink()
    assert write_release(production).changed == (layout.checksums("main", "dark", PIX),)
    coadd.unlink()
    assert write_release(production).changed == lists


def test_coadds_that_no_exposure_explains_are_named_and_left_out(production, caplog):
    stranger = Layout(production).healpix("coadd", "sv3", "dark", PIX)
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"")
    form = Layout(production).healpix("coadd-cameras", "main", "dark", PIX)
    form.write_bytes(b"another form of a coadd that is listed")
    assert write_release(production).coadds == 2
    assert [record.message for record in caplog.records if "is of no exposure" in record.message] == [
        f"{stranger} is of no exposure in exposure_tables/*/exposure_healpix_*.csv: it is left out"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f",3,{PIX},20", ",3,49152,20", r"line 3, column HEALPIX: '49152', expected 0 to 49151"),
        (",main,dark,0", ",main,../x,0", r"line 2, column PROGRAM: '../x', expected lower-case letters and digits"),
        ("6,1,main", "6,one,main", r"line 2, column TILEID: 'one', expected 0 to"),
        ("SPECTRO", "PETAL", r"has no column SPECTRO; it has NIGHT, EXPID"),
        (f",3,{EMPTY},1", "", r"line 6, column SPECTRO: '', expected 0 to 9"),
    ],
)
def test_a_table_that_is_none_is_refused(production, old, new, said):
    path = production / "exposure_tables/202501/exposure_healpix_20250115.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(MalformedFile, match=rf"exposure_healpix_20250115\.csv.*{said}"):
        write_release(production)
    assert not (production / "healpix/tilepix.fits").exists()


def test_a_production_without_coadds_is_no_release_and_one_without_exposures_is_refused(production, tmp_path, capsys):
    for pix64 in COADDS:
        Layout(production).healpix("coadd", "main", "dark", pix64).unlink()
    made = write_release(production)
    assert (made.coadds, made.without, made.changed) == (0, 4, ())
    assert not Layout(production).tilepix().exists()
    assert cli.run(program.main, program.build_parser(), ["--production", str(tmp_path)]) == 2
    assert "has no file exposure_tables/*/exposure_healpix_*.csv" in capsys.readouterr().err


WANTED = [(pix64, k) for pix64, coadd in COADDS.items() for k in range(len(coadd.sources.ra))]


def harvest(archive: Path, results: Path) -> dict[tuple[int, int], dict[str, bytes | float]]:
    """Harvest with the workflow's programs; return (pixel, TARGETID) → the arrays and redshift of each spectrum."""
    csv_file, targets = results / "t.csv", results / "targets"
    results.mkdir(exist_ok=True)
    with csv_file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "RA_DESI", "DEC_DESI"])
        for pix64, k in WANTED:
            sources = COADDS[pix64].sources
            writer.writerow([f"{pix64}-{k}", repr(float(sources.ra[k])), repr(float(sources.dec[k]))])
    write_targets(read_targets(csv_file), targets)
    release = ["--release", "sim-1", "--archive", str(archive)]
    tables = ["--targets", str(targets / "targets.parquet")]
    desi = results / "desi"
    places = ["--extracted", str(desi / "extracted"), "--assembled", str(results / "desi_crossmatches")]
    for program_, given in (
        (fetch_index, ["desi", *release, "--out", str(desi / "tilepix.fits")]),
        (plan_desi, [*release, *tables, "--tilepix", str(desi / "tilepix.fits"), "--out-dir", str(desi)]),
        (
            harvest_desi,
            [*release, *tables, "--plan", str(desi / "plan.csv"), "--batch", "all", "--arms", *places],
        ),
    ):
        assert cli.run(program_.main, program_.build_parser(), given) == 0
    found = {}
    for path in (results / "desi_crossmatches").rglob("*.hdf5"):
        with h5py.File(path) as file:
            group = file["desi"]
            names = [f"{arm}_{kind}" for arm in ARMS for kind in KINDS]
            for row, place in enumerate(zip(group["pix64"][:].tolist(), group["targetid"][:].tolist(), strict=True)):
                found[place] = {name: group[name][row].tobytes() for name in names} | {"z": float(group["z"][row])}
    return found


KINDS = ("flux", "ivar", "mask", "resolution")


def held(coadd: SimulatedCoadd) -> dict[tuple[int, int], dict[str, bytes]]:
    """Return the same of a coadd, but for redshifts."""
    return {
        (coadd.pix64, int(targetid)): {
            f"{arm}_{kind}": getattr(coadd, kind)[arm][k].tobytes() for arm in ARMS for kind in KINDS
        }
        for k, targetid in enumerate(coadd.sources.targetid)
    }


def test_it_is_harvested_as_dr1_is_bit_for_bit_and_again_where_it_is_reduced_again(production, tmp_path):
    archive, results = production.parents[2], tmp_path / "results"
    write_release(production)
    found = harvest(archive, results)
    assert len(found) == len(WANTED)
    redshifts = {place: spectrum.pop("z") for place, spectrum in found.items()}
    assert {place: np.isfinite(z) for place, z in redshifts.items()} == {place: place[0] == PIX for place in found}
    assert found == held(COADDS[PIX]) | held(COADDS[NEXT])

    def state() -> dict[str, str]:
        with (results / "desi/plan_pixels.csv").open() as lines:
            digests = {line["pix64"]: line["digest"] for line in csv.DictReader(lines)}
        files = (results / "desi/extracted").rglob("*.hdf5")
        return {f"digest of {pix64}": digest for pix64, digest in digests.items()} | {
            f"file of {path.stem}": str(path.stat().st_mtime_ns) for path in files
        }

    before = state()
    assert harvest(archive, results) and state() == before  # nothing is read again
    again = observed(NEXT, 2, 2, noise=1)
    write_coadd(Layout(production).healpix("coadd", "main", "dark", NEXT), again)
    write_release(production)
    found = harvest(archive, results)
    for spectrum in found.values():
        del spectrum["z"]
    assert found == held(COADDS[PIX]) | held(again)
    assert {name for name, now in state().items() if now != before[name]} == {f"digest of {NEXT}", f"file of {NEXT}"}
