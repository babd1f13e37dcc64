"""A check before absent files are recorded."""

from collections.abc import Callable
from functools import cache

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, ArchiveUnavailable


def absence_check(archive: Archive, known: str) -> Callable[[], None]:
    """Return a check that an archive still has a file that it is known to have.

    In an archive that is moved, unmounted or in maintenance every file seems absent; that must not be recorded.

    Parameters
    ----------
    archive
        Archive in which files are absent.
    known
        Path, relative to the archive's root, of a file that it must have, such as the release's list of coadds.

    Returns
    -------
    callable
        Raises `ArchiveUnavailable` if that file is absent too; once it was read, it is not read again.
    """

    @cache
    def check() -> None:
        try:
            with archive.open(known) as source:
                source.head(1)
        except Absent as error:
            raise ArchiveUnavailable(
                f"{error}, which the release has: the archive seems to be moved, unmounted or in maintenance, and what "
                "it says to be absent is not recorded. Run again when it is back, or correct the `archive` setting"
            ) from None

    return check
