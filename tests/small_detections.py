"""Small databases of HETDEX's raw detections, laid out like the real ones."""

from pathlib import Path

import h5py
import numpy as np

N_WAVE = 1036
INDEX = np.dtype(
    [
        ("detectid", "i8"),
        ("shotid", "i8"),
        ("ra", "f4"),
        ("dec", "f4"),
        ("wave", "f4"),
        ("sn", "f4"),
        ("healpix", "i8"),
        ("det_type", "S4"),
        ("survey", "S4"),
        ("fiber_id", "S38"),
    ]
)
DETECTIONS = np.dtype([("detectid", "i8"), ("ra", "f4"), ("flux", "f4"), ("fibnum", "i4"), ("ifuslot", "S3")])
LINES = np.dtype([*DETECTIONS.descr, ("sn_cen", "f4"), ("expnum", "i4"), ("inputid", "S40")])
SPECTRA = np.dtype(
    [("detectid", "i8"), *((name, "f4", (N_WAVE,)) for name in ("wave1d", "spec1d", "spec1d_err", "counts1d"))]
)
FACTOR = 0.9 + 0.2 * np.arange(N_WAVE) / N_WAVE
FIRST = {("line", "hdr3"): 3_000_000_000, ("cont", "hdr3"): 3_090_000_000, ("line", "hdr5"): 5_000_000_000}
NAMES = {("line", "hdr3"): "detect_hdr3", ("cont", "hdr3"): "cont_hdr3", ("line", "hdr5"): "detect_hdr5"}


def write_h5(path: Path, tables: dict[str, np.ndarray], **options) -> Path:
    """Write tables as PyTables does: one-dimensional, extensible, in chunks, with its attributes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file.attrs.update({"CLASS": np.bytes_("GROUP"), "PYTABLES_FORMAT_VERSION": np.bytes_("2.1")})
        for name, rows in tables.items():
            chunks = (max(1, min(len(rows), (1 << 20) // rows.dtype.itemsize)),)
            how = {"chunks": chunks, "maxshape": (None,)} | options
            dataset = file.create_dataset(name, data=rows, **{k: v for k, v in how.items() if v is not None})
            dataset.attrs.update({"CLASS": np.bytes_("TABLE"), "VERSION": np.bytes_("2.7")})
            for k, column in enumerate(rows.dtype.names):
                dataset.attrs[f"FIELD_{k}_NAME"] = np.bytes_(column)
    return path


def random_rows(dtype: np.dtype, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows = np.zeros(len(ids), dtype)
    for name in dtype.names:
        kind = dtype[name].base.kind
        if kind == "f":
            rows[name] = rng.normal(size=(len(ids), *dtype[name].shape))
        elif kind == "i":
            rows[name] = rng.integers(0, 1000, len(ids))
        else:
            rows[name] = [b"%03d" % (k % 1000) for k in range(len(ids))]
    rows["detectid"] = ids
    return rows


class Made:
    """A release's databases, and what is in them."""

    def __init__(self, root: Path, n: int = 500, order: str = "sorted", **options) -> None:
        rng = np.random.default_rng(3)
        self.root = root
        self.index, self.details, self.spectra = {}, {}, {}
        parts = []
        for (kind, survey), first in FIRST.items():
            ids = first + np.flatnonzero(rng.uniform(size=n) > 0.03)  # some numbers have no detection
            part = random_rows(INDEX, ids, rng)
            part["det_type"], part["survey"] = kind.encode(), survey.encode()
            parts.append(part)
            details = random_rows(LINES if kind == "line" else DETECTIONS, ids, rng)
            spectra = random_rows(SPECTRA, ids[rng.uniform(size=len(ids)) > 0.05], rng)  # nor each of them a spectrum
            write_h5(root / f"detect/{NAMES[kind, survey]}.h5", {"Detections": details, "Spectra": spectra}, **options)
            self.details |= {int(row["detectid"]): row for row in details}
            self.spectra |= {int(row["detectid"]): row for row in spectra}
        if order == "runs":  # all continuum sources after the lines
            parts.sort(key=lambda part: part["det_type"][0] != b"line")
        rows = np.concatenate(parts)
        if order == "shuffled":
            rows = rng.permutation(rows)
        write_h5(root / "detect/detect_index_hdr5.h5", {"DetectIndex": rows}, **options)
        self.index = {int(row["detectid"]): row for row in rows}
        lines = [f"{3470 + 2 * k:.1f} {factor!r}" for k, factor in enumerate(FACTOR.tolist())]
        (root / "detect/wdcor.txt").write_text("\n".join(lines) + "\n")

    def some(self, n: int, seed: int = 4) -> list[int]:
        return np.random.default_rng(seed).choice(sorted(self.spectra), n, replace=False).tolist()

    def path(self, key) -> Path:
        return self.root / f"detect/{NAMES[key]}.h5"
