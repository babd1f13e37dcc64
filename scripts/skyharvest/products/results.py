"""The assembled files of a results directory."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.harvest.manifest import check_alike, read_manifest
from skyharvest.products.crossmatch import Crossmatch, near_by
from skyharvest.products.values import listed
from skyharvest.surveys import SURVEYS

FIRST = next(iter(SURVEYS))


def open_healpix(
    path_or_root: str | os.PathLike[str], pix16: int | None = None, survey: str | None = None
) -> Crossmatch:
    """Open an assembled file.

    Parameters
    ----------
    path_or_root
        A file, or the results directory of a run.
    pix16
        The NSIDE=16 NESTED pixel, in a results directory.
    survey
        One of `skyharvest.surveys.SURVEYS`; in a results directory the first one, ``desi``, unless given.

    Raises
    ------
    InputError
        If there is no such file; the message says what there is instead. If the file in a results directory is of
        another run than the manifest there.
    MalformedFile
        If it is torn.
    """
    path = Path(path_or_root)
    if not path.is_dir():
        crossmatch = Crossmatch(path)
        for name, wanted, has in (("pixel", pix16, crossmatch.pix16), ("survey", survey, crossmatch.survey)):
            if wanted is not None and wanted != has:
                crossmatch.close()
                raise InputError(f"{path} is of {name} {has}, not {wanted}")
        return crossmatch
    survey = survey or FIRST
    if pix16 is None or not _path(path, pix16, survey).is_file():
        there = pixels(path, survey)
        asked = "say which pixel to open" if pix16 is None else f"there is no {survey} file of pixel {pix16}"
        known = listed([str(pix) for pix in there]) or "none"
        raise InputError(f"{path}: {asked}; those of {survey} are {known}")
    return _checked(path, Crossmatch(_path(path, pix16, survey)))


def _checked(root: Path, crossmatch: Crossmatch) -> Crossmatch:
    """Return a file of a results directory, if it is of the run whose manifest is there."""
    manifest = read_manifest(root, crossmatch.survey)
    try:
        if manifest is not None:
            manifest.check(crossmatch.attributes, crossmatch.path)
    except InputError:
        crossmatch.close()
        raise
    return crossmatch


def pixels(root: str | os.PathLike[str], survey: str = FIRST) -> list[int]:
    """Return the NSIDE=16 NESTED pixels that a results directory has assembled files of, in rising order.

    Once a run has ended these are its own, as its ``manifest.json`` says, whatever earlier runs have left beside them.

    Raises
    ------
    InputError
        If it has no directory ``{survey}_crossmatches``. The message says what there is instead.
    """
    directory = _directory(Path(root), survey)
    manifest = read_manifest(Path(root), survey)
    if manifest is not None and not manifest.pixels:
        return []
    if not directory.is_dir():
        raise InputError(f"{root} is no results directory with {directory.name}; {near_by(Path(root))}")
    numbers = (re.fullmatch(r"healpix=(\d+)", path.name) for path in directory.iterdir())
    known = {int(number[1]) for number in numbers if number}
    if manifest is not None:
        known &= set(manifest.pixels)
    return sorted(pix16 for pix16 in known if _path(Path(root), pix16, survey).is_file())


def crossmatches(root: str | os.PathLike[str], survey: str = FIRST) -> Iterator[Crossmatch]:
    """Yield every assembled file of a results directory, open until the next one is asked for.

    Raises
    ------
    InputError
        If they are of more than one CSV or of other settings: a run that has not come to its end has replaced some.
    """
    first: Crossmatch | None = None
    for pix16 in pixels(root, survey):
        with open_healpix(root, pix16, survey) as crossmatch:
            first = first or crossmatch
            check_alike(crossmatch.attributes, first.attributes, crossmatch.path, first.path)
            yield crossmatch


def _directory(root: Path, survey: str) -> Path:
    if survey not in SURVEYS:
        raise InputError(f"there is no survey {survey!r}; expected one of {', '.join(SURVEYS)}")
    return root / f"{survey}_crossmatches"


def _path(root: Path, pix16: int, survey: str) -> Path:
    directory = _directory(root, survey)
    return SURVEYS[survey].crossmatch(directory, pix16)
