"""The table of targets that the workflow's jobs read beside their plan."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_targets(path: Path, ra: Any, dec: Any, pix16: int) -> None:
    """Write ``targets.parquet`` with positions in one NSIDE=16 pixel: (n,) degrees."""
    n = len(ra)
    same = {"row": range(n), "pix16": [pix16] * n, "pix64": [pix16 << 4] * n}
    pq.write_table(pa.table({"ra": list(ra), "dec": list(dec), **{k: list(v) for k, v in same.items()}}), path)
