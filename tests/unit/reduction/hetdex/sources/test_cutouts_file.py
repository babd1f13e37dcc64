"""Machine-learning files: what is in them, read by PyTables, against images and spectra that are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import tables

from hetdex_sources import MIDDLE, Line, ifu_fibers
from skyharvest.reduction.hetdex.source_settings import Cutouts
from skyharvest.reduction.hetdex.sources.cutouts_file import write_cutouts
from skyharvest.reduction.hetdex.sources.detection_file import (
    SourceRows,
    new_detection_file,
    rows_of_source,
    write_rows,
)
from skyharvest.reduction.hetdex.sources.point_spectrum import extract
from skyharvest.reduction.hetdex.spectra import multifits


class Inputs(NamedTuple):
    """Directories."""

    multifits: list[Path]
    detections: list[Path]


SHOT, IFU = "20190103v017", "020_106_055_0123"
LINES = [Line(2.0, -16.5, 4321.0, 60.0), Line(-3.0, -19.0, 5100.0, 80.0), Line(2.0, 15.0, 4500.0, 50.0)]
"""The first two are on the amplifier that has images."""
FIRST = 2019010301795400
HOW = Cutouts(width=30, height=7)


@pytest.fixture(scope="module")
def fibers():
    return ifu_fibers(LINES)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, fibers):
    """Images of the first amplifier in the first and second exposure; detections in two directories."""
    root = tmp_path_factory.mktemp("shot")
    science = []
    for expnum in (1, 2):
        directory = root / f"science/exp{expnum:02d}/{IFU}"
        directory.mkdir(parents=True)
        science.append(directory)
        arrays = {name: np.zeros(shape, np.float32) for name, shape in multifits.LAYOUT.items() if name}
        row, column = np.mgrid[:1032, :1032]
        arrays["clean_image"] = row + 1e-4 * column + 2000.0 * expnum
        arrays["wavelength"][:] = 3480 + 1.995 * np.arange(1032)
        arrays["trace"][:] = 20 + 9 * np.arange(112)[:, None]
        header = {"NAME0": "", **dict.fromkeys(multifits.COUNTS, 0)}
        multifits.write(directory / "multi_020_106_055_LL.fits", header, arrays)
        (directory / "amps.csv").write_text("amp,state,reason\nLL,done,\nRU,failed,it is dark\n")
    detections = []
    for number, chosen in enumerate(([2], [0, 1], [])):
        rows = []
        for k in chosen:
            line = LINES[k]
            spectrum = extract(fibers, line.x + MIDDLE[0], line.y + MIDDLE[1], aperture=3.5)
            values = {"wave": line.wave, "linewidth": line.width}
            rows.append(rows_of_source(FIRST + k, fibers, spectrum, line.wave, values))
        directory = root / f"detections/{number}"
        detections.append(directory)
        with new_detection_file(directory / "detections.h5", "", SHOT, "" if chosen else "planted", ifu=IFU) as file:
            if chosen:
                write_rows(file, SourceRows.joined(rows))
    return Inputs(science, detections)


@pytest.fixture
def shot(fibers):
    """A shot that is known."""
    return SimpleNamespace(name=SHOT, failed="", read=lambda _ifu: fibers)


def test_cutouts_of_a_shot(tmp_path, inputs, shot, fibers):
    out = tmp_path / "im2D.h5"
    write_cutouts(shot, *inputs, out, HOW)
    with tables.open_file(out) as file:
        assert file.root.FiberImages.col("detectid").tolist() == [FIRST, FIRST + 1, FIRST + 2]
        wanted = FIRST + 1
        image, spectrum, line, phot = (
            file.get_node(f"/{name}").read_where(f"detectid == {wanted}")[0]
            for name in ("FiberImages", "Spec1D", "LineImages", "PhotImages")
        )
        not_cut = {(int(row["detectid"]), row["part"].decode(), row["reason"].decode()) for row in file.root.NotCut}
        assert file.root._v_attrs.failed == ""
    with h5py.File(inputs.detections[1] / "detections.h5") as file:
        own = file["Fibers"][:][file["Fibers"]["detectid"] == wanted]
        spec1d = file["Spectra"][1]["spec1d"]
    column = int(np.floor((5100 - 3480) / 1.995 + 0.5))
    own = own[np.argsort(-own["weight"], kind="stable")]
    there = [row["amp"] == b"LL" and row["expnum"] < 3 for row in own]
    row, x = np.mgrid[-3:4, -15:15]
    pieces = [20 + 9 * (one["fibnum"] - 1) + row + 1e-4 * (column + x) + 2000.0 * one["expnum"] for one in own]
    for k in range(4):
        np.testing.assert_allclose(image["im_array"][k], pieces[k] if there[k] else np.nan, rtol=1e-5)
    weight = own["weight"] * there
    assert weight.sum() > 0.5
    np.testing.assert_allclose(image["im_sum"], np.tensordot(weight, pieces, 1) / weight.sum(), rtol=1e-5)
    np.testing.assert_allclose(image["im_wave"], 3480 + 1.995 * (column + x[0]), rtol=1e-6)
    np.testing.assert_allclose(spectrum["spec1D"], spec1d / 2, rtol=1e-6)
    assert np.unravel_index(np.nanargmax(line["line_image"]), (80, 80)) == pytest.approx((39.5, 39.5), abs=3)
    assert 0.4 < line["flux"] / LINES[1].flux < 0.7
    assert line["delta_ra"][40, 0] == -line["delta_ra"][40, 79] == 9.875 and line["header"].startswith(b"NAXIS")
    assert np.isnan(phot["im_phot"]).all() and phot["im_phot_hdr"] == b""
    # The last line is on an amplifier without images: it has a spectrum and a picture on the sky all the same.
    assert {one[:2] for one in not_cut if one[0] == FIRST + 2} == {(FIRST + 2, "FiberImages")}
    assert any("it is dark" in reason for _, _, reason in not_cut)


def test_the_order_of_directories_does_not_matter(tmp_path, inputs, shot):
    write_cutouts(shot, *inputs, tmp_path / "one.h5", HOW)
    write_cutouts(shot, inputs.multifits[::-1], inputs.detections[::-1], tmp_path / "other.h5", HOW)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()


def test_a_shot_without_fibers_says_why(tmp_path, inputs, shot):
    shot.failed = "it has no stars"
    write_cutouts(shot, inputs.multifits, inputs.detections[2:], tmp_path / "im2D.h5", HOW)
    with h5py.File(tmp_path / "im2D.h5") as file:
        assert file.attrs["failed"] == "it has no stars"
        assert len(file["FiberImages"]) == len(file["NotCut"]) == 0
