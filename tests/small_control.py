"""A production that is controlled by its program, as people do: its commands are small ones."""

import csv
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from raw_exposures import NIGHT, write_fibermap, write_raw
from running import ROOT
from skyharvest.config.load import validate
from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.production import Production, directory_of
from skyharvest.reduction.desi.records import Records
from small_commands import FAILS, site
from small_production import done


class Small:
    """A production of one night with a spectrograph: two arcs, a flat, a science exposure. Commands are small ones."""

    def __init__(self, root: Path) -> None:
        self.root, self.raw = root, root / "raw"
        for expid, obstype in ((1, "arc"), (2, "arc"), (3, "flat"), (5, "science")):
            self.expose(expid, obstype)
        (root / "calibration").mkdir()
        (root / "star_templates").touch()
        names = ("raw", "calibration", "star_templates")
        said = {"enabled": True, "specprod": "small"} | {name: str(root / name) for name in names}
        said["options"] = {"redshift": {"enabled": False}}
        said["qa"] = {"enabled": False}  # small commands write nothing that could be measured
        given = {"desi_reduction": said, "desi": {"enabled": False}, "results": str(root / "results")}
        self.config = root / "my.yaml"
        self.config.write_text(yaml.safe_dump(given))
        self.settings = validate(given)["desi_reduction"]
        self.directory = directory_of(root / "results", "small")
        self.environment = os.environ | {"PYTHONPATH": site(root / "site")}

    def expose(self, expid: int, obstype: str, night: int = NIGHT) -> None:
        directory = write_raw(self.raw, expid, obstype, night=night)
        write_fibermap(directory, SURVEY="main", FAPRGRM="dark")

    def __call__(self, command: str, status: int = 0, fails: str = "") -> str:
        """Run a command of the documentation on this production; return what it says."""
        words = shlex.split(command)
        if words[0] == "make":
            words = self._make(words)
        else:
            assert words[0] == "production.py"
            words = [
                sys.executable,
                str(ROOT / "scripts" / words[0]),
                words[1],
                "--configfile",
                str(self.config),
                *words[2:],
            ]
        ran = subprocess.run(
            words, cwd=self.root, env=self.environment | {FAILS: fails}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
        return ran.stdout + (ran.stderr if status or words[1:3] == ["-m", "snakemake"] else "")

    def _make(self, words: list[str]) -> list[str]:
        if words[1] == "run":  # what the Makefile does, without looking whether something is to be installed
            more = [word for one in words if one.startswith("ARGS=") for word in shlex.split(one.removeprefix("ARGS="))]
            snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
            profile = [] if "--workflow-profile" in more else ["--workflow-profile", str(ROOT / "profiles" / "default")]
            return [*snakemake, *profile, "--configfile", str(self.config), "--cores", "2", *more]
        once = ["ARGS=--once"] if words[1] == "top" else []
        return ["make", "-C", str(ROOT), "--no-print-directory", *words[1:], f"CONFIG={self.config}", *once]

    @property
    def production(self) -> Production:
        return Production(self.directory, self.settings)

    def states(self, *options: str) -> dict[str, str]:
        """Return the state of each task, as ``tasks --csv`` says it."""
        lines = csv.DictReader(io.StringIO(self(f"production.py tasks --csv {shlex.join(options)}")))
        return {
            f"{one['task']} {one['camera']} {one['expid']}".replace("  ", " ").strip(): one["state"] for one in lines
        }

    def begun(self) -> "Small":
        self("production.py create")
        return self

    def all_done(self) -> "Small":
        self.begun()
        done(self.production)
        return self

    def record(self, kind: str, unit: str, expid: int | None = None):
        owner = str(NIGHT) if expid is None else f"{NIGHT}/{expid:08d}"
        return Records(self.directory).get(Key(kind, owner, unit))
