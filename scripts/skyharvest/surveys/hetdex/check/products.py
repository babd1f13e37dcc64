"""What is asked before a run of what HETDEX itself has found: its source catalogue, and its raw detections."""

from collections.abc import Generator, Iterator

import h5py

from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.core.paths import expand_user
from skyharvest.core.words import size
from skyharvest.formats.fits_file import FitsFile
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Asking, Finding
from skyharvest.surveys.hetdex.catalogue import NEEDED, VERSION, find_version, spectra_images, table_of
from skyharvest.surveys.hetdex.check.index import REPORT
from skyharvest.surveys.hetdex.cube import N_WAVE
from skyharvest.surveys.hetdex.detection_tables import DetectionTable, open_hdf5
from skyharvest.surveys.hetdex.detections import KINDS, SCAN_LIMIT, SURVEY, read_correction, read_detectids
from skyharvest.surveys.hetdex.elixer import BEGIN
from skyharvest.surveys.hetdex.settings import FROM_CATALOGUE

SAMPLED = 9  # rows of a table, all over it, to see whether it is sorted
TABLES = "tables of the detections"
LARGE_CHUNK = 4 << 20  # bytes, of which some 50 kB are wanted


def catalogue(asking: Asking) -> Iterator[Finding]:
    """Ask for the newest version of the catalogue, its columns, and its spectra."""
    if not asking.section["catalogue"]["enabled"]:
        return
    wanted = asking.section["catalogue"]["version"]
    question, assumed = "version of the catalogue", wanted or VERSION
    about = asking.archive.location(asking.release.catalogue("{version}"))
    try:
        newest = find_version(asking.archive, asking.release)
    except InputError as error:
        means, change = "no catalogue can be read", "hetdex.catalogue.version, or hetdex.archive"
        yield asking.found(FAILS, question, about, assumed=assumed, seen=str(error), means=means, change=change)
        return
    verdict, change = (ADAPTED, "") if not wanted else (NOTE, f"hetdex.catalogue.version: {newest}, for the newest")
    means = f"the run reads {wanted or newest}"
    yield asking.compare(question, about, assumed=assumed, seen=newest, otherwise=verdict, means=means, change=change)
    version = wanted or newest
    try:
        with asking.archive.open(asking.release.catalogue(version)) as source:
            table = table_of(FitsFile(source))
            yield asking.found(
                AS_ASSUMED, "columns of the catalogue", source.name, assumed=", ".join(NEEDED), seen="all of these"
            )
        with asking.archive.open(asking.release.catalogue_spectra(version)) as source:
            fits = FitsFile(source)
            spectra_images(fits, table.n_rows)
            yield asking.found(
                AS_ASSUMED,
                "spectra of the catalogue",
                source.name,
                assumed=f"SPEC, SPEC_ERR of {N_WAVE} x {table.n_rows}",
                seen="so",
            )
    except (Absent, MalformedFile) as error:
        question, means = "files of the catalogue", "no catalogue can be read"
        change = REPORT if isinstance(error, MalformedFile) else "hetdex.catalogue.version"
        yield asking.found(
            FAILS, question, about, assumed="a table, and its spectra", seen=str(error), means=means, change=change
        )


def detections(asking: Asking) -> Iterator[Finding]:
    """Ask for the correction, the index, and the database of one detection."""
    wanted = asking.section["detections"]["detectids"]
    if wanted is None:
        return
    release, archive = asking.release, asking.archive
    about = archive.location(release.paths["detect_index"])
    try:
        read_correction(archive, release.paths["detect_correction"])
        with open_hdf5(archive, release.paths["detect_index"]) as file:
            index = DetectionTable(file, "DetectIndex", about, {"det_type": (), "survey": ()})
            if not (yield from _storage(asking, index)):
                return
            row = 0
            if wanted != FROM_CATALOGUE:
                detectid = read_detectids(expand_user(wanted), asking.section["detections"]["column"])[0]
                rows = index.rows([detectid], scan_limit=0)
                yield _first(asking, about, detectid, is_listed=bool(rows))
                row = rows.get(detectid, 0)
            entry = index.entry(row)
        kind, survey = bytes(entry["det_type"]), bytes(entry["survey"])
        if kind not in KINDS or not SURVEY.fullmatch(survey):
            yield _unknown_kind(asking, f"{about}, row {row}", kind, survey)
            return
        about = archive.location(release.detections(KINDS[kind], survey.decode()))
        with open_hdf5(archive, about) as file:
            spectra = DetectionTable(file, "Spectra", about, {"spec1d": (N_WAVE,), "spec1d_err": (N_WAVE,)})
            DetectionTable(file, "Detections", about, {})
            if (yield from _storage(asking, spectra)):
                spectra.entry(0)
                yield asking.found(
                    AS_ASSUMED, TABLES, about, assumed="detectid, spec1d, spec1d_err", seen="all of these"
                )
    except (Absent, MalformedFile) as error:
        means, change = "no detection like this can be read", REPORT
        if isinstance(error, Absent):
            change = f"hetdex.archive, or the paths of {release.name} in config/releases.yaml"
        yield asking.found(
            FAILS, TABLES, about, assumed="tables that can be read", seen=str(error), means=means, change=change
        )


def _first(asking: Asking, about: str, detectid: int, *, is_listed: bool) -> Finding:
    """Return whether the first detectid that is asked for is listed."""
    seen = f"{detectid} is there" if is_listed else f"{detectid} is not"
    means = "" if is_listed else "it would be recorded as unknown, unless it is found out of its order"
    verdict = AS_ASSUMED if is_listed else NOTE
    return asking.found(verdict, "first of the detectids", about, assumed="in the index", seen=seen, means=means)


def _unknown_kind(asking: Asking, about: str, kind: bytes, survey: bytes) -> Finding:
    """Return that it is not known which database a detection is in."""
    return asking.found(
        FAILS,
        "kinds of detections",
        about,
        assumed=f"det_type {' or '.join(name.decode() for name in KINDS)}; survey such as hdr5",
        seen=f"det_type {kind.decode('latin-1')!r}, survey {survey.decode('latin-1')!r}",
        means="detections like this would be recorded as unreadable",
        change=REPORT,
    )


def _storage(asking: Asking, table: DetectionTable) -> Generator[Finding, None, bool]:
    """Yield how a table is stored: what its chunks cost, and whether it is sorted; return whether it can be read."""
    how = table.storage
    names = ", ".join(how.filters.values())
    lacking = ", ".join(name for code, name in how.filters.items() if not h5py.h5z.filter_avail(code))
    seen = f"{size(how.chunk_bytes)} each" if how.chunk_bytes else "one piece"
    verdict, means, change = AS_ASSUMED, "", ""
    if lacking:
        verdict, means = FAILS, "no row can be decoded"
        change = f"h5py needs a plug-in for {lacking}: {REPORT}"
    elif how.filters and how.chunk_bytes > LARGE_CHUNK:
        verdict, means = NOTE, f"each row that is wanted moves a chunk: {size(how.chunk_bytes)}, less its compression"
    yield asking.found(
        verdict,
        "chunks of the detections",
        table.name,
        assumed="not compressed, or small",
        seen=f"{seen}, compressed by {names}" if names else seen,
        means=means,
        change=change,
    )
    if lacking:
        return False
    if table.is_sorted(SAMPLED):
        yield asking.found(AS_ASSUMED, "order of the detections", table.name, assumed="by detectid", seen="so")
        return True
    can_scan = table.can_scan(SCAN_LIMIT)
    means = f"detectids are looked for in all rows: {size(how.n_bytes)} are read"
    if not can_scan:
        means = f"{size(how.n_bytes)} are too many to look through: most detections would not be found"
    yield asking.found(
        ADAPTED if can_scan else FAILS,
        "order of the detections",
        table.name,
        assumed="by detectid",
        seen="another",
        means=means,
        change="" if can_scan else REPORT,
    )
    return True


def pictures(asking: Asking) -> Iterator[Finding]:
    """Ask for ELiXer's picture of the first detectid, where they are fetched."""
    section = asking.section["detections"]
    if section["pictures"] != "files" or section["detectids"] in (None, FROM_CATALOGUE):
        return
    detectid = read_detectids(expand_user(section["detectids"]), section["column"])[0]
    path = asking.release.elixer(detectid)
    question, about, assumed = "picture of a detection", asking.archive.location(path), "a JPEG, or none"
    try:
        with asking.archive.open(path) as source:
            head = source.head(len(BEGIN))
    except Absent:
        means = "pictures that are missing are listed"
        yield asking.found(NOTE, question, about, assumed=assumed, seen="none", means=means)
        return
    means = "pictures like this are listed as missing"
    seen = "a JPEG" if head == BEGIN else f"a file that begins with {head!r}"
    verdict = AS_ASSUMED if head == BEGIN else FAILS
    yield asking.found(verdict, question, about, assumed=assumed, seen=seen, means="" if head == BEGIN else means)
