"""Two jobs that need the same files at the same moment, as when a person asks for a pixel that a run deals with."""

import csv
import importlib
import shlex
import threading
from pathlib import Path

import pytest

from range_server import serve
from skyharvest.archive import download
from skyharvest.core.cli import COMMAND

RESULTS = Path("results/demo")
IN_PATHS = {  # of a unit's files
    "desi": lambda line: f"/{line['pix64']}/",
    "hetdex": lambda line: f"{line['shotid']}_{line['ifuslot']}",
    "legacysurvey": lambda line: f"/{line['brickname']}/",
}
PATIENCE_S = 60


def command_of(survey: str) -> list[str]:
    """Return the arguments of the job of the demo's only batch."""
    log = (RESULTS / f"logs/harvest_{survey}/all.log").read_text()
    said = next(line.partition(COMMAND)[2] for line in log.splitlines() if COMMAND in line)
    return shlex.split(said)[2:]


def job(survey: str, out: Path, *more: str) -> None:
    """Do that job once more, with other options, in another place."""
    arguments = command_of(survey)
    for option in ("--extracted", "--assembled", "--journal", "--list", "--server-notes"):
        if option in arguments:
            arguments[arguments.index(option) + 1] = str(out / option.strip("-"))
    program = importlib.import_module(f"harvest_{survey}")
    program.main(program.build_parser().parse_args([*arguments, *more]))


@pytest.mark.parametrize("survey", IN_PATHS)
def test_what_one_job_has_read_and_removes_is_not_the_others(demo, tmp_path, monkeypatch, survey):
    monkeypatch.chdir(demo)
    with (RESULTS / survey / "plan_pixels.csv").open(newline="") as stream:
        line = next(csv.DictReader(stream))
    shared = IN_PATHS[survey](line)
    has_files, other_has_ended = threading.Event(), threading.Event()
    real = download.download

    def slow(archive, paths, *how):
        made = real(archive, paths, *how)
        if any(shared in path for path in paths) and not has_files.is_set():
            has_files.set()
            assert other_has_ended.wait(PATIENCE_S)
        return made

    monkeypatch.setattr(download, "download", slow)
    errors = []

    def all_pixels(*both: str) -> None:
        try:
            job(survey, tmp_path / "all", *both)
        except Exception as error:
            errors.append(error)

    arguments = command_of(survey)
    with serve(Path(arguments[arguments.index("--archive") + 1])) as server:  # what is local is not downloaded
        both = ["--archive", server.url, "--connections", "2", "--download", str(tmp_path / "downloads")]
        whole = threading.Thread(target=all_pixels, args=both)
        whole.start()
        try:
            assert has_files.wait(PATIENCE_S), errors
            job(survey, tmp_path / "one", *both, "--batch", f"4-{line['pix16']}")
        finally:
            other_has_ended.set()
            whole.join(PATIENCE_S)
    assert not errors
    expected = (RESULTS / survey / "extracted/batches/all.csv").read_text()
    assert (tmp_path / "all/list").read_text() == expected
    own = (tmp_path / "one/list").read_text().splitlines()
    assert len(own) > 1
    assert set(own) <= set(expected.splitlines())
    assert [path for path in (tmp_path / "downloads").rglob("*") if path.is_file()] == []
