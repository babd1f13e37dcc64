"""Copy DESI coadds, their redrock files and checksums by Globus, and record the status of each file."""

import argparse
import sys
from pathlib import Path

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.surveys.desi.globus.client import TOKEN_FILE, command_to_log_in, connect
from skyharvest.surveys.desi.globus.collection import collection, source_collection
from skyharvest.surveys.desi.globus.files import ABSENT, check_local, read_pixels, read_plan, wanted_files, write_record
from skyharvest.surveys.desi.globus.state import State, batches
from skyharvest.surveys.desi.globus.transfer import Polling, Transfer, check_access, check_label, summary
from skyharvest.surveys.desi.plan import cached_tilepix, choose, fetch_tilepix
from skyharvest.surveys.desi.release import Release, load_release
from skyharvest.surveys.desi.settings import Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("dest_endpoint", metavar="DEST_ENDPOINT", help="UUID of the collection to copy to")
    parser.add_argument("dest_path", metavar="DEST_PATH", help="absolute path on it of what is to hold spectro/")
    add_options(parser, Settings, "release")
    selection = parser.add_argument_group("which files", "without any of these, all that the release lists")
    selection.add_argument("--healpix", type=int, nargs="+", metavar="PIX64", help="NSIDE=64 NESTED pixels")
    selection.add_argument(
        "--healpix-file", type=Path, metavar="F", help="a pixel per line, or a CSV with a column pix64"
    )
    add_options(selection, Settings, "surveys", "programs")
    parser.set_defaults(programs=["dark", "bright"])
    selection.add_argument(
        "--tilepix-cache", type=Path, metavar="F", help="tilepix.fits; fetched to here if it is not there or damaged"
    )
    selection.add_argument(
        "--plan", type=Path, metavar="PLAN.csv", help="copy a plan's coadds, instead of all of the above"
    )
    transfer = parser.add_argument_group("how")
    transfer.add_argument("--source-endpoint", metavar="UUID", help="the collection to copy from; else the release's")
    transfer.add_argument("--source-path", metavar="PATH", help="absolute path on it of what holds spectro/")
    transfer.add_argument("--batch-size", type=int, default=500, metavar="N", help="files per task")
    transfer.add_argument(
        "--sync-level",
        choices=["exists", "size", "mtime", "checksum"],
        default="checksum",
        help="what makes a file that is there already equal, so that it is not copied",
    )
    transfer.add_argument("--label", help="of the tasks, on app.globus.org; skyharvest and the release if not given")
    transfer.add_argument(
        "--local", type=Path, metavar="DIR", help="DEST_PATH as this machine sees it: check that files arrive"
    )
    transfer.add_argument("--poll", type=float, default=10, metavar="SECONDS", help="between two looks at the tasks")
    transfer.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="wait no longer; the next run goes on waiting"
    )
    transfer.add_argument(
        "--token-file", type=Path, default=TOKEN_FILE, metavar="F", help="where the login is kept, mode 0600"
    )
    transfer.add_argument(
        "--record",
        "--results",
        type=Path,
        default=Path("globus_transfer.csv"),
        metavar="OUT.csv",
        help="what became of every file; written at the end. Beside it, a .state.json for the next run to go on from",
    )
    transfer.add_argument("--dry-run", action="store_true", help="show what would be copied; no login")
    transfer.add_argument("--login", action="store_true", help="log in, try both collections, and copy nothing")
    return parser


def main(options: argparse.Namespace) -> None:
    """Transfer, and record."""
    release = load_release(options.release)
    destination = collection(options.dest_endpoint, options.dest_path, "DEST_ENDPOINT", "DEST_PATH")
    source = source_collection(release, options.source_endpoint, options.source_path)
    label = check_label(options.label or f"skyharvest {release.name}")
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size}: expected 1 or more")
    login = command_to_log_in(
        options.release,
        destination=(options.dest_endpoint, options.dest_path),
        source=(options.source_endpoint, options.source_path),
        token_file=options.token_file,
        program=sys.argv[0],
    )
    if options.login:
        with connect(options.token_file, login, anew=True) as client:
            check_access(client, source, destination)
        cli.log.info("logged in; both collections can be listed")
        return

    coadds = read_plan(options.plan) if options.plan else listed_coadds(options, release)
    files = wanted_files(release, coadds)
    state = State.load(Path(f"{options.record}.state.json"), source, destination, options.local)
    paths = [file.path for file in files]
    remaining = state.remaining(paths)
    if options.dry_run:
        print(summary(files, batches(remaining, options.batch_size, label), source, destination))
        return
    statuses = state.done
    if remaining or state.tasks:
        with connect(options.token_file, login) as client:
            check_access(client, source, destination)
            transfer = Transfer(
                client,
                source,
                destination,
                state,
                batch_size=options.batch_size,
                sync_level=options.sync_level,
                label=label,
                polling=Polling(poll_s=options.poll),
            )
            statuses = transfer.run(paths, options.timeout)
    if options.local:
        check_local(statuses, options.local, destination)
    write_record(options.record, files, statuses)
    absent = sum(statuses[path] == ABSENT for path in paths)
    cli.log.info("%s: %d files transferred, %d absent", options.record, len(paths) - absent, absent)
    state.finish(keep=options.local is not None)


def listed_coadds(options: argparse.Namespace, release: Release) -> list[tuple[str, str, int]]:
    """Return the release's coadds of the given surveys, programs and pixels."""
    cache = options.tilepix_cache or Path(f"resources/desi/{release.name}/tilepix.fits")
    with Archive(release.list_root(".")) as archive:
        table = cached_tilepix(archive, release, cache) if cache.exists() else fetch_tilepix(archive, release, cache)
    surveys, programs = choose(table, options.surveys, options.programs)
    triples = zip(table.survey.tolist(), table.program.tolist(), table.pix64.tolist(), strict=True)
    coadds = [coadd for coadd in triples if coadd[0] in surveys and coadd[1] in programs]
    if options.healpix or options.healpix_file:
        wanted = set(options.healpix or []) | (read_pixels(options.healpix_file) if options.healpix_file else set())
        coadds = [coadd for coadd in coadds if coadd[2] in wanted]
        unlisted = wanted - {pix64 for _, _, pix64 in coadds}
        if unlisted:
            cli.log.warning("%d of %d pixels are not listed, such as %d", len(unlisted), len(wanted), min(unlisted))
    if not coadds:
        raise InputError(
            f"{cache} lists no coadd of {'/'.join(surveys)}, {'/'.join(programs)} in these pixels, "
            "which are NSIDE=64 NESTED numbers"
        )
    return coadds


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
