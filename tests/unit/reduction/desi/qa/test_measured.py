"""A frame's file says what was written, with curves or without, and what is no such file is named."""

from dataclasses import replace

import pytest

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.qa.measured import (
    Curve,
    Frame,
    Metric,
    path_of,
    read_curves,
    read_frame,
    write_frame,
    write_metrics,
)
from skyharvest.reduction.limits import BAD, OK, WARN

METRICS = {
    "PREPROC-READNOISE_A": Metric(3.0, "electron", "amp A", {"warn": (1.0, 5.0), "bad": (None, 10.0)}, OK),
    "SKYSUB-MISSING": Metric(None, at="sky failed: «no\ncurves: here»", state=BAD),
}
FRAME = Frame(
    *(20250115, 6, "b0", "science", 1, "main", "dark", 60690.34, 1000.0, METRICS),
    curves={"SKYSUB-PULLS": Curve("steps", (-1.0, 0.0, 1.0), (3.0, 4.0), "σ", "pixels", "Pulls: σ.")},
)


def test_what_is_written_is_read(tmp_path):
    path = path_of(tmp_path, 20250115, 6, "b0")
    write_frame(FRAME, path)
    assert read_frame(path) == FRAME
    assert read_frame(path, curves=False) == replace(FRAME, curves={})
    assert FRAME.state == BAD


def test_metrics_are_written_anew_beside_the_same_curves(tmp_path):
    path = tmp_path / "qa.yaml"
    write_frame(FRAME, path)
    other = replace(FRAME, metrics={"SKYSUB-CHI2": Metric(1.4, state=WARN)}, curves={})
    write_metrics(other, path)
    assert read_frame(path) == replace(other, curves=FRAME.curves)
    write_frame(replace(FRAME, curves={}), path)
    write_metrics(other, path)
    assert read_frame(path) == other


@pytest.mark.parametrize("text", ["", "- 1", "night: 1\ncurves: {}\n", "metrics: {A: 3}\ncurves: {}\n", "a: [", "a: 1"])
def test_another_file_is_named(tmp_path, text):
    path = tmp_path / "qa.yaml"
    path.write_text(text)
    for curves in (True, False):
        with pytest.raises(MalformedFile, match=r"qa\.yaml: expected the metrics of a frame"):
            read_frame(path, curves=curves)
    write_frame(FRAME, path)
    path.write_text(path.read_text()[:300])
    with pytest.raises(MalformedFile):
        read_frame(path, curves=False)


def test_curves_alone_are_those_of_the_whole_file(tmp_path):
    curves = {
        "SKYSUB-PULLS": Curve("steps", (-1.5, 0.0, 2e-7), (3.0, 4.0), "σ", "pixels", "says: [1, 2], and {more}"),
        "S2N-TARGETS": Curve("points", (), (), "mag", "x: [0.5]", ""),
        "SKYSUB-RESID": Curve(
            "line", tuple(0.1 * k for k in range(200)), tuple(1e-9 * k for k in range(200)), "Å", "-"
        ),
    }
    frame = Frame(20250115, 1, "b0", "arc", -1, "", "", 60690.0, 5.0, {"PSF-CHI2": Metric(1.0)}, curves)
    write_frame(frame, tmp_path / "frame.yaml")
    assert read_curves(tmp_path / "frame.yaml") == read_frame(tmp_path / "frame.yaml").curves == curves
    (tmp_path / "other.yaml").write_text("night: 1\ncurves: [1\n")
    with pytest.raises(MalformedFile, match="remove it"):
        read_curves(tmp_path / "other.yaml")
