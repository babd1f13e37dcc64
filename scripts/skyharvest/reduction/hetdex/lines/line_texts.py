"""Lines of an IFU as three tables of text, as HETDEX's own search writes them and its h5tools read them.

Names are ``20190103v017_020_106_055.mc``: the shot, and the IFU without its controller, which have 24 letters there.
Columns are separated by blanks, and have no header. What is not known is ``nan``.

``.mc``
    A row for each line: wave, wave_err, flux, flux_err, linewidth, linewidth_err, continuum, continuum_err, sn, sn_err,
    chi2, chi2_err, ra, dec, shot, noise_ratio, linewidth_fix and chi2_fix (of a fit with that width), chi2fib,
    src_index; of the fiber with the highest weight name, exposure, x_ifu, y_ifu, x_raw, y_raw, weight; apcor, sn_cen,
    flux_noise_1sigma, sn_3fib, sn_3fib_cen, and a column that says nothing.
``.spec``
    A row for each wavelength of each line: wave1d, spec1d_nc, spec1d_nc_err, counts1d, counts1d_err, apsum_counts,
    apsum_counts_err, a column that says nothing, apcor, flag_pix, src_index, spec1d_nc of the whole field's sky.
``.list``
    A row for each fiber of each line: ra, dec, x_ifu, y_ifu, name, exposure, distance, wavein, timestamp, date, obsid,
    x_raw, y_raw, weight, flag, src_index.
"""

from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.layout import Pairing, name_of_exposure
from skyharvest.reduction.hetdex.sources.detection_file import SourceRows

_MEASURED = (
    *(f"{name}{error}" for name in ("wave", "flux", "linewidth", "continuum", "sn", "chi2") for error in ("", "_err")),
)
_SPECTRUM = (
    "wave1d",
    "spec1d_nc",
    "spec1d_nc_err",
    "counts1d",
    "counts1d_err",
    "apsum_counts",
    "apsum_counts_err",
    "",
    "apcor",
    "flag_pix",
)


def stem_of(shot: str, ifu: Pairing) -> str:
    """Return the name of the tables, without its ending."""
    return f"{shot}_{ifu.specid}_{ifu.ifuslot}_{ifu.ifuid}"


def write_texts(directory: Path, stem: str, rows: SourceRows, fixed_width: float, chi2_fixed: Floats) -> None:
    """Write the three tables.

    Parameters
    ----------
    directory
        Where, which is there.
    stem
        `stem_of` them.
    rows
        Of lines.
    fixed_width, chi2_fixed
        σ, Å, and the χ² of each line's fit with that width.
    """
    lines, fibers = rows.detections, rows.fibers
    index = {int(number): k for k, number in enumerate(lines["detectid"])}
    made = {
        ".mc": [_line(row, fixed_width, chi2, k) for k, (row, chi2) in enumerate(zip(lines, chi2_fixed, strict=True))],
        ".list": [_fiber(row, index[int(row["detectid"])]) for row in fibers],
    }
    for ending, text in made.items():
        (directory / f"{stem}{ending}").write_text("".join(f"{line}\n" for line in text))
    with (directory / f"{stem}.spec").open("w") as file:
        for k, row in enumerate(rows.spectra):
            of_field = row["spec1d_ffsky"] * row["apcor"]
            columns = [row[name] if name else np.zeros(len(of_field)) for name in _SPECTRUM]
            table = np.column_stack([*columns, np.full(len(of_field), k), of_field])
            np.savetxt(file, table, fmt=[*["%.7g"] * 10, "%d", "%.7g"])


def _name(row: np.void) -> str:
    return f"{row['multiframe'].decode()}_{int(row['fibnum']):03d}"


def _line(row: np.void, fixed_width: float, chi2_fixed: float, index: int) -> str:
    shotid = str(int(row["shotid"]))
    values: list[object] = [f"{row[name]:.7g}" for name in _MEASURED]
    values += [f"{row['ra']:.6f}", f"{row['dec']:.6f}", f"{shotid[:8]}v{shotid[8:]}", f"{row['noise_ratio']:.4f}"]
    values += [f"{fixed_width:g}", f"{chi2_fixed:.4f}", f"{row['chi2fib']:.4f}", index, _name(row)]
    values += [name_of_exposure(int(row["expnum"])), f"{row['x_ifu']:.3f}", f"{row['y_ifu']:.3f}"]
    values += [int(row["x_raw"]), int(row["y_raw"]), f"{row['weight']:.5f}", f"{row['apcor']:.5f}"]
    values += [f"{row[name]:.6g}" for name in ("sn_cen", "flux_noise_1sigma", "sn_3fib", "sn_3fib_cen")]
    return " ".join(map(str, [*values, 0]))


def _fiber(row: np.void, index: int) -> str:
    values: list[object] = [f"{row['ra']:.6f}", f"{row['dec']:.6f}", f"{row['x_ifu']:.3f}", f"{row['y_ifu']:.3f}"]
    values += [f"{_name(row)}.ixy", name_of_exposure(int(row["expnum"])), f"{row['distance']:.4f}"]
    values += [f"{row['wavein']:.3f}", row["timestamp"].decode(), int(row["date"]), f"{int(row['obsid']):03d}"]
    values += [int(row["x_raw"]), int(row["y_raw"]), f"{row['weight']:.5f}", int(row["flag"]), index]
    return " ".join(map(str, values))
