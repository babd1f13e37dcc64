"""What a run gave, as a digest of each dataset: to be compared bit for bit with another run, of another layout."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ASSEMBLED = "*_crossmatches/*/*.hdf5"
LEDGERS = "*/ledger.csv"

Digests = dict[str, dict[str, str]]
"""File below the results → dataset → digest of its type, shape and values; a ledger is one dataset, of its text."""


def digests(results: Path) -> Digests:
    """Return the digests of all assembled files and ledgers; what depends on when and where it ran is no dataset."""
    made = {_name(path, results): _of_datasets(path) for path in sorted(results.glob(ASSEMBLED))}
    for path in sorted(results.glob(LEDGERS)):
        made[_name(path, results)] = {"": hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()}
    return made


def _name(path: Path, results: Path) -> str:
    return path.relative_to(results).as_posix()


def _of_datasets(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = _digest(item[()])

    with h5py.File(path) as file:
        file.visititems(see)
    return found


def _digest(values: Any) -> str:
    values = np.asarray(values)
    digest = hashlib.blake2b(f"{values.dtype} {values.shape}".encode(), digest_size=16)
    if values.dtype.kind == "O":  # strings of any length
        for value in values.flat:
            text = value if isinstance(value, bytes) else str(value).encode()
            digest.update(len(text).to_bytes(8, "big") + text)
    else:
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def write(path: Path, made: Digests) -> None:
    """Write digests to a JSON file."""
    path.write_text(json.dumps(made, indent=0))


def differences(made: Digests, former: Digests) -> list[str]:
    """Return what differs, a line each: file, dataset, and how."""
    found = []
    for file in sorted({*made, *former}):
        if file not in made or file not in former:
            found.append(f"{file}: only in the {'former' if file in former else 'present'} run")
            continue
        ours, theirs = made[file], former[file]
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                how = "other values, type or shape"
                if name not in ours or name not in theirs:
                    how = f"only in the {'former' if name in theirs else 'present'} run"
                found.append(f"{file}: {name or 'the text'}: {how}")
    return found
