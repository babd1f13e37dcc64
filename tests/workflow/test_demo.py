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

from hdf5_contents import contents
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


def whole_files(server) -> set[str]:
    """What was asked for without a range."""
    return {path for path, span in server.requests if not span}


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
                            for kind in ("flux", "ivar", "mask"):
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
    [
        ("harvest_desi", "desi/extracted/batches/all.csv"),
        ("harvest_desi_pixel", "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5"),
    ],
)
def test_a_printed_command_runs_when_pasted(demo, run, rule, asked_for):
    """Remove one pixel's files, let a dry run print the command, and paste it into a shell with nothing prepared."""
    target, extracted = demo / RESULTS / asked_for, demo / RESULTS / "desi/extracted/272/27246.hdf5"
    crossmatch = demo / RESULTS / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5"
    before, made = extracted.read_bytes(), contents(crossmatch)
    done = run(demo, "-n", "-p", "--forcerun", rule, "--", str(target.relative_to(demo)))
    commands = [
        line.strip().removeprefix("Shell command: ") for line in done.output.splitlines() if "/harvest_desi.py " in line
    ]
    assert len(commands) == 1, done.output
    for path in {target, extracted, crossmatch}:
        path.unlink()
    shell = {"PATH": "/usr/bin:/bin"}
    pasted = subprocess.run(
        ["bash", "-c", commands[0]], cwd=demo, env=shell, capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    assert target.exists()
    assert extracted.read_bytes() == before
    np.testing.assert_equal(contents(crossmatch), made)


def test_files_over_http_give_what_rows_of_the_local_ones_gave(demo, run):
    """The pixel with two programs, the one with an absent coadd, and one across RA 0: byte for byte."""
    wanted, results = ["272/27246", "272/27247", "194/19456", "180/18090"], "results/files"
    with serve(demo / ARCHIVE) as server:
        pixels = [f"{results}/desi_crossmatches/healpix={pix16}/crossmatch_desi.hdf5" for pix16 in (1702, 1216, 1130)]
        setting = f"desi={{archive: '{server.url}', transfer: files}}"
        done = run(demo, "--config", setting, f"results={results}", "--", *pixels)
    assert done.status == 0, done.output
    for name in wanted:
        path = f"desi/extracted/{name}.hdf5"
        assert (demo / results / path).read_bytes() == (demo / RESULTS / path).read_bytes()
    assert any("coadd-" in path for path in whole_files(server))
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


def test_a_plan_shows_every_job(demo, run):
    settings = ["--config", "results=results/planned", "batch_seconds=0.01"]  # a batch for each NSIDE=16 pixel
    assert run(demo, "plan", *settings).status == 0
    done = run(demo, "-n", *settings)
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.output, re.M))
    for survey in ("desi", "hetdex", "legacysurvey"):
        files = list((demo / RESULTS).glob(f"{survey}_crossmatches/*/*.hdf5"))
        assert int(counts[f"harvest_{survey}"]) == len(files) > 1


@pytest.mark.parametrize("profile", ["slurm", "nersc"])
def test_the_clusters_profiles_are_what_snakemake_understands(demo, profile):
    done = finish(start(demo, "-n", "--config", "results=results/cluster", profile=profile), 60)
    assert done.status == 0, done.output
    assert "simulate_release" in done.output or "prepare_targets" in done.output


def test_the_list_of_a_batch_names_every_extracted_file_once(demo):
    (path,) = (demo / RESULTS / "desi/extracted/batches").glob("*.csv")
    listed = [int(line["unit"]) for line in csv.DictReader(path.read_text().splitlines())]
    assert sorted(listed) == sorted(int(path.stem) for path in (demo / RESULTS).glob("desi/extracted/*/*.hdf5"))


def test_a_failed_pixel_of_a_batch_holds_up_only_itself_and_what_is_missing_is_made_by_the_next_run(demo, run):
    """All are in one batch. The server refuses 27246 at first, which is searched for the targets of 1702."""
    results, finished = demo / "results/refused", demo / RESULTS
    with serve(demo / ARCHIVE) as server:
        server.misbehave = lambda handler, _: "27246" in handler.path and handler.answer(403, b"") is None
        settings = ["--config", f"desi={{archive: '{server.url}'}}", *ALONE, "results=results/refused"]
        done = run(demo, *settings, "batch_seconds=60")
        assert done.status != 0
        assert "27246" in done.output and "HTTP 403" in done.output
        made = {path.parent.name: path.stat().st_mtime_ns for path in results.glob("desi_crossmatches/*/*.hdf5")}
        every = {path.parent.name for path in finished.glob("desi_crossmatches/*/*.hdf5")}
        assert set(made) == every - {"healpix=1702"}
        extracted = {int(path.stem) for path in results.glob("desi/extracted/*/*.hdf5")}
        assert extracted == {int(path.stem) for path in finished.glob("desi/extracted/*/*.hdf5")} - {27246}
        assert not list(results.glob("desi/extracted/batches/*.csv"))
        assert not any("coadd-" in path for path in whole_files(server))
        assert not (results / "desi/ledger.csv").exists()
        server.misbehave = None
        server.forget()
        assert run(demo, *settings, "batch_seconds=60").status == 0
        asked = {path for path, _ in server.requests if not path.endswith("tilepix.fits")}
        assert {path.split("/")[-2] for path in asked} == {"27246"}
        assert (results / "desi/ledger.csv").read_text() == (finished / "desi/ledger.csv").read_text()
        now = {path.parent.name: path.stat().st_mtime_ns for path in results.glob("desi_crossmatches/*/*.hdf5")}
        assert {name: now[name] for name in made} == made

        # Other batches: there is nothing to read or to assemble again.
        server.forget()
        settings.append("batch_seconds=0.01")
        done = run(demo, *settings)
        assert done.status == 0, done.output
        assert done.output.count("rule harvest_desi:") == len(every)
        assert [path for path, _ in server.requests if "coadd-" in path] == []
        assert {path.parent.name: path.stat().st_mtime_ns for path in results.glob("desi_crossmatches/*/*.hdf5")} == now
        assert {path.stem for path in results.glob("desi/extracted/batches/*")} == {
            name.replace("healpix=", "4-") for name in every
        }
        assert (results / "desi/ledger.csv").read_text() == (finished / "desi/ledger.csv").read_text()

        # As the message about a torn file asks for. The ledger needs it.
        extracted = results / "desi/extracted/272/27246.hdf5"
        before = extracted.read_bytes()
        extracted.unlink()
        assert "Nothing to be done" in run(demo, *settings).output
        (results / "desi/ledger.csv").unlink()
        done = run(demo, *settings)
        assert done.status == 0, done.output
        assert done.output.count("rule harvest_desi:") == 1
        assert extracted.read_bytes() == before
        assert (results / "desi/ledger.csv").read_text() == (finished / "desi/ledger.csv").read_text()


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
