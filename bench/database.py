"""Loading a public release's catalogue into the database: 2 million rows with the columns of DR1's zall-pix.

On SQLite, and on a PostgreSQL server that this program starts. A tenth of the rows tells whether memory grows.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from lib import ROOT, measure, report

sys.path.insert(0, str(ROOT / "tests"))
import postgresql_server

N_ROWS, TENTH, N_DR1 = 2_000_000, 200_000, 28_000_000
GOAL_HOURS, GOAL_MB = 2, 1000
QUESTION = "SELECT spectype, count(*) FROM big.zpix WHERE z > 2 AND zwarn = 0 AND zcat_primary GROUP BY spectype"
WRITE = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from skyharvest.simulate.desi.catalogues import write_zall_pix
write_zall_pix(Path({path!r}), {n})
"""


def load(path: Path, where: list[str]) -> measure.Run:
    """Load a catalogue."""
    program = ROOT / "scripts" / "database" / "load_catalogues.py"
    return measure.run([sys.executable, program, *where, "--schema", "big", "--files", path], limit_s=3600)


def ask(where: list[str]) -> measure.Run:
    """Ask for the quasars at high redshift."""
    return measure.run([sys.executable, ROOT / "scripts" / "query_database.py", *where, QUESTION], limit_s=600)


def rows_of(engine: str, catalogues: dict[int, Path], where: list[str]) -> list[report.Row]:
    """Return what was measured of an engine."""
    small, run = load(catalogues[TENTH], where), load(catalogues[N_ROWS], where)
    rate = N_ROWS / run.seconds
    hours = N_DR1 / rate / 3600
    peak = run.peak_bytes / measure.MB
    return [
        report.Row(f"{engine}: rows a second", f"{rate:,.0f}"),
        report.Row(
            f"{engine}: hours for 28 million rows, at this rate",
            f"{hours:.1f} h",
            goal_text=f"≤ {GOAL_HOURS} h",
            reached=hours <= GOAL_HOURS,
        ),
        report.Row(f"{engine}: seconds, CPU of the loader", f"{run.seconds:.0f} s, {run.cpu_s:.0f} s"),
        report.Row(
            f"{engine}: peak memory of the loader",
            f"{peak:.0f} MB",
            goal_text=f"≤ {GOAL_MB} MB",
            reached=peak <= GOAL_MB,
        ),
        report.Row(f"{engine}: … for a tenth of the rows", f"{small.peak_bytes / measure.MB:.0f} MB"),
        report.Row(f"{engine}: seconds, one question, the interpreter's start included", f"{ask(where).seconds:.1f} s"),
    ]


def main() -> int:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, help="where 4 GB of files are made (default: the system's)")
    directory = Path(tempfile.mkdtemp(prefix="skyharvest-database-", dir=options.parse_args().work))
    try:
        catalogues = {n: directory / f"zall-pix-{n}.fits" for n in (TENTH, N_ROWS)}
        for n, path in catalogues.items():
            code = WRITE.format(scripts=str(ROOT / "scripts"), path=str(path), n=n)
            measure.run([sys.executable, "-c", code])
        size = catalogues[N_ROWS].stat().st_size / measure.MB
        rows = rows_of("SQLite", catalogues, ["--sqlite", str(directory)])
        file = (directory / "big.db").stat().st_size / measure.MB
        if postgresql_server.MISSING:
            rows.append(report.Row(f"PostgreSQL: {postgresql_server.MISSING}", "not measured"))
        else:
            with postgresql_server.running() as server:
                os.environ["PGPASSFILE"] = str(server.passfile)
                named = [f"--{key}={value}" for key, value in server.where("postgres").items()]
                rows += rows_of("PostgreSQL", catalogues, ["--postgresql", *named])
        about = f"""
{N_ROWS:,} rows of {size:,.0f} MB, into `zpix` with its 12 indexes and `photometry` with its two, in one transaction.
The SQLite file has {file:,.0f} MB. PostgreSQL runs with its defaults, on the same two cores.
"""
        bound = f"{report.BOUND}SQLite's own work row by row; the text that COPY reads, and PostgreSQL's indexes."
        report.write_section(
            "database", "Loading a release's catalogue", f"{report.comparison(rows)}\n{about}\n{bound}"
        )
    finally:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
