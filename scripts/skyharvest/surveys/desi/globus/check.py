"""What is asked before a run that copies coadds by Globus: login, both collections, and the disk that they come to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from skyharvest.core.errors import ArchiveRefused, InputError
from skyharvest.core.paths import expand_user
from skyharvest.core.words import counted, size
from skyharvest.harvest.check import AS_ASSUMED, FAILS, NOT_ASKED, NOTE, Asking, Finding
from skyharvest.surveys.desi.globus.client import TOKEN_FILE, command_to_log_in, connect, explaining
from skyharvest.surveys.desi.globus.collection import Collection, collection, source_collection
from skyharvest.surveys.desi.globus.files import wanted_files
from skyharvest.surveys.desi.globus.transfer import Listing

LOGIN, SOURCE, DESTINATION, COADDS = "login to Globus", "source of Globus", "destination of Globus", "coadds to copy"
HOLDS = "spectro"
TRIED = 3  # coadds, until one is there
RETRIES, RETRY_MAX_S = 1, 2.0
ENTRIES = 1000  # of a directory


def ask_globus(asking: Asking, token_file: Path = TOKEN_FILE) -> Iterator[Finding]:
    """Log in with what is there, without asking a person, and list directories: nothing is copied or made."""
    section, release = asking.section["globus"], asking.release
    own = section["source_endpoint"], section["source_path"]
    told = {"assumed": "one, with all consents", "means": "the run would end before it copies anything"}
    try:
        source = source_collection(release, *own)
        destination = collection(section["endpoint"], section["path"], "desi.globus.endpoint", "desi.globus.path")
    except InputError as error:
        yield asking.found(FAILS, SOURCE, "desi.globus", seen=str(error), **told)
        return
    to = destination.endpoint, destination.path
    command = command_to_log_in(release.name, destination=to, source=own, token_file=token_file)
    told["change"] = f"log in, once, in a terminal: {command}"
    if not (token_file.expanduser().exists() or os.environ.get("GLOBUS_CLIENT_SECRET")):
        yield asking.found(FAILS, LOGIN, str(token_file), seen="none", **told)
        return
    try:
        with connect(token_file, command, asks=False, retries=RETRIES, retry_max_s=RETRY_MAX_S) as client:
            with explaining("trying the login"):
                client.get_submission_id()  # nothing is submitted; Globus forgets it
            yield asking.found(AS_ASSUMED, LOGIN, str(token_file), assumed=told["assumed"], seen="a login")
            yield from _source(asking, Listing(client, source), source)
            yield from _destination(asking, Listing(client, destination), destination)
    except (ArchiveRefused, InputError) as error:
        yield asking.found(FAILS, LOGIN, str(token_file), seen=str(error), **told)


def _refused(asking: Asking, question: str, where: Collection, error: Exception) -> Finding:
    """Return that a collection cannot be listed; the message says what to do."""
    means = "the run would end before it copies anything"
    change = "as the message says" if isinstance(error, ArchiveRefused) else "desi.globus"
    assumed = "a collection that this login may list"
    return asking.found(FAILS, question, str(where), assumed=assumed, seen=str(error), means=means, change=change)


def _source(asking: Asking, listing: Listing, source: Collection) -> Iterator[Finding]:
    """Yield whether the source holds the release, and how much a planned coadd has."""
    assumed, about = f"a directory that holds {HOLDS}/", str(source)
    try:
        names = listing.names(source.path, ENTRIES)
    except (ArchiveRefused, InputError) as error:
        yield _refused(asking, SOURCE, source, error)
        return
    if names is None or HOLDS not in names:
        seen = "no such directory" if names is None else f"without {HOLDS}/: {', '.join(sorted(names)[:9]) or 'empty'}"
        means = "every coadd would be recorded as absent" if names else "there is nothing to copy"
        change = "desi.globus.source_path, or globus: path of the release in config/releases.yaml"
        yield asking.found(FAILS, SOURCE, about, assumed=assumed, seen=seen, means=means, change=change)
        return
    yield asking.found(AS_ASSUMED, SOURCE, about, assumed=assumed, seen=assumed)
    plan = asking.shared.get("plan")
    if plan is None or not len(plan.coadds.pix64):
        return
    coadds = zip(plan.coadds.survey.tolist(), plan.coadds.program.tolist(), plan.coadds.pix64.tolist(), strict=True)
    tried = list(coadds)[:TRIED]
    for coadd in tried:
        files = [source.full(file.path) for file in wanted_files(asking.release, [coadd])]
        sizes = listing.sizes(files[0].rpartition("/")[0], ENTRIES) or {}
        if files[0].rpartition("/")[2] in sizes:
            asking.shared["globus_bytes"] = sum(sizes.get(path.rpartition("/")[2], 0) for path in files)
            seen = f"there, {size(asking.shared['globus_bytes'])} with what stands beside it"
            yield asking.found(AS_ASSUMED, COADDS, files[0], assumed="where the release's paths say", seen=seen)
            return
    means = "coadds that the source does not have are recorded as absent"
    seen = f"{counted(len(tried), 'coadd')} of the plan not there"
    yield asking.found(NOTE, COADDS, files[0], assumed="where the release's paths say", seen=seen, means=means)


def _destination(asking: Asking, listing: Listing, destination: Collection) -> Iterator[Finding]:
    """Yield whether the destination can be seen from both sides, written to, and has room."""
    local = expand_user(asking.section["globus"]["local"]).absolute()
    about = f"{destination}, here {local}"
    try:
        names = listing.names(destination.path, ENTRIES)
    except (ArchiveRefused, InputError) as error:
        yield _refused(asking, DESTINATION, destination, error)
        return
    here = {entry.name for entry in local.iterdir()} if local.is_dir() else None
    assumed = "the same directory on both sides, or none yet"
    if (names is None) != (here is None) or (names is not None and here is not None and not names <= here):
        there, told = (("none" if of is None else f"{len(of):,} entries") for of in (names, here))
        means = "coadds would be copied to where the run does not look"
        change = "desi.globus.path and desi.globus.local: the same directory, as each side names it"
        seen = f"on the collection {there}, here {told}"
        yield asking.found(FAILS, DESTINATION, about, assumed=assumed, seen=seen, means=means, change=change)
        return
    seen = "none yet: Globus makes it" if names is None else "the same directory"
    yield asking.found(AS_ASSUMED, DESTINATION, about, assumed=assumed, seen=seen)
    there_is = next(up for up in (local, *local.parents) if up.is_dir())
    writable = os.access(there_is, os.W_OK | os.X_OK)
    yield asking.found(
        AS_ASSUMED if writable else NOTE,
        "permission to copy to it",
        str(there_is),
        assumed="writable",
        seen="writable, from here" if writable else "not writable, from here",
        means="" if writable else "Globus may be mapped to another account, which may write; else the copy fails",
        change="" if writable else "desi.globus.path and desi.globus.local: a directory of yours",
    )
    yield _room(asking, there_is)


def _room(asking: Asking, directory: Path) -> Finding:
    """Return whether the disk has room for all coadds of the plan, which stay there."""
    question, about = "room for coadds", str(directory)
    free = shutil.disk_usage(directory).free
    n_coadds = len(asking.shared["plan"].coadds.pix64) if "plan" in asking.shared else 0
    each = asking.shared.get("globus_bytes", 0)
    told = {"seen": f"{size(free)} free"}
    if not n_coadds or not each:
        means = "how large the coadds are is not known"
        return asking.found(NOT_ASKED, question, about, assumed="enough", means=means, **told)
    needed = n_coadds * each
    told["assumed"] = f"{size(needed)}: {counted(n_coadds, 'coadd')} like the one above"
    if free >= needed:
        return asking.found(AS_ASSUMED, question, about, **told)
    means = "the copy would end where the disk is full; what is there by then stays"
    change = "desi.globus: another directory; or desi.archive: https, which reads rows and copies no files"
    return asking.found(FAILS, question, about, means=means, change=change, **told)
