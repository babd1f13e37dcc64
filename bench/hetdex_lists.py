"""Lists of HETDEX's raw frames: indexing tars of 936 frames, a month's plan and account, and reading a frame by offset.

Tars are of full size, but their pixels are holes, which take no room on the disk: nothing but headers is read of them.
The frame that is read is the last of a tar, and has pixels.
"""

import argparse
import functools
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from lib import ROOT, measure, report
from lib.report import Row

sys.path.insert(0, str(ROOT / "tests"))

from raw_frames import frame, name_of
from skyharvest.reduction.hetdex.frames.frame import read_frame
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.tar_index import index_tar
from skyharvest.reduction.hetdex.layout import AMPS

NIGHTS, IFUS, EXPOSURES, SHOTS = 20, 78, (1, 2, 3), 6
PROGRAMS = ROOT / "scripts" / "reduction" / "hetdex"
SIZE = 2880 + 2880 * -(-1032 * 1064 * 2 // 2880)


@functools.cache
def headers() -> dict[tuple[str, str], bytes]:
    """Return the headers of frames by IFU slot and amplifier."""
    made = {}
    for amp in AMPS:
        blank = frame(amp, np.zeros((1032, 1064), "u2"))[:2880]
        for ifu in range(IFUS):
            header = blank
            for old, new in {"054": 301 + ifu, "093": 10 + ifu, "008": 200 + ifu}.items():
                header = header.replace(f"'{old}     '".encode(), f"'{new:03d}     '".encode())
            made[f"{10 + ifu:03d}", amp] = header
    return made


def write_tar(path: Path, obs: int, kind: str, last: bytes = b"") -> None:
    """Write a tar of three exposures of all IFUs; pixels are holes, but for those of the last frame if it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [(expnum, ifuslot, amp) for expnum in EXPOSURES for ifuslot, amp in sorted(headers())]
    with path.open("wb") as out:
        for expnum, ifuslot, amp in names:
            name = name_of(obs, expnum, amp, kind, ifuslot)
            info = tarfile.TarInfo(name.replace("20190103T0545", f"{path.parts[-3]}T{obs:02d}45"))
            info.size = SIZE
            out.write(info.tobuf(tarfile.USTAR_FORMAT))
            begin = out.tell()
            out.write(headers()[ifuslot, amp])
            if (expnum, ifuslot, amp) == names[-1]:
                out.write(last[2880:])
            out.seek(begin + -(-SIZE // 512) * 512)
        out.write(bytes(10240))


def write_month(raw: Path) -> None:
    """Write nights of a tar of biases, one of twilights, and those of shots."""
    noise = np.random.default_rng(1).normal(1000, 3.5, (1032, 1064)).astype("u2")
    for night in range(NIGHTS):
        for obs in range(1, SHOTS + 3):
            kind = {1: "zro", 2: "twi"}.get(obs, "sci")
            path = raw / f"{20190101 + night}/virus/virus{obs:07d}.tar"
            write_tar(path, obs, kind, frame(AMPS[-1], noise) if (night, obs) == (0, 3) else b"")


def headers_with_tarfile(tar: Path) -> int:
    """Read the headers of all frames as `tarfile` and astropy do."""
    n = 0
    with tarfile.open(tar) as file:
        for one in file:
            n += fits.getheader(file.extractfile(one))["IFUSLOT"] != ""
    return n


def frame_with_tarfile(tar: Path, name: str) -> Any:
    """Read a frame by its name, which tarfile looks for; overscan off, trimmed, in electrons."""
    with tarfile.open(tar) as file, fits.open(file.extractfile(name)) as hdus:
        pixels = hdus[0].data.astype("f4")
        return (pixels[:, :1032] - np.median(pixels[:, 1034:])) * hdus[0].header["GAIN"]


def measure_all(work: Path) -> list[Row]:
    """Return the figures."""
    raw, reduction = work / "raw", work / "results/reduction/hetdex"
    write_month(raw)
    tar = raw / "20190101/virus/virus0000003.tar"
    rows = index_tar(tar, 20190101)
    assert len(rows) == headers_with_tarfile(tar) == len(AMPS) * IFUS * len(EXPOSURES)
    ours, other = measure.cpu_s(lambda: index_tar(tar, 20190101)), measure.cpu_s(lambda: headers_with_tarfile(tar))
    about = "headers of a tar of 936 frames; tarfile and astropy"
    figures = [Row(about, f"{ours:.3f} s", f"{other:.2f} s", other / ours)]
    last = rows[-1]
    names = (last.specid, last.ifuslot, last.ifuid, last.contid, last.amp, last.tar, last.member)
    member = Member("sci", 20190101, 3, 3, *names, last.offset, last.size)
    ours, other = measure.cpu_s(lambda: read_frame(member)), measure.cpu_s(lambda: frame_with_tarfile(tar, last.member))
    about = "the last of its frames, in electrons; by tarfile and astropy"
    figures.append(Row(about, f"{ours * 1000:.1f} ms", f"{other * 1000:.0f} ms", other / ours))
    lists = [reduction / f"lists/{20190101 + night}.csv" for night in range(NIGHTS)]
    for out in lists:
        night = measure.run(
            [sys.executable, PROGRAMS / "index_night.py", "--raw", raw, "--night", out.stem, "--out", out]
        )
    figures.append(Row(f"index_night.py: {SHOTS + 2} such tars", f"{night.seconds:.1f} s, {night.cpu_s:.1f} s of CPU"))
    n = NIGHTS * (SHOTS + 2) * len(rows)
    plan = ["--plan", reduction / "plan/plan.csv", "--left-out", reduction / "plan/left_out.csv"]
    run = measure.run([sys.executable, PROGRAMS / "make_plan.py", "--lists", *lists, *plan])
    figures.append(
        Row(
            f"make_plan.py: {n:,} frames",
            f"{run.seconds:.1f} s, {run.cpu_s:.1f} s of CPU, {run.peak_bytes / 1e6:.0f} MB",
        )
    )
    account = ["--ledger", reduction / "ledger.csv", "--summary", reduction / "summary.json"]
    run = measure.run([sys.executable, PROGRAMS / "account_hetdex.py", "--reduction", reduction, *account])
    figures.append(
        Row(
            f"account_hetdex.py: {n:,} frames",
            f"{run.seconds:.1f} s, {run.cpu_s:.1f} s of CPU, {run.peak_bytes / 1e6:.0f} MB",
        )
    )
    return figures


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, help="where the directories are made (default: the system's)")
    given = options.parse_args()
    work = Path(tempfile.mkdtemp(prefix="skyharvest-hetdex-lists-", dir=given.work))
    try:
        figures = measure_all(work)
    finally:
        shutil.rmtree(work)
    about = f"""\
A month is {NIGHTS} nights × {SHOTS + 2} tars × {len(EXPOSURES)} exposures × {IFUS} IFUs. All is in the system's cache;
the first two rows are of CPU. tarfile reads the header of each member before the one that it looks for, each time."""
    report.write_section("hetdex_lists", "HETDEX: lists of raw frames", f"{report.comparison(figures)}\n\n{about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
