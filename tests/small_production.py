"""A production of some nights that was never run: exposure tables, and records as a run leaves them."""

from pathlib import Path

from skyharvest.core.settings import describe
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel, write_healpix
from skyharvest.reduction.desi.exposure_healpix import path_of as healpix_of
from skyharvest.reduction.desi.exposure_table import path_of, write_table
from skyharvest.reduction.desi.production import Production, freeze
from skyharvest.reduction.desi.records import DONE, Record, Records, judge_all
from skyharvest.reduction.desi.settings import Settings, frozen

NIGHT = 20250115


def settings(root: Path, **own: object) -> dict:
    """Return the section `desi_reduction`, all defaults but for what is said."""
    return _filled(Settings) | {"enabled": True, "raw": str(root / "raw"), "specprod": "small"} | own


def _filled(kind: type) -> dict:
    return {key: _filled(inner) if isinstance(inner, type) else inner.default for key, inner in describe(kind).items()}


def row(expid: int, obstype: str, **cells: object) -> dict:
    """Return a row of an exposure table."""
    return {"EXPID": expid, "OBSTYPE": obstype, "CAMWORD": "a0", "NIGHT": NIGHT, "TILEID": 1} | cells


ROWS = (
    row(1, "arc"),
    row(2, "arc"),
    row(3, "flat"),
    row(4, "flat"),
    row(5, "science"),
    row(6, "science"),
    row(7, "zero"),
)
PIXELS = tuple(
    ExposurePixel(NIGHT, expid, 1, "main", "dark", 0, pixel, n)
    for expid in (5, 6)
    for pixel, n in ((9712, 20), (9713, 5))
)


def production(root: Path, rows: tuple = ROWS, pixels: tuple = PIXELS, **own: object) -> Production:
    """Return a production with these tables, read from its files."""
    directory, said = root / "small", settings(root, **own)
    freeze(directory, frozen(said))
    for night in sorted({one["NIGHT"] for one in rows}):
        write_table(path_of(directory, night), [one for one in rows if one["NIGHT"] == night])
        write_healpix(healpix_of(directory, night), [one for one in pixels if one.night == night])
    for one in rows:
        raw = root / "raw" / str(one["NIGHT"]) / f"{one['EXPID']:08d}"
        raw.mkdir(parents=True, exist_ok=True)
        for name in (f"desi-{one['EXPID']:08d}.fits.fz", f"fibermap-{one['EXPID']:08d}.fits"):
            if not (raw / name).exists():
                (raw / name).write_bytes(b"as it was")
    return Production(directory, said)


def done(made: Production, *but: object) -> None:
    """Write the records and files of a production of which all has been done, but for some tasks."""
    records = Records(made.directory)
    for key, one in judge_all(made.tasks(), records, made.commands.is_there, again=False).items():
        if key not in but and one.made:
            records.put(key, Record(key.unit, DONE, one.made))
            for path in made.commands.outputs(key):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
