"""Where coadds are that are not where the release's paths say."""

from collections.abc import Iterator
from dataclasses import replace

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, ArchiveRefused, MalformedFile
from skyharvest.harvest.check import REPORT
from skyharvest.surveys.desi.release import CoaddFile, Release

GROUPS = (1000, 10, 1)


def find_elsewhere(archive: Archive, release: Release, file: CoaddFile) -> tuple[str, str] | None:
    """Look for an absent coadd under other names; return where it is and what to change, None if it is nowhere."""
    place = (file.survey, file.program, file.pix64)
    entry = f"config/releases.yaml, entry {release.name}"
    for path, change in _others(release, file):
        if _has(archive, path):
            return f"it is {archive.location(path)}", f"{entry}: {change}"
    spectra = release.coadd(*place).replace("/coadd-", "/spectra-")
    for path in (spectra, f"{spectra}.gz"):
        if _has(archive, path):
            seen = f"{archive.location(path)}: the release has spectra of exposures, which are not coadded"
            return seen, f"only coadds can be read: choose a release or a mirror that has them, or {REPORT}"
    return None


def _others(release: Release, file: CoaddFile) -> Iterator[tuple[str, str]]:
    """Yield other paths that a coadd may have, and the change of the release's entry that each asks for."""
    place = (file.survey, file.program, file.pix64)
    for group in GROUPS:
        if group != release.group:
            yield replace(release, group=group).coadd(*place), f"set group: {group} in its pixels"
    for old, new in (("{group}/{pix}/", "{pix}/"), ("{group}/{pix}/", "{group}/"), ("/healpix/", "/")):
        template = release.paths["coadd"]
        if old in template:
            paths = {**release.paths, "coadd": template.replace(old, new)}
            yield replace(release, paths=paths).coadd(*place), f"write {new} for {old} in its paths"


def _has(archive: Archive, path: str) -> bool:
    try:
        with archive.open(path) as source:
            source.head(1)
    except (Absent, ArchiveRefused, MalformedFile):
        return False
    return True
