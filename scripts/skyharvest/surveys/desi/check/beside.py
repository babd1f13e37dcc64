"""What is asked of the files beside a coadd: redrock's redshifts, and the SHA-256 sums of the directory."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.archive.download import parse_checksums
from skyharvest.core.errors import Absent, MalformedFile
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, REPORT, Asking, Finding
from skyharvest.surveys.desi.coadd import REDSHIFTS, read_redshifts
from skyharvest.surveys.desi.release import CoaddFile

SHA256 = re.compile(r"[0-9a-f]{64}")
BY_ITS_NAME = "there, by the name in the release's paths"
OTHER_SUMS = ("SHA256SUMS", "sha256sum.txt", "checksums.sha256", "{name}.sha256sum", "{name}.sha256")


def ask_redrock(asking: Asking, file: CoaddFile) -> Iterator[Finding]:
    """Ask for the redshifts beside a coadd that has been asked: are they there, which columns, the same TARGETIDs?"""
    ids = asking.shared["targetid"]
    if ids is None or not asking.section["spectra"]["redshifts"]:
        return
    question, about = "redrock beside coadds", asking.archive.location(file.redrock)
    without = "spectra are written without redshifts, and recorded so"
    columns = f"REDSHIFTS with {', '.join(REDSHIFTS)}"
    try:
        with asking.archive.open(file.redrock) as source:
            table, lacking = read_redshifts(source, ids)
    except Absent:
        yield asking.found(ADAPTED, question, about, assumed="there", seen="absent", means=without)
        return
    except MalformedFile as error:
        yield asking.found(ADAPTED, question, about, assumed=columns, seen=f"{error}", means=without, change=REPORT)
        return
    about = f"{about}[REDSHIFTS]"
    yield asking.compare(
        question,
        about,
        assumed=columns,
        seen=lacking.removeprefix(f"{about}: ") or columns,
        otherwise=ADAPTED,
        means="these are written as unknown, and the coadd is recorded as incomplete",
        change=REPORT,
    )
    there = table.table["TARGETID"]
    missing = int(np.sum(~np.isin(ids, there)))
    told = {"assumed": "the TARGETIDs of FIBERMAP"}
    if missing:
        means = "of these the redshifts are written as unknown"
        yield asking.found(
            ADAPTED, "rows of redrock", about, seen=f"{missing:,} of {len(ids):,} missing", means=means, **told
        )
    else:
        order = "in the same order" if np.array_equal(ids, there) else "in another order, as is usual"
        yield asking.found(AS_ASSUMED, "rows of redrock", about, seen=f"those, {order}", **told)


def ask_checksums(asking: Asking, file: CoaddFile) -> Iterator[Finding]:
    """Ask for the checksum file of a coadd's directory: its name, its form, and whether the coadd is in it."""
    path = asking.release.checksums(file.survey, file.program, file.pix64)
    about, question = asking.archive.location(path), "checksum file"
    needed = asking.section["transfer"] == "files"
    entry = f"config/releases.yaml, entry {asking.release.name}: paths: checksums"
    unchecked = "whole files are taken if their length is what their headers say" if needed else "rows are read without"
    text = _text(asking, path)
    if text is None:
        other = _other(asking, path)
        told = {"assumed": BY_ITS_NAME, "means": unchecked}
        if other:
            yield asking.found(
                ADAPTED, question, about, seen=f"{PurePosixPath(other).name}", change=f"{entry}: name this one", **told
            )
        else:
            yield asking.found(ADAPTED, question, about, seen="absent", **told)
        return
    yield asking.found(AS_ASSUMED, question, about, assumed=BY_ITS_NAME, seen="there")
    sums = parse_checksums(text)
    name = PurePosixPath(file.path).name
    question, told = "sums in it", {"assumed": f"SHA-256 of {name}"}
    if name not in sums:
        told["seen"] = f"of {len(sums)} other files" if sums else f"no line of it is a sum and a name: {text[:40]!r}"
        yield asking.found(ADAPTED, question, about, means=unchecked, change=REPORT, **told)
    elif not SHA256.fullmatch(sums[name]):
        told["seen"] = f"{len(sums[name])} digits, not 64"
        told["means"] = "whole files would be taken for damaged, all of them" if needed else unchecked
        yield asking.found(
            FAILS if needed else NOTE, question, about, change=f"set desi.transfer: rows, or {REPORT}", **told
        )
    else:
        yield asking.found(AS_ASSUMED, question, about, assumed="SHA-256 of the coadd", seen="SHA-256 of the coadd")


def _text(asking: Asking, path: str) -> str | None:
    try:
        with asking.archive.open(path) as source:
            return source.read([(0, source.size())])[0].decode("utf-8", "replace")
    except Absent:
        return None


def _other(asking: Asking, path: str) -> str | None:
    """Return the path of a checksum file of another name."""
    directory = PurePosixPath(path).parent
    names = [pattern.format(name=directory.name) for pattern in OTHER_SUMS]
    if not is_url(asking.archive.root):
        here = Path(asking.archive.location(str(directory)))
        names = sorted(one.name for one in here.iterdir() if "sha256" in one.name.lower()) if here.is_dir() else []
    return next((f"{directory}/{name}" for name in names if _text(asking, f"{directory}/{name}") is not None), None)
