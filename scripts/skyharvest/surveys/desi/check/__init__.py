"""What is asked of DESI's archive before a run: its list of coadds, and a few coadds with what stands beside them."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from skyharvest.archive.archive import Cost
from skyharvest.core.errors import Absent, HarvestError, InputError, MalformedFile
from skyharvest.core.words import counted
from skyharvest.harvest.check import (
    AS_ASSUMED,
    FAILS,
    NOTE,
    Asking,
    EnoughAsked,
    Finding,
    Question,
    Work,
    merged,
)
from skyharvest.surveys.desi.check.beside import ask_checksums, ask_redrock
from skyharvest.surveys.desi.check.coadd import ask_coadd
from skyharvest.surveys.desi.check.layout import find_elsewhere
from skyharvest.surveys.desi.plan import CoaddPlan, fetch_tilepix, make_plan
from skyharvest.surveys.desi.release import GLOBUS, CoaddFile
from skyharvest.surveys.desi.spectra import N_COMBINED

LIST, PLAN, THERE = "list of coadds", "rows to look for", "coadds"
TRIED = 3  # coadds of a survey and program: tilepix.fits lists more than there are
MAX_KINDS = 9
COMPRESSED = 0.6  # of combined spectra, about; native arms are not compressed


def list_of_coadds(asking: Asking) -> Iterator[Finding]:
    """Read ``tilepix.fits`` as the run does."""
    url = asking.archive.location(asking.known)
    scheme = f"HEALPix NSIDE={asking.release.nside}, NESTED"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            listed = fetch_tilepix(asking.archive, asking.release, Path(scratch, "tilepix.fits"))
        except (Absent, InputError, MalformedFile) as error:
            change = f"correct desi.archive or desi.release; or the entry {asking.release.name} of config/releases.yaml"
            told = {"assumed": f"SURVEY, PROGRAM, HEALPIX; {scheme}", "seen": f"{error}", "change": change}
            yield asking.found(FAILS, LIST, url, means="nothing can be planned", **told)
            raise EnoughAsked from None
    kinds = sorted({*zip(listed.survey.tolist(), listed.program.tolist(), strict=True)})
    asking.shared["listed"] = listed
    seen = f"{counted(len(listed.pix64), 'coadd')} of {', '.join(map('/'.join, kinds))}; {scheme}"
    yield asking.found(AS_ASSUMED, LIST, url, assumed=f"SURVEY, PROGRAM, HEALPIX; {scheme}", seen=seen)


def rows_to_look_for(asking: Asking) -> Iterator[Finding]:
    """Read the CSV and make the plan, in memory."""
    csv = str(asking.config["targets"]["csv"])
    radius = asking.config["match"]["radius_arcsec"]
    if asking.config["targets"]["targetid"]:
        radius = max(radius, asking.section["targetid_radius_arcsec"])
    try:
        plan = make_plan(
            asking.shared["listed"],
            dict(asking.read_targets()),
            nside=asking.release.nside,
            surveys=asking.section["surveys"],
            programs=asking.section["programs"],
            radius_arcsec=radius,
        )
    except (InputError, OSError) as error:
        told = {"assumed": "positions, in surveys that the release has", "seen": str(error)}
        yield asking.found(FAILS, PLAN, csv, means="nothing can be planned", change="as the message says", **told)
        raise EnoughAsked from None
    asking.shared["plan"] = plan
    seen = f"{plan.n_covered:,} of {plan.n_accepted:,} rows are covered, in {counted(len(plan.coadds.pix64), 'coadd')}"
    if plan.n_covered:
        yield asking.found(AS_ASSUMED, PLAN, csv, assumed="some are covered", seen=seen)
        return
    told = {"means": "the run finds nothing: the release has no coadd at these positions in what is selected"}
    told["change"] = "desi.surveys, desi.programs, or another release"
    yield asking.found(NOTE, PLAN, csv, assumed="some are covered", seen=seen, **told)
    raise EnoughAsked


def coadds(asking: Asking) -> Iterator[Finding]:
    """Ask a coadd of each survey and program, where the CSV's rows are, and what stands beside it."""
    if asking.section["archive"] == GLOBUS:
        return  # they are copied before they are read
    findings: list[Finding] = []
    try:
        for survey, program, pixels in _samples(asking.shared["plan"]):
            findings.extend(_of_kind(asking, survey, program, pixels))
    except HarvestError:  # too many kinds for the bytes that may be read, or no answer any more
        yield from merged(findings)
        raise
    yield from merged(findings)


def _of_kind(asking: Asking, survey: str, program: str, pixels: list[int]) -> Iterator[Finding]:
    """Ask one of these coadds."""
    file = _first_there(asking, survey, program, pixels)
    if isinstance(file, Finding):
        yield file
        return
    about = asking.archive.location(file.path)
    yield asking.found(AS_ASSUMED, THERE, about, assumed="where the release's paths say", seen="there")
    cost = Cost()
    with asking.archive.metered(cost):
        yield from ask_coadd(asking, file)
        yield from ask_redrock(asking, file)
    asking.shared.setdefault("table_bytes", []).append(cost.bytes)
    yield from ask_checksums(asking, file)


def _samples(plan: CoaddPlan) -> Iterator[tuple[str, str, list[int]]]:
    """Yield each survey and program of a plan, and its pixels with most targets."""
    coadds = plan.coadds
    for survey, program in list(dict.fromkeys(zip(coadds.survey.tolist(), coadds.program.tolist(), strict=True)))[
        :MAX_KINDS
    ]:
        of_kind = np.flatnonzero((coadds.survey == survey) & (coadds.program == program))
        most = of_kind[np.argsort(-plan.n_targets[of_kind], kind="stable")][:TRIED]
        yield survey, program, coadds.pix64[most].tolist()


def _first_there(asking: Asking, survey: str, program: str, pixels: list[int]) -> CoaddFile | Finding:
    """Return the first of these coadds that the archive has; else what that means."""
    files = [CoaddFile.of_release(asking.release, survey, program, pix64) for pix64 in pixels]
    for file in files:
        try:
            with asking.archive.open(file.path) as source:
                source.head(1)
            return file
        except Absent:
            continue
        except MalformedFile:  # an empty file
            return file
    about, told = asking.archive.location(files[0].path), {"assumed": "where the release's paths say"}
    try:
        for file in files:
            asking.archive.refuse_other_compression(file.path)
            elsewhere = find_elsewhere(asking.archive, asking.release, file)
            if elsewhere:
                told["means"] = "the run would take every coadd for absent"
                return asking.found(FAILS, THERE, about, seen=elsewhere[0], change=elsewhere[1], **told)
    except HarvestError as error:
        told |= {"means": "the run would stop at the first coadd", "change": "as the message says"}
        return asking.found(FAILS, THERE, about, seen=f"{error}", **told)
    told["means"] = (
        f"recorded as absent, with all that is like it ({counted(len(files), 'coadd')} of {survey}/{program} tried)"
    )
    return asking.found(NOTE, THERE, about, seen="absent", **told)


def work(asking: Asking) -> Work:
    """Return what the run reads: of each coadd its tables, and of each matching row its spectra."""
    plan: CoaddPlan = asking.shared["plan"]
    spectra = asking.section["spectra"]
    n, pairs = len(plan.coadds.pix64), int(plan.n_targets.sum())
    tables = asking.shared.get("table_bytes", [])
    row: dict[str, int] = asking.shared.get("row_bytes", {})
    if asking.section["transfer"] == "files":
        per_file = asking.shared.get("file_bytes", [])
        moved = n * sum(per_file) // max(len(per_file), 1)
    else:
        moved = n * sum(tables) // max(len(tables), 1) + pairs * sum(row.values())
    widths = COMPRESSED * 4 * N_COMBINED * spectra["lsf"]
    arms = sum(n_bytes for kind, n_bytes in row.items() if kind != "mask")
    if not spectra["arms"]:
        arms -= row.get("resolution", 0)
    extracted = arms + widths
    assembled = COMPRESSED * 4 * N_COMBINED * 3 * spectra["combine"] + widths + arms * spectra["arms"]
    return Work(
        files=counted(n, "coadd"),
        rows=f"up to {counted(pairs, 'spectrum').replace('spectrums', 'spectra')}",
        n_files=n,
        round_trips=4,
        moved=int(moved),
        kept=int(pairs * (extracted + assembled)),
    )


def by_globus(asking: Asking) -> Iterator[Finding]:
    """Ask Globus, where it copies the coadds."""
    if asking.section["archive"] != GLOBUS:
        return
    from skyharvest.surveys.desi.globus.check import ask_globus  # noqa: PLC0415 (0.4 s, for few)

    yield from ask_globus(asking)


QUESTIONS: Mapping[str, Question] = {LIST: list_of_coadds, PLAN: rows_to_look_for, THERE: coadds, "Globus": by_globus}
