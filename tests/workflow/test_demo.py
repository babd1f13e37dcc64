"""The demo, run by Snakemake, against what was simulated."""

import csv
import json
import re
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from range_server import serve
from running import finish, start

RESULTS = "results/demo"
ARCHIVE = "resources/demo"
ALONE = ["hetdex={enabled: false}", "legacysurvey={enabled: false}"]


@pytest.fixture(scope="module")
def truth(demo: Path):
    with h5py.File(demo / ARCHIVE / "truth.hdf5") as file:
        yield {group: {name: data[:] for name, data in file[group].items()} for group in file}


@pytest.fixture(scope="module")
def assembled(demo: Path):
    """Every assembled file's groups, by NSIDE=16 pixel."""
    files = sorted((demo / RESULTS / "desi_crossmatches").glob("healpix=*/crossmatch_desi.hdf5"))
    opened = {int(path.parent.name.removeprefix("healpix=")): h5py.File(path) for path in files}
    yield opened
    for file in opened.values():
        file.close()


def pairs(assembled):
    """Yield (CSV row, file, index) of every assembled row."""
    for file in assembled.values():
        for index, row in enumerate(file["chandra/row"][:]):
            yield int(row), file["desi"], index


def test_every_row_has_the_status_that_was_simulated(demo, truth):
    with (demo / RESULTS / "desi/ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    expected = truth["rows"]
    assert [int(line["row"]) for line in lines] == expected["row"].tolist()
    assert [line["status"] for line in lines] == [status.decode() for status in expected["status"]]
    for column in ("n_spectra", "n_within_report_radius", "missing_coadds"):
        assert [int(line[column]) for line in lines] == expected[column].tolist(), column
    nearest = np.array([float(line["nearest_arcsec"] or "nan") for line in lines])
    np.testing.assert_allclose(nearest, expected["nearest_arcsec"], atol=2e-5)
    pix64 = [int(line["pix64"] or -1) for line in lines]
    rejected = expected["status"] == b"rejected"
    assert [pix for pix, out in zip(pix64, rejected, strict=True) if not out] == expected["pix64"][~rejected].tolist()


def test_the_totals_add_up_to_the_csv(demo, truth):
    summary = json.loads((demo / RESULTS / "desi/summary.json").read_text())
    assert sum(summary["status"].values()) == summary["rows"] == len(truth["rows"]["row"])
    assert summary["spectra"] == len(truth["matches"]["row"])
    with (demo / RESULTS / "targets/rejected.csv").open(newline="") as stream:
        assert sum(1 for _ in csv.DictReader(stream)) == summary["status"]["rejected"]


def test_every_simulated_pair_is_there_once_with_its_spectrum(truth, assembled):
    spectra, matches = truth["spectra"], truth["matches"]

    def key(k):
        return int(spectra["targetid"][k]), spectra["program"][k].decode(), int(spectra["pix64"][k])

    wanted = {
        (int(row), *key(k)): (int(k), separation)
        for row, k, separation in zip(matches["row"], matches["spectrum"], matches["separation_arcsec"], strict=True)
    }
    found = {}
    chi, redshift, classes = [], [], []
    for row, desi, i in pairs(assembled):
        name = (row, int(desi["targetid"][i]), desi["program"][i].decode(), int(desi["pix64"][i]))
        assert name not in found
        found[name] = i
        k, separation = wanted[name]
        assert desi["separation_arcsec"][i] == pytest.approx(separation, abs=1e-5)
        assert (desi["ra"][i], desi["dec"][i]) == (spectra["ra"][k], spectra["dec"][k])
        ivar = desi["spectrum_ivar"][i]
        good = ivar > 0
        residual = (desi["spectrum_flux"][i] - spectra["flux"][k]) * np.sqrt(ivar)
        chi.append(residual[good])
        assert np.all(desi["spectrum_mask"][i][good] == 0)
        assert np.all(desi["spectrum_mask"][i][~good] != 0)
        redshift.append(desi["z"][i] - spectra["z"][k])
        classes.append((desi["spectype"][i], spectra["spectype"][k]))
    assert set(found) == set(wanted)
    chi = np.concatenate(chi)
    assert abs(chi.mean()) < 0.02
    assert chi.std() == pytest.approx(1, abs=0.02)
    assert np.abs(redshift).max() < 5e-4
    assert all(a == b for a, b in classes)


def test_the_line_spread_function_is_the_simulated_one(truth, assembled):
    spectra = truth["spectra"]
    index = {
        (int(t), p, int(pix)): k
        for k, (t, p, pix) in enumerate(zip(spectra["targetid"], spectra["program"], spectra["pix64"], strict=True))
    }
    for _, desi, i in pairs(assembled):
        k = index[int(desi["targetid"][i]), desi["program"][i], int(desi["pix64"][i])]
        sigma = desi["spectrum_lsf_sigma"][i]
        arms = np.full((3, 7781), np.nan)
        for n, (arm, first) in enumerate((("b", 0), ("r", 2700), ("z", 4900))):
            true = spectra[f"lsf_sigma_{arm}"][k]
            arms[n, first : first + len(true)] = true
        assert np.all(np.isfinite(sigma))
        assert np.all(sigma > np.nanmin(arms, axis=0) - 0.1)
        assert np.all(sigma < np.nanmax(arms, axis=0) + 0.1)


def test_extracted_arms_are_the_coadds_bit_for_bit(demo):
    n = 0
    for path in sorted((demo / RESULTS / "desi/extracted").glob("*/*.hdf5")):
        with h5py.File(path) as file:
            if "row" not in file or not len(file["row"]):
                continue
            paths = [text.decode() for text in file["files/path"][:]]
            for k in np.unique(file["file"][:]):
                with fits.open(demo / ARCHIVE / paths[k]) as coadd:
                    redrock = (demo / ARCHIVE / paths[k]).with_name(Path(paths[k]).name.replace("coadd-", "redrock-"))
                    z = fits.getdata(redrock, "REDSHIFTS")
                    order = {int(t): i for i, t in enumerate(z["TARGETID"])}
                    fiber = {int(t): i for i, t in enumerate(coadd["FIBERMAP"].data["TARGETID"])}
                    for i in np.flatnonzero(file["file"][:] == k):
                        at = fiber[int(file["targetid"][i])]
                        for arm in "brz":
                            for kind in ("flux", "ivar", "mask", "resolution"):
                                expected = coadd[f"{arm}_{kind}".upper()].data[at]
                                np.testing.assert_array_equal(file[f"{arm}/{kind}"][i], expected)
                        assert file["redshifts/Z"][i] == z["Z"][order[int(file["targetid"][i])]]
                        n += 1
    assert n > 50


def test_one_spectrum_of_each_source_is_primary_by_desis_rule(truth, assembled):
    spectra, matches = truth["spectra"], truth["matches"]
    best = {}
    for row, k in zip(matches["row"].tolist(), matches["spectrum"].tolist(), strict=True):
        rank = (spectra["zwarn"][k] == 0, spectra["tsnr2_lrg"][k])
        best[row] = max(best.get(row, (rank, k)), (rank, k))
    chosen = {}
    for row, desi, i in pairs(assembled):
        if desi["primary"][i]:
            assert row not in chosen
            chosen[row] = (int(desi["targetid"][i]), desi["program"][i])
    assert chosen == {row: (int(spectra["targetid"][k]), spectra["program"][k]) for row, (_, k) in best.items()}


def test_the_csvs_columns_stand_beside_the_spectra(demo, assembled):
    table = pd.read_csv(demo / ARCHIVE / "targets.csv", dtype=str, keep_default_na=False)
    types = {"RA_DESI": "f", "flux_aper_b": "f", "obsid": "i", "region_id": "O", "note": "O"}
    for file in assembled.values():
        group = file["chandra"]
        rows = group["row"][:]
        assert set(group) == {"row", *table.columns}
        for name in table.columns:
            values = group[name][:]
            assert len(values) == len(rows) == len(file["desi/targetid"])
            if name in types:
                assert values.dtype.kind == types[name], name
            for value, cell in zip(values, table[name].iloc[rows], strict=True):
                if isinstance(value, bytes):
                    assert value.decode() == cell
                elif cell == "":
                    assert np.isnan(value)
                else:
                    assert value == float(cell)


def test_files_say_where_they_come_from(assembled):
    for pixel, file in assembled.items():
        about = dict(file.attrs)
        assert (about["release"], about["specprod"], about["nside"], about["ordering"]) == (
            "demo",
            "demo",
            16,
            "NESTED",
        )
        assert about["healpix"] == pixel
        assert about["radius_arcsec"] == 1.0
        assert re.fullmatch(r"[0-9a-f]{16}", about["config_hash"])
        assert {"workflow_version", "git_commit", "created"} <= set(about)


def test_a_second_run_has_nothing_to_do(demo, run):
    done = run(demo, "--dry-run")
    assert done.status == 0
    assert "Nothing to be done" in done.output


@pytest.mark.parametrize(
    ("rule", "asked_for"),
    [("extract_desi", "desi/extracted/batches/1702.csv"), ("extract_desi_pixel", "desi/extracted/272/27246.hdf5")],
)
def test_a_printed_command_runs_when_pasted(demo, run, rule, asked_for):
    """Remove one pixel's files, let a dry run print the command, and paste it into a shell with nothing prepared."""
    target, pixel = demo / RESULTS / asked_for, demo / RESULTS / "desi/extracted/272/27246.hdf5"
    before = {path: path.read_bytes() for path in (target, pixel)}
    done = run(demo, "-n", "-p", "--forcerun", rule, "--", str(target.relative_to(demo)))
    commands = [
        line.strip().removeprefix("Shell command: ") for line in done.output.splitlines() if "/extract_desi.py " in line
    ]
    assert len(commands) == 1, done.output
    for path in before:
        path.unlink()
    shell = {"PATH": "/usr/bin:/bin"}
    pasted = subprocess.run(
        ["bash", "-c", commands[0]], cwd=demo, env=shell, capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_rows_and_files_over_http_give_what_the_local_run_gave(demo, run):
    """The pixel with two programs, the one with an absent coadd, and one across RA 0: byte for byte."""
    wanted = ["272/27246", "272/27247", "194/19456", "180/18090"]
    with serve(demo / ARCHIVE) as server:
        for transfer in ("rows", "files"):
            results = f"results/{transfer}"
            targets = [f"{results}/desi/extracted/{name}.hdf5" for name in wanted]
            setting = f"desi={{archive: '{server.url}', transfer: {transfer}}}"
            done = run(demo, "--config", setting, f"results={results}", "--", *targets)
            assert done.status == 0, done.output
            for name, target in zip(wanted, targets, strict=True):
                assert (demo / target).read_bytes() == (demo / RESULTS / f"desi/extracted/{name}.hdf5").read_bytes()
            served = {path for path, span in server.requests if not span}
            assert any("coadd-" in path for path in served) == (transfer == "files")
    kept = [path for path in (demo / "resources/desi").rglob("*.fits") if path.name != "tilepix.fits"]
    assert kept == []  # downloaded coadds are temporary


def test_a_cached_error_page_is_fetched_again(demo, run):
    settings = ["--config", "results=results/again", "--", "plan"]
    assert run(demo, *settings).status == 0
    cached = demo / "resources/desi/demo/tilepix.fits"
    good = cached.read_bytes()
    cached.write_bytes(b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>\n")
    done = run(demo, *settings)
    assert done.status == 0, done.output
    assert cached.read_bytes() == good
    assert "HTML page" in (demo / "results/again/logs/plan_desi.log").read_text()
    assert re.search(r"coadds to read +24", done.output), done.output


def test_only_pixels_with_new_targets_are_extracted_again(demo, run):
    """One more CSV row, in one pixel: the plan is made anew, and that pixel is the only one to be read again."""
    (demo / "data").mkdir()
    rows = (demo / ARCHIVE / "targets.csv").read_text().splitlines()
    settings = ["--config", "targets={csv: data/targets.csv, healpix: null}", *ALONE, "results=results/grown"]
    (demo / "data/targets.csv").write_text("\n".join(rows) + "\n")
    wanted = [f"results/grown/desi/extracted/batches/{name}.csv" for name in ("1702", "1216")]
    assert run(demo, *settings, "--", *wanted).status == 0
    with h5py.File(demo / "results/grown/desi/extracted/272/27246.hdf5") as file:
        ra, dec = file["ra"][0], file["dec"][0]
    (demo / "data/targets.csv").write_text("\n".join([*rows, f"new,{ra},{dec},,,,,,"]) + "\n")
    assert run(demo, *settings, "--", "plan").status == 0
    written = {path: path.stat().st_mtime_ns for path in (demo / "results/grown/desi/extracted").glob("*/*.hdf5")}
    done = run(demo, *settings, "--", *wanted)
    assert done.output.count("rule extract_desi:") == 1
    assert "params" in done.output.lower()
    assert [path.stem for path, when in written.items() if path.stat().st_mtime_ns != when] == ["27246"]


def test_a_plan_shows_every_job(demo, run):
    assert run(demo, "plan", "--config", "results=results/planned").status == 0
    done = run(demo, "-n", "--config", "results=results/planned")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.output, re.M))
    finished = demo / RESULTS
    assert int(counts["extract_desi"]) == len(list(finished.glob("desi/extracted/batches/*.csv")))
    assert int(counts["assemble_desi"]) == len(list(finished.glob("desi_crossmatches/*/*.hdf5")))


@pytest.mark.parametrize("profile", ["slurm", "nersc"])
def test_the_clusters_profiles_are_what_snakemake_understands(demo, profile):
    done = finish(start(demo, "-n", "--config", "results=results/cluster", profile=profile), 60)
    assert done.status == 0, done.output
    assert "simulate_release" in done.output or "prepare_targets" in done.output


def test_the_lists_of_the_batches_name_every_extracted_file_once(demo):
    listed = [
        int(line["unit"])
        for path in (demo / RESULTS / "desi/extracted/batches").glob("*.csv")
        for line in csv.DictReader(path.read_text().splitlines())
    ]
    assert sorted(listed) == sorted(int(path.stem) for path in (demo / RESULTS).glob("desi/extracted/*/*.hdf5"))


def test_a_failing_pixel_fails_only_what_needs_it_and_is_the_only_one_to_be_tried_again(demo, run):
    """27246 is one of two pixels of its batch; its server is down at first."""
    finished = demo / RESULTS
    with serve(demo / ARCHIVE) as server:
        server.misbehave = lambda handler, _: "27246" in handler.path and handler.answer(403, b"") is None
        settings = ["--config", f"desi={{archive: '{server.url}'}}", *ALONE, "results=results/refused"]
        done = run(demo, *settings)
        assert done.status != 0
        assert "27246" in done.output and "HTTP 403" in done.output
        made = {path.parent.name for path in (demo / "results/refused/desi_crossmatches").glob("*/*.hdf5")}
        every = {path.parent.name for path in (finished / "desi_crossmatches").glob("*/*.hdf5")}
        assert made == every - {"healpix=1702"}
        assert not (demo / "results/refused/desi/ledger.csv").exists()
        server.misbehave = None
        server.forget()
        assert run(demo, *settings).status == 0
        asked = {path for path, _ in server.requests if not path.endswith("tilepix.fits")}
        assert {path.split("/")[-2] for path in asked} == {"27246"}
    assert (demo / "results/refused/desi/ledger.csv").read_text() == (finished / "desi/ledger.csv").read_text()


def test_a_removed_extracted_file_is_made_again_when_it_is_needed(demo, run):
    """As the message about a torn one asks for."""
    assert run(demo, "--config", *ALONE, "results=results/removed").status == 0
    pixel = demo / "results/removed/desi/extracted/272/27246.hdf5"
    before = pixel.read_bytes()
    pixel.unlink()
    assert "Nothing to be done" in run(demo, "--config", *ALONE, "results=results/removed").output
    (demo / "results/removed/desi_crossmatches/healpix=1702/crossmatch_desi.hdf5").unlink()
    done = run(demo, "--config", *ALONE, "results=results/removed")
    assert done.status == 0, done.output
    assert done.output.count("rule extract_desi_pixel:") == 1
    assert done.output.count("rule extract_desi:") == 0
    assert pixel.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "dessi={enabled: false}"], "did you mean 'desi'"),
        (["--config", "desi={relase: dr1}"], "did you mean 'release'"),
        (["--config", "desi={release: dr11}"], "did you mean 'dr1'"),
        (["--config", "targets={csv: resources/dem}"], "resources/dem"),
        (["--config", "match={radius_arcsec: wide}"], "match.radius_arcsec"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong_and_makes_nothing(demo, run, arguments, message):
    done = run(demo, *arguments, "--dry-run")
    assert done.status != 0
    assert message in done.output
    assert "Traceback" not in done.output
