"""`snakemake browse` in the demo: a page for every pixel, with DESI's spectra and HETDEX's."""

import json
from pathlib import Path

import h5py
import pytest

RESULTS = "results/demo"


@pytest.fixture(scope="module")
def report(demo: Path, run) -> Path:
    done = run(demo, "browse")
    assert done.status == 0, done.output
    return demo / RESULTS / "report"


def data(page: Path) -> dict:
    text = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    return json.loads(text)


def test_every_pixel_has_a_page(demo, report):
    found = {path.parent.name: path for path in (demo / RESULTS / "desi_crossmatches").glob("*/crossmatch_desi.hdf5")}
    assert {path.stem for path in report.glob("healpix=*.html")} == set(found)
    n_hetdex = 0
    for name, path in found.items():
        page = data(report / f"{name}.html")
        with h5py.File(path) as file:
            targetid, covered = file["desi/targetid"][:].tolist(), file["chandra/row"][:].tolist()
        assert all((report / name / file).exists() for files in page["files"].values() for file in files)
        hetdex = demo / RESULTS / "hetdex_crossmatches" / name / "crossmatch_hetdex.hdf5"
        assert ("hetdex" in page["grids"]) == hetdex.exists()
        if hetdex.exists():
            with h5py.File(hetdex) as file:
                rows = file["chandra/row"][:].tolist()
            alone = sorted(set(rows) - set(covered))
            assert page["table"]["row"] == covered + alone
            assert page["table"]["n_hetdex"] == [rows.count(row) for row in page["table"]["row"]]
            n_hetdex += sum(page["table"]["n_hetdex"])
        assert [one for one in page["table"]["targetid"] if one] == [str(one) for one in targetid]
    assert n_hetdex > 0
    again = next(report.glob("healpix=*.html"))
    assert again.stat().st_size < 100_000  # the spectra are beside it


def test_a_second_run_has_nothing_to_do(demo, report, run):
    assert "Nothing to be done" in run(demo, "browse").output
