"""The Legacy Surveys in the demo, run by Snakemake beside DESI and HETDEX, against what was simulated."""

import csv
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from range_server import serve
from skyharvest.simulate.legacysurvey.brick import enclosed

RESULTS, RELEASE = "results/demo", "resources/demo/legacysurvey"


@pytest.fixture(scope="module")
def truth(demo: Path):
    with h5py.File(demo / RELEASE / "truth.hdf5") as file:
        found = {group: {name: data[:] for name, data in file[group].items()} for group in file}
        fwhm = np.broadcast_to(file.attrs["fwhm_arcsec"], len(file.attrs["bands"])).tolist()
        yield found | {"fwhm": dict(zip(file.attrs["bands"].astype(str), fwhm, strict=True))}


def assembled(results: Path) -> dict[int, dict[str, np.ndarray]]:
    """Every assembled row by CSV row: its columns by name."""
    rows = {}
    for path in sorted(results.glob("legacysurvey_crossmatches/healpix=*/crossmatch_legacysurvey.hdf5")):
        with h5py.File(path) as file:
            group, n = file["legacysurvey"], len(file["chandra/row"])
            assert group.attrs["pixscale"] == 0.262
            columns = {name: data[:] for name, data in group.items() if isinstance(data, h5py.Dataset)}
            cards = {name: data[:] for name, data in group["wcs"].items()}
            for i, row in enumerate(file["chandra/row"][:].tolist()):
                one = {name: values[i] for name, values in columns.items() if len(values) == n and name != "band"}
                wcs = {**group["wcs"].attrs, **{name: values[i] for name, values in cards.items()}}
                rows[row] = one | {"wcs": WCS(fits.Header(wcs)), "band": columns["band"]}
                rows[row]["aperture_radius"] = columns["aperture_radius"]
    return rows


@pytest.fixture(scope="module")
def rows(demo: Path):
    return assembled(demo / RESULTS)


def ledger(results: Path) -> list[dict[str, str]]:
    with (results / "legacysurvey/ledger.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_csv_row_is_accounted_for_once(demo, truth, rows):
    lines = ledger(demo / RESULTS)
    with (demo / "resources/demo/targets.csv").open(newline="") as stream:
        assert [int(line["row"]) for line in lines] == list(range(len(list(csv.DictReader(stream)))))
    on_disk = dict(zip(truth["rows"]["row"].tolist(), truth["bricks"]["on_disk"][truth["rows"]["brick"]], strict=True))
    for line in lines:
        row = int(line["row"])
        if line["status"] == "rejected":
            continue
        expected = "not_covered" if row not in on_disk else "matched" if on_disk[row] else "brick_absent"
        assert line["status"] == expected
        assert int(line["n_images"]) == (row in rows) == (expected == "matched")
    assert {line["status"] for line in lines} == {"matched", "brick_absent", "not_covered", "rejected"}
    summary = json.loads((demo / RESULTS / "legacysurvey/summary.json").read_text())
    assert {status: n for status, n in summary["status"].items() if n} == Counter(line["status"] for line in lines)
    assert summary["images"] == len(rows)


def test_stars_are_where_and_as_bright_as_they_were_simulated(truth, rows):
    star_of = dict(zip(truth["rows"]["row"].tolist(), truth["rows"]["star"].tolist(), strict=True))
    pulls = []
    for row, found in rows.items():
        star = star_of[row]
        at = SkyCoord(truth["stars"]["ra"][star], truth["stars"]["dec"][star], unit="deg")
        x, y = found["wcs"].world_to_pixel(at)
        assert (x, y) == pytest.approx((found["x"] - found["x0"], found["y"] - found["y0"]), abs=0.05)
        for b, band in enumerate(found["band"].astype(str)):
            k = found["aperture_radius"].tolist().index(1.5)
            if found["aperture_good"][b, k] < 1:
                continue
            flux, error = (found[name][b, k] for name in ("aperture_flux", "aperture_flux_error"))
            expected = truth["stars"]["flux"][star, b] * enclosed(1.5, truth["fwhm"][band])
            pulls.append((flux - expected) / np.hypot(error, 2e-3 * expected))
            assert found["aperture_magnitude"][b, k] == pytest.approx(22.5 - 2.5 * np.log10(flux), abs=1e-9)
    assert len(pulls) > 25
    assert np.abs(pulls).max() < 4.5
    assert np.abs(np.mean(pulls)) < 0.6


def test_cutouts_are_the_bricks_own_pixels_and_go_on_in_the_neighbours(demo, rows):
    stitched = 0
    for found in rows.values():
        region, name = found["region"].decode(), found["brickname"].decode()
        directory = demo / RELEASE / f"{region}/coadd/{name[:3]}/{name}"
        for b, band in enumerate(found["band"].astype(str)):
            path = directory / f"legacysurvey-{name}-image-{band}.fits.fz"
            if not path.exists():
                continue
            whole = fits.getdata(path, 1)
            y0, x0 = int(found["y0"]), int(found["x0"])
            y1, y2, x1, x2 = max(y0, 0), min(y0 + 160, 452), max(x0, 0), min(x0 + 160, 452)
            to = slice(y1 - y0, y2 - y0), slice(x1 - x0, x2 - x0)
            np.testing.assert_array_equal(found["image"][b][to], whole[y1:y2, x1:x2])
            outside = np.ones((160, 160), bool)
            outside[to] = False
            given = np.isfinite(found["image"][b])
            assert given[~outside].all()
            assert found["coverage"][b] == pytest.approx(given.mean(), abs=1e-9)
            assert not found["invvar"][b][~given].any()
            stitched += bool((given & outside).any())
    assert stitched >= 4


def test_every_pixel_has_a_contact_sheet(demo):
    sheets = sorted((demo / RESULTS).glob("legacysurvey_crossmatches/healpix=*/contact_sheet.png"))
    assert len(sheets) == len(list((demo / RESULTS).glob("legacysurvey_crossmatches/healpix=*")))
    for sheet in sheets:
        with Image.open(sheet) as image:
            assert min(image.size) > 200


def settings(demo: Path, archive: str, **more: str) -> list[str]:
    images = "".join(f", {key}: {value}" for key, value in more.items())
    return [
        "--config",
        f"targets={{csv: {demo / 'resources/demo/targets.csv'}, ra: RA_DESI, dec: DEC_DESI}}",
        "desi={enabled: false}",
        "hetdex={enabled: false}",
        f"legacysurvey={{enabled: true, release: demolegacysurvey, archive: {archive}{images}}}",
        "results=results",
    ]


@pytest.mark.parametrize("transfer", ["rows", "files"])
def test_over_http_the_same_cutouts_come_by_tiles_and_by_files(demo, run, rows, tmp_path, transfer):
    with serve(demo / RELEASE) as server:
        done = run(tmp_path, *settings(demo, server.url, transfer=transfer))
    assert done.status == 0, done.output
    found = assembled(tmp_path / "results")
    assert found.keys() == rows.keys()
    for row, columns in rows.items():
        for name, values in columns.items():
            if name != "wcs":
                np.testing.assert_array_equal(found[row][name], values, err_msg=f"{row} {name}")
    assert not [path for path in (tmp_path / "results").rglob("*.fits.fz*") if path.is_file()]


def test_bad_files_cost_their_own_band_and_nothing_else(demo, run, rows, tmp_path):
    """And what is bad for one brick only is mended by the next run."""
    archive = tmp_path / "archive"
    for path in (demo / RELEASE).rglob("*"):
        to = archive / path.relative_to(demo / RELEASE)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        else:
            to.symlink_to(path)
    bad = next(row for row, found in rows.items() if found["brickname"] == b"1485p017")  # no one's neighbour
    name, region = (rows[bad][key].decode() for key in ("brickname", "region"))
    files = {
        band: archive / f"{region}/coadd/{name[:3]}/{name}/legacysurvey-{name}-image-{band}.fits.fz" for band in "gr"
    }
    whole = files["g"].read_bytes()
    for path, data in ((files["g"], whole[: len(whole) // 2]), (files["r"], b"<!DOCTYPE html><html>Sorry</html>")):
        path.unlink()
        path.write_bytes(data)
    done = run(tmp_path, *settings(demo, str(archive)))
    assert done.status == 0, done.output
    found = assembled(tmp_path / "results")
    assert found.keys() == rows.keys()
    bands = rows[bad]["band"].astype(str).tolist()
    for row, columns in rows.items():
        for k, band in enumerate(bands):
            mine, theirs = found[row]["image"][k], columns["image"][k]
            if columns["brickname"].decode() == name and band in "gr":
                assert np.isnan(mine).all()
            else:
                np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(found[row]["invvar"], columns["invvar"])
    lines = ledger(tmp_path / "results")
    assert lines[bad]["status"] == "matched"
    assert int(lines[bad]["missing_files"]) >= 2
    said = (tmp_path / "results/legacysurvey/summary.json").read_text()
    assert "an HTML page" in said
    assert f"{name}-image-g" in said
    for band, path in files.items():
        path.unlink()
        path.symlink_to(demo / RELEASE / path.relative_to(archive))
        assert path.exists(), band
    done = run(tmp_path, *settings(demo, str(archive)))
    assert done.status == 0, done.output
    np.testing.assert_array_equal(assembled(tmp_path / "results")[bad]["image"], rows[bad]["image"])
    assert "Nothing to be done" in run(tmp_path, *settings(demo, str(archive))).output


class Viewer(BaseHTTPRequestHandler):
    """Gives a picture for everything, and notes what it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        picture = b"\xff\xd8\xff\xe0" + self.path.encode() + b"\xff\xd9"
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(picture)))
        self.end_headers()
        self.wfile.write(picture)

    def log_message(self, *_: object) -> None:
        pass


def test_the_viewers_pictures_come_with_the_run_and_are_not_asked_for_twice(demo, run, tmp_path):
    some = tmp_path / "some.csv"
    with (demo / "resources/demo/targets.csv").open(newline="") as stream:
        lines = stream.read().splitlines()
    some.write_text("\n".join([lines[0], lines[1], lines[4], lines[10]]) + "\n")
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Viewer,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        viewer = f"viewer: {{layers: [unwise-neo7], size: 64, address: 'http://127.0.0.1:{server.server_port}/viewer'}}"
        command = settings(demo, str(demo / RELEASE))
        command[1] = f"targets={{csv: {some}, ra: RA_DESI, dec: DEC_DESI}}"
        command[4] = command[4].removesuffix("}") + f", {viewer}}}"
        done = run(tmp_path, *command)
        assert done.status == 0, done.output
        again = run(tmp_path, *command)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with (tmp_path / "results/legacysurvey/viewer/viewer.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [line["status"] for line in found] == ["there"] * len(found)
    assert len(found) == len(asked) == len(set(asked)) > 0
    assert all("layer=unwise-neo7" in path and "size=64" in path for path in asked)
    pictures = list((tmp_path / "results/legacysurvey/viewer").glob("unwise-neo7/*/*.jpg"))
    assert len(pictures) == len(found)
    assert "Nothing to be done" in again.output
