"""What an assembled file, ``crossmatch_{survey}.hdf5``, says of itself in its root attributes."""

from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.core.errors import InputError, MalformedFile

if TYPE_CHECKING:
    import h5py


def groups(file: "h5py.File", path: Path) -> tuple["h5py.Group", "h5py.Group"]:
    """Return the group of what the survey has, and that of the CSV's columns beside it.

    Raises
    ------
    InputError
        If the file does not say which they are.
    MalformedFile
        If it lacks one of them.
    """
    if not {"survey", "csv_group"} <= set(file.attrs):
        raise InputError(
            f"{path} holds {', '.join(file) or 'nothing'} and lacks the attributes survey and csv_group: it is no "
            "crossmatch_*.hdf5, or an older version made it; then run the workflow again"
        )
    names = [str(file.attrs[attribute]) for attribute in ("survey", "csv_group")]
    for name in names:
        if name not in file:
            raise MalformedFile(
                f"{path} has no group /{name}; it has {', '.join(file) or 'nothing'}: remove it, the next run makes it "
                "anew"
            )
    return file[names[0]], file[names[1]]
