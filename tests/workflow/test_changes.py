"""One results directory, one change of CSV or settings after another: what is served is of the last run, all of it."""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

import count_crossmatches
from hdf5_contents import contents
from range_server import serve
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.read import crossmatches, open_healpix, pixels
from skyharvest.surveys import SURVEYS

RESULTS = "results/demo"
CONFIG = """
targets: {{csv: {csv}, name: chandra}}
match: {{radius_arcsec: {radius}}}
desi: {{release: demo, archive: local, programs: {programs}}}
hetdex: {{enabled: true, release: demohetdex, archive: local}}
legacysurvey: {{enabled: {images}, release: demolegacysurvey, archive: local}}
results: {results}
"""
LEAN = """
targets: {{csv: mine.csv, name: chandra}}
desi: {{release: demo, archive: '{archive}', spectra: {{arms: {arms}}}}}
keep_extracted: {keep}
batch_seconds: 60
results: {results}
"""


KEY = ("TARGETID", "PROGRAM", "HEALPIX")  # of a spectrum, in an exported FIBERMAP


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def assert_that_all_agree(results: Path, rows: list[dict[str, str]], surveys: list[str]) -> None:
    """Compare what the reader returns with the ledger and with the CSV, row by row."""
    for survey in surveys:
        ledger = read_csv(results / survey / "ledger.csv")
        assert len(ledger) == len(rows)
        column = f"n_{SURVEYS[survey].product}"
        expected = {int(line["row"]): int(line[column]) for line in ledger if line[column] != "0"}
        served: Counter[int] = Counter()
        for pixel in crossmatches(results, survey):
            for row, ra in zip(pixel["chandra/row"].tolist(), pixel["RA_DESI"].tolist(), strict=True):
                served[row] += 1
                assert float(rows[row]["RA_DESI"]) == pytest.approx(ra, abs=1e-12)
        assert served == expected


def counted(results: Path, capsys: pytest.CaptureFixture[str], radius: float) -> int:
    words = ["--hdf5-root", str(results / "desi_crossmatches"), "--max-arcsec", str(radius)]
    assert cli.run(count_crossmatches.main, count_crossmatches.build_parser(), words) == 0
    return int(capsys.readouterr().out.splitlines()[-1].split()[2])


def matched(results: Path) -> int:
    return sum(line["status"] == "matched" for line in read_csv(results / "desi/ledger.csv"))


def test_what_is_served_is_of_the_last_run(tmp_path, demo, run, capsys):
    shutil.copytree(demo, tmp_path / "run", symlinks=True)
    directory, results = tmp_path / "run", tmp_path / "run" / RESULTS

    def change(rows, *targets, programs="[dark, bright, backup]", radius=1.0, images="true"):
        write_csv(directory / "mine.csv", rows)
        said = CONFIG.format(csv="mine.csv", programs=programs, radius=radius, images=images, results=RESULTS)
        (directory / "mine.yaml").write_text(said)
        done = run(directory, "--configfile", "mine.yaml", *(["--", *targets] if targets else []))
        assert done.status == 0, done.output[-5000:]
        return done.output

    first = read_csv(directory / "resources/demo/targets.csv")
    assert_that_all_agree(results, first, list(SURVEYS))
    of_pixel = [line for line in read_csv(results / "desi/ledger.csv") if line["pix64"]]
    kept = [first[int(line["row"])] for line in of_pixel if int(line["pix64"]) >> 4 in (766, 1216)]
    old = {survey: set(pixels(results, survey)) for survey in SURVEYS}

    # Rows are cut, the others have other numbers. The images are not asked for: theirs are of the old rows.
    output = change(kept[::-1], images="false")
    assert_that_all_agree(results, kept[::-1], ["desi", "hetdex"])
    assert set(pixels(results)) == old["desi"] & {766, 1216} != old["desi"]
    assert counted(results, capsys, 1.0) == matched(results)
    assert "do not belong to this one" in output
    moved = read_csv(results / "superseded/moved.csv")
    assert all((results / line["path"]).exists() for line in moved)
    kinds = Counter(line["path"].split("/")[2] for line in moved)
    assert kinds["desi_crossmatches"] == len(old["desi"] - {766, 1216})
    assert kinds["legacysurvey_crossmatches"] == 1
    assert not (results / "legacysurvey_crossmatches").exists()
    with pytest.raises(InputError, match="no results directory with legacysurvey_crossmatches"):
        pixels(results, "legacysurvey")

    # A corrected position and a wider radius; the exports and pages of a pixel are asked for.
    corrected = [dict(row) for row in kept[::-1]]
    corrected[0] |= {"RA_DESI": first[-1]["RA_DESI"], "DEC_DESI": first[-1]["DEC_DESI"], "healpix": ""}
    exported = ["all", "browse", "export_fits", "export_mmu"]
    change(corrected, *exported, images="false", radius=2.0)
    assert_that_all_agree(results, corrected, ["desi", "hetdex"])
    assert counted(results, capsys, 2.0) == matched(results)
    exports = [path.relative_to(results) for path in results.glob("export_*/healpix=*")]
    pages = [path.relative_to(results) for path in results.glob("report/healpix=*.html")]
    assert exports
    assert pages

    # All rows again, with other programs: nothing of the dark and bright ones is served, exported or shown any more.
    change(first, programs="[backup]")
    assert_that_all_agree(results, first, list(SURVEYS))
    for pixel in crossmatches(results):
        assert set(pixel["program"].tolist()) <= {"backup"}
    for path in (*exports, *pages):
        assert not (results / path).exists()
        assert list((results / "superseded").glob(f"*/{path}"))

    # Nothing is moved twice, nor by a run that has nothing to do.
    n_moved = len(read_csv(results / "superseded/moved.csv"))
    assert "do not belong" not in change(first, programs="[backup]")
    assert len(read_csv(results / "superseded/moved.csv")) == n_moved

    # A file of another run that somebody puts back is refused, however it is asked for.
    stale = next((results / "superseded").glob("*/desi_crossmatches/healpix=*"))
    shutil.copytree(stale, results / "desi_crossmatches" / stale.name, dirs_exist_ok=True)
    pix16 = int(stale.name.partition("=")[2])
    with pytest.raises(InputError, match=r"is of (another CSV|other settings) than .*desi/manifest\.json"):
        open_healpix(results, pix16)
    mine = tmp_path / "mine/desi_crossmatches"
    shutil.copytree(results / "desi_crossmatches", mine)
    with h5py.File(next(mine.glob("*/*.hdf5"))) as file:
        assert len(file.attrs["csv_sha256"]) == 64
    with pytest.raises(InputError, match="do not mix them"):
        list(crossmatches(tmp_path / "mine"))
    words = ["--hdf5-root", str(mine)]
    assert cli.run(count_crossmatches.main, count_crossmatches.build_parser(), words) == cli.EXIT_USAGE
    assert "do not mix them" in capsys.readouterr().err


def test_what_was_extracted_is_used_only_for_what_it_was_extracted_for(tmp_path, demo, run):
    shutil.copytree(demo, tmp_path / "run", symlinks=True)
    directory, results = tmp_path / "run", tmp_path / "run" / RESULTS
    first = read_csv(directory / "resources/demo/targets.csv")
    ledger = (results / "desi/ledger.csv").read_text()
    said = CONFIG.format(csv="mine.csv", programs="[dark, bright, backup]", radius=1.0, images="false", results=RESULTS)
    (directory / "mine.yaml").write_text(said.replace("hetdex: {enabled: true", "hetdex: {enabled: false"))

    def change(rows):
        write_csv(directory / "mine.csv", rows)
        done = run(directory, "--configfile", "mine.yaml")
        assert done.status == 0, done.output[-5000:]
        assert_that_all_agree(results, rows, ["desi"])

    # Fewer rows, in other batches, and back: the lists of the first batches are there, their files are others.
    change(first[:8])
    change(first)
    assert (results / "desi/ledger.csv").read_text() == ledger
    # Moved rows, where Snakemake has forgotten what it made from what.
    moved = [dict(row) for row in first]
    for line in read_csv(results / "desi/ledger.csv"):
        if line["status"] == "matched":
            row = moved[int(line["row"])]
            row["DEC_DESI"] = str(float(row["DEC_DESI"]) + 20 / 3600)
    shutil.rmtree(directory / ".snakemake")
    change(moved)
    assert matched(results) == 0


def test_without_extracted_spectra_a_change_reads_again_what_it_needs_and_nothing_else(tmp_path, demo, run):
    release, own, results = demo / "resources/demo", demo / RESULTS, tmp_path / "results"
    first = read_csv(release / "targets.csv")
    extracted = sorted(path.relative_to(own) for path in own.glob("desi/extracted/*/*.hdf5"))

    def change(rows, archive, *targets, results="results", keep="false", arms="false"):
        write_csv(tmp_path / "mine.csv", rows)
        said = LEAN.format(archive=archive, results=results, keep=keep, arms=arms)
        (tmp_path / "mine.yaml").write_text(said)
        done = run(tmp_path, "--configfile", "mine.yaml", *(["--", *targets] if targets else []))
        assert done.status == 0, done.output[-5000:]
        return done.output

    def crossmatches_of(results):
        return {path.parent.name: contents(path) for path in results.glob("desi_crossmatches/*/*.hdf5")}

    with serve(release) as server:

        def asked():
            pixels = {int(path.split("/")[-2]) for path, _ in server.requests if "coadd-" in path}
            server.forget()
            return pixels

        change(first, server.url)
        assert asked() == {int(path.stem) for path in extracted}
        assert (results / "desi/ledger.csv").read_text() == (own / "desi/ledger.csv").read_text()
        before = crossmatches_of(results)
        np.testing.assert_equal(before, crossmatches_of(own))
        size, whole = (sum((root / path).stat().st_size for path in extracted) for root in (results, own))
        assert size < whole / 20

        # What needs the spectra reads those of its pixels; nothing else is done for it.
        name = "export_fits/healpix=1702/coadd-1702.fits"
        output = change(first, server.url, f"results/{name}")
        assert asked() == {27245, 27246, 27247, 27258}
        assert set(re.findall(r"rule (\w+):", output)) == {"export_fits_pixel"}
        with fits.open(results / name) as exported:
            fibers = exported["FIBERMAP"].data
            assert len(fibers) > 20
            for k, (targetid, program, pix64) in enumerate(zip(*map(fibers.field, KEY), strict=True)):
                path = release / f"spectro/redux/demo/healpix/main/{program}/{pix64 // 100}/{pix64}"
                with fits.open(path / f"coadd-main-{program}-{pix64}.fits") as coadd:
                    (i,) = np.flatnonzero(coadd["FIBERMAP"].data["TARGETID"] == targetid)
                    for hdu in ("B_FLUX", "R_IVAR", "Z_RESOLUTION"):
                        np.testing.assert_array_equal(exported[hdu].data[k], coadd[hdu].data[i])

        # A row more in one NSIDE=64 pixel, other cells in the other rows: that needs the spectra of its NSIDE=16 pixel.
        with h5py.File(own / "desi/extracted/272/27246.hdf5") as file:
            position = {"RA_DESI": repr(float(file["ra"][0])), "DEC_DESI": repr(float(file["dec"][0])), "healpix": ""}
        more = [row | {"note": f"note {k}"} for k, row in enumerate([*first, first[0] | position])]
        change(more, server.url)
        assert asked() == {27245, 27246, 27247, 27258}
        assert_that_all_agree(results, more, ["desi"])
        for pixel in crossmatches(results):
            assert pixel["note"].tolist() == [f"note {row}" for row in pixel["chandra/row"].tolist()]
        after = crossmatches_of(results)
        assert after.keys() == before.keys()
        for pixel in before.keys() - {"healpix=1702"}:
            for dataset in (name for name in before[pixel] if name.startswith("desi/")):
                np.testing.assert_array_equal(after[pixel][dataset], before[pixel][dataset], err_msg=dataset)
        assert "Nothing to be done" in change(more, server.url)

        # The native arms are nowhere: all is read again, and is what it is where nothing was before.
        change(more, server.url, arms="true")
        assert asked() == {int(path.stem) for path in extracted}
    change(more, release, results="fresh", keep="true", arms="true")
    np.testing.assert_equal(crossmatches_of(results), crossmatches_of(tmp_path / "fresh"))
    assert (results / "desi/ledger.csv").read_text() == (tmp_path / "fresh/desi/ledger.csv").read_text()
