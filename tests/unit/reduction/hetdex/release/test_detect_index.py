"""The index of the release's detections: what is in it, and that the harvest of public releases reads the release."""

import h5py
import healpy
import numpy as np
import pytest

from hetdex_products import IFUS, detection_rows, write_continuum, write_ifu, write_small_plan
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.release import detection_parts
from skyharvest.reduction.hetdex.release.detect_index import healpix_of, write_detect_index
from skyharvest.reduction.hetdex.release.merged_detections import merge_detections, sources_of_shots
from skyharvest.reduction.hetdex.release.merging import Source
from skyharvest.surveys.hetdex.detections import fetch_detections, read_detectids
from skyharvest.surveys.hetdex.release import load_release

SHOTS = ("20190103v012", "20190103v017")
NAME = "mine2"


@pytest.fixture
def layout(tmp_path):
    """A release of two shots, with lines and continuum sources in two IFUs each."""
    made = Layout(tmp_path / "hetdex")
    write_small_plan(made, list(SHOTS))
    for shot in SHOTS:
        for ifu in IFUS:
            write_ifu(made, shot, ifu, 5)
        write_continuum(made, shot, 3)
    merge_detections(sources_of_shots(made, read_plan(made.plan), SHOTS), made.merged("detect", NAME))
    merge_detections([Source.named(made.of_shot("continuum", shot)) for shot in SHOTS], made.merged("cont", NAME))
    return made


def truth() -> dict[int, tuple[bytes, np.void, np.void]]:
    """detectid → its kind, and its rows of Detections and Spectra."""
    made = {}
    for shot in SHOTS:
        for ifu in IFUS:
            for kind, n in ((b"line", 5), (b"cont", 3)):
                tables = detection_rows(shot, ifu, n, continuum=kind == b"cont")
                for row, spectrum in zip(tables["Detections"], tables["Spectra"], strict=True):
                    made[int(row["detectid"])] = (kind, row, spectrum)
    return made


def index(layout: Layout) -> None:
    write_detect_index([layout.merged("detect", NAME)], [layout.merged("cont", NAME)], NAME, layout.detect_index)


def test_lines_and_continuum_sources_are_in_it_sorted(layout, monkeypatch):
    monkeypatch.setattr(detection_parts, "IDS", 3)
    index(layout)
    tables, known = pytest.importorskip("tables"), truth()
    with tables.open_file(layout.detect_index) as file:
        table = file.root.DetectIndex
        rows = table.read()
        assert rows["detectid"].tolist() == sorted(known)
        assert table.colnames == [
            "detectid",
            "shotid",
            "ra",
            "dec",
            "wave",
            "sn",
            "healpix",
            "det_type",
            "survey",
            "fiber_id",
        ]
        for row in rows:
            kind, detection, _ = known[int(row["detectid"])]
            assert (row["det_type"], row["survey"]) == (kind, NAME.encode())
            assert all(row[name] == detection[name] for name in ("shotid", "ra", "dec", "wave", "sn", "fiber_id"))
        for column in ("healpix", "shotid", "detectid"):
            value = int(rows[column][7])
            assert table.will_query_use_indexing(f"{column} == 1") == {column}
            assert table.read_where(f"{column} == value").tobytes() == rows[rows[column] == value].tobytes()


def test_pixels_are_those_that_hetdex_api_asks_for():
    random = np.random.default_rng(1)
    ra, dec = random.uniform(0, 360, 3000).astype("f4"), random.uniform(-90, 90, 3000).astype("f4")
    ra[7] = dec[8] = np.nan
    known = np.isfinite(ra) & np.isfinite(dec)
    found = healpix_of(ra, dec)
    exact = (ra[known].astype(float), dec[known].astype(float))  # healpy rounds angles of 32 bits once more
    np.testing.assert_array_equal(found[known], healpy.ang2pix(2**15, *exact, lonlat=True))
    assert found[7] == found[8] == -1


def test_the_harvest_reads_the_release(layout, tmp_path):
    index(layout)
    known = truth()
    wanted = [*sorted(known)[::-3], 2_019_010_301_299_999]
    (tmp_path / "ids.txt").write_text("\n".join(map(str, wanted)))
    with Archive(str(layout.release)) as archive:
        outcome = fetch_detections(
            archive, load_release("pdr1"), read_detectids(tmp_path / "ids.txt"), tmp_path / "out.hdf5"
        )
    assert [one.status for one in outcome.values()] == ["read"] * (len(wanted) - 1) + ["unknown"]
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["detectid"][:].tolist() == wanted[:-1]
        for k, detectid in enumerate(wanted[:-1]):
            kind, detection, spectrum = known[detectid]
            assert file["det_type"][k] == kind
            assert file["detections/flux"][k] == detection["flux"]
            np.testing.assert_array_equal(file["spectrum_flux"][k], spectrum["spec1d"] / 2)
            np.testing.assert_array_equal(file["spectrum_error"][k], spectrum["spec1d_err"] / 2)


def test_a_number_that_is_a_line_and_a_continuum_source_is_an_error(layout):
    lines, continuum = layout.merged("detect", NAME), layout.merged("cont", NAME)
    continuum.write_bytes(lines.read_bytes())
    with pytest.raises(InputError, match="in both; expected it once"):
        write_detect_index([lines], [continuum], NAME, layout.detect_index)
