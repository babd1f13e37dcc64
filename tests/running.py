"""How tests run Snakemake: as a user would, in a directory of their own."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


@dataclass
class Run:
    """A finished `snakemake`: exit status and all that it printed."""

    status: int
    output: str


def environment() -> dict[str, str]:
    """Return the environment without what an outer Snakemake has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}


def start(directory: Path, *arguments: str, profile: str = "default") -> subprocess.Popen[str]:
    """Start the workflow in a process group of its own."""
    return subprocess.Popen(
        [*SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles" / profile), *arguments],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout: float) -> Run:
    """Wait for the workflow to end; interrupt it, as Ctrl-C does, if that takes too long."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        raise AssertionError(f"not finished after {timeout} s:\n{output[-5000:]}") from None
    return Run(process.returncode, output)


def snakemake(directory: Path, *arguments: str, timeout: int = 400) -> Run:
    """Run the workflow with the default profile."""
    return finish(start(directory, "--cores", "2", *arguments), timeout)
