"""Maps, catalogued sources, raw detections and pictures of HETDEX, by Snakemake from a server, against the truth."""

import csv
import json
import math
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture

from range_server import serve
from small_catalogue import SPECTRA, TABLE, WAVE, sources, write_spectra, write_table
from small_detections import FACTOR, Made

CONFIG = """
targets: {{csv: {csv}, ra: RA_DESI, dec: DEC_DESI}}
desi: {{enabled: false}}
hetdex:
  enabled: true
  archive: {archive}
  maps: {{enabled: true, size_arcsec: 15, wavelength: LINE, fits: true}}
  catalogue: {{enabled: true, radius_arcsec: 2}}
  detections: {{detectids: catalogue, pictures: files}}
results: results
"""
N_SOURCES = 40


def jpeg(detectid: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + detectid.to_bytes(8, "big") * 50 + b"\xff\xd9"


@pytest.fixture(scope="module")
def truth(demo: Path):
    with h5py.File(demo / "resources/demo/hetdex/truth.hdf5") as file:
        yield {group: {name: data[:] for name, data in file[group].items()} for group in file}


@pytest.fixture(scope="module")
def archive(demo: Path, truth, tmp_path_factory) -> Path:
    """The demo's cubes; a catalogue with a source on every one of theirs, each of which has a detection."""
    root = tmp_path_factory.mktemp("pdr1")
    for name in ("ifu-index.fits", "datacubes"):
        (root / name).symlink_to(demo / "resources/demo/hetdex" / name)
    detections = Made(root, 100)
    table = sources(N_SOURCES)
    n = len(truth["sources"]["ra"])
    table["DEC"] = -80  # the others, far from all
    table["RA"][10 : 10 + n], table["DEC"][10 : 10 + n] = truth["sources"]["ra"], truth["sources"]["dec"]
    table["detectid"] = detections.some(N_SOURCES)
    write_table(root / TABLE, table)
    write_spectra(root / SPECTRA, table)
    for detectid in table["detectid"].tolist():
        path = root / f"detect/elixer/{str(detectid)[:5]}/{detectid}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(detectid))
    return root


@pytest.fixture(scope="module")
def made(demo: Path, truth, archive, tmp_path_factory, run):
    """A run that lacks one picture, and the run after it, and one more."""
    directory = tmp_path_factory.mktemp("products")
    line = dict(zip(truth["rows"]["row"].tolist(), truth["rows"]["source"].tolist(), strict=True))
    with (demo / "resources/demo/targets.csv").open(newline="") as stream:
        first, *lines = csv.reader(stream)
    for row, cells in enumerate(lines):
        cells.append(repr(truth["sources"]["line_wave"][line[row], 1].item()) if row in line else "")
    with (directory / "targets.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([[*first, "LINE"], *lines])
    with fits.open(archive / TABLE) as hdus:
        detectid = int(hdus[1].data["detectid"][10])
    picture = archive / f"detect/elixer/{str(detectid)[:5]}/{detectid}.jpg"
    picture.rename(picture.with_suffix(".away"))
    outputs = []
    with serve(archive) as server:
        (directory / "my.yaml").write_text(CONFIG.format(csv="targets.csv", archive=server.url))
        for again in range(3):
            done = run(directory, "--configfile", "my.yaml")
            assert done.status == 0, done.output
            missing = (directory / "results/hetdex/elixer/elixer_missing.csv").read_text().splitlines()[1:]
            outputs.append((done.output, missing))
            if again == 0:
                picture.with_suffix(".away").rename(picture)
    return directory, detectid, outputs


def test_a_line_map_has_the_lines_flux_at_the_sources_place(made, truth):
    directory, _, _ = made
    source_of = dict(zip(truth["rows"]["row"].tolist(), truth["rows"]["source"].tolist(), strict=True))
    pulls = []
    for path in sorted((directory / "results/hetdex_crossmatches").glob("healpix=*/crossmatch_hetdex.hdf5")):
        with h5py.File(path) as file:
            rows, maps = file["chandra/row"][:], file["hetdex/maps"] if "maps" in file["hetdex"] else None
            files = sorted(path.parent.glob("maps/*.fits"))
            assert len(files) == len(rows)
            for i, row in enumerate(rows.tolist()):
                shotid, slot = file["hetdex/shotid"][i], file["hetdex/ifuslot"][i].decode()
                cards = {**maps["wcs"].attrs, **{card: values[i] for card, values in maps["wcs"].items()}}
                at = SkyCoord(file["hetdex/ra"][i], file["hetdex/dec"][i], unit="deg")
                x, y = WCS(fits.Header(cards)).world_to_pixel(at)
                assert max(abs(x - 15), abs(y - 15)) <= 0.5 + 1e-6
                with fits.open(path.parent / f"maps/{row}_{shotid}_{slot}.fits") as hdus:
                    for name in ("line", "broad", "narrow_error"):
                        np.testing.assert_array_equal(hdus[name.upper()].data, maps[name][i])
                    assert hdus[0].header["ROW"] == row
                source = source_of[row]
                assert maps["wave"][i] == truth["sources"]["line_wave"][source, 1]
                weights = CircularAperture((x, y), 7).to_mask(method="exact").to_image((31, 31))
                line, error, coverage = (maps[name][i] for name in ("line", "line_error", "narrow_coverage"))
                inside = weights > 0
                if not np.all(np.isfinite(line[inside])) or coverage[inside].min() < 1:
                    continue  # off the cube, or masked
                pairs = truth["pairs"]
                cube = np.flatnonzero(
                    (truth["cubes"]["shotid"] == shotid) & (truth["cubes"]["ifuslot"] == slot.encode())
                )[0]
                (k,) = np.flatnonzero((pairs["source"] == source) & (pairs["cube"] == cube))
                in_band = math.erf(10 / truth["sources"]["line_sigma"][source, 1] / math.sqrt(2))
                expected = in_band * pairs["fraction"][k] * truth["sources"]["line_flux"][source, 1]
                found = (weights * line)[inside].sum()
                pulls.append((found - expected) / math.hypot(*(weights * error)[inside]))
    assert len(pulls) >= 3
    assert np.abs(pulls).max() < 4


def test_without_desi_there_are_pages_all_the_same(made, run):
    directory, _, _ = made
    done = run(directory, "browse", "--configfile", "my.yaml")
    assert done.status == 0, done.output
    pages = sorted((directory / "results/report").glob("healpix=*.html"))
    found = sorted((directory / "results/hetdex_crossmatches").glob("healpix=*/crossmatch_hetdex.hdf5"))
    assert [page.stem for page in pages] == [path.parent.name for path in found]
    for page, path in zip(pages, found, strict=True):
        table = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])["table"]
        with h5py.File(path) as file:
            rows = file["chandra/row"][:].tolist()
        assert table["row"] == sorted(set(rows))
        assert table["n_hetdex"] == [rows.count(row) for row in table["row"]]
    (directory / "images.yaml").write_text(
        "targets: {csv: targets.csv, ra: RA_DESI, dec: DEC_DESI}\ndesi: {enabled: false}\n"
        "legacysurvey: {enabled: true, archive: .}\nresults: images\n"
    )
    done = run(directory, "browse", "--configfile", "images.yaml")
    assert done.status != 0
    assert "set `desi: enabled: true`" in done.output


def test_catalogued_sources_and_their_detections_come_with_their_spectra(made, truth, archive):
    directory, _, _ = made
    with fits.open(archive / TABLE) as hdus:
        table = np.array(hdus[1].data)
    with h5py.File(directory / "results/hetdex/catalogue.hdf5") as file:
        at = {int(k): k - 10 for k in file["catalogue_row"][:]}
        assert set(at) == set(range(10, 10 + len(truth["sources"]["ra"])))
        assert set(file["row"][:].tolist()) == set(truth["rows"]["row"].tolist())
        np.testing.assert_array_equal(file["source_id"][:], table["source_id"][file["catalogue_row"][:]])
        np.testing.assert_array_equal(file["spectrum_lambda"][:], WAVE)
        assert file["separation_arcsec"][:].max() < 0.1
        wanted = list(dict.fromkeys(file["detectid"][:].tolist()))
    with h5py.File(directory / "results/hetdex/detections.hdf5") as file:
        assert file["detectid"][:].tolist() == wanted
        databases = {}
        for name in ("detect_hdr3", "cont_hdr3", "detect_hdr5"):
            with h5py.File(archive / f"detect/{name}.h5") as database:
                databases |= {int(row["detectid"]): row["spec1d"] for row in database["Spectra"][:]}
        for detectid, flux in zip(wanted, file["spectrum_flux"][:], strict=True):
            np.testing.assert_allclose(flux, databases[detectid].astype(float) / FACTOR / 2, rtol=3e-7)


def test_a_missing_picture_is_listed_and_fetched_on_the_next_run(made, truth):
    directory, detectid, outputs = made
    (_, before), (second, after), (third, _) = outputs
    assert [line.split(",")[0] for line in before] == [str(detectid)]
    assert after == []
    assert "fetch_elixer" in second
    assert "harvest_hetdex" not in second
    assert "Nothing to be done" in third
    found = {}
    for path in (directory / "results/hetdex/elixer").glob("elixer_*.db"):
        with sqlite3.connect(path) as database:
            found |= dict(database.execute("SELECT detectid, image FROM report"))
    assert len(found) == len(truth["sources"]["ra"])
    assert all(image == jpeg(number) for number, image in found.items())
    assert detectid in found
