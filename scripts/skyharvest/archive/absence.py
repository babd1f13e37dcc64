"""Whether an archive is to be believed that says a file is not there."""

from collections.abc import Callable
from functools import cache

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, ArchiveUnavailable


def absence_check(archive: Archive, known: str) -> Callable[[], None]:
    """Return a check that an archive still has a file that it is known to have.

    An archive that is moved, unmounted or in maintenance says of every file that it is not there; none of that is to be
    recorded.

    Parameters
    ----------
    archive
        Where coadds are absent.
    known
        Path relative to its root, such as that of the release's list of coadds.

    Returns
    -------
    callable
        Raises `ArchiveUnavailable` if that file is absent, too; asks once, if it is there.
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
