"""The options of globus_transfer.py."""

import re
from pathlib import Path

import pytest

import globus_transfer
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.surveys.desi.globus.collection import path_problem
from skyharvest.surveys.desi.globus.files import read_pixels
from small_transfer import COADDS, DEST, FILES, MISSING, SOURCE, run


@pytest.mark.parametrize(
    "path", ["desi", "home/vera/desi", "~/desi", "~vera/desi", "/~/desi", "/home/~/desi", "$HOME/desi", "/$HOME", ""]
)
def test_a_path_that_globus_takes_as_relative_to_a_home_is_explained(service, path, capsys):
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [DEST, path, "--plan", "plan.csv"]) == 2
    said = capsys.readouterr().err
    assert "DEST_PATH" in said and repr(path) in said
    assert "/home/USER/home/USER" in said
    assert service.requests == []


def test_paths_that_are_good_or_bad_in_other_ways():
    assert path_problem("/") is path_problem("/home/vera/desi") is path_problem("/a b/c~") is None
    assert "without .." in path_problem("/data/../../etc")
    assert "control characters" in path_problem("/data\n")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["not-a-uuid", "/data"], "DEST_ENDPOINT: found 'not-a-uuid'; expected the UUID"),
        ([DEST, "/data", "--source-endpoint", SOURCE], "give --source-endpoint and --source-path"),
        ([DEST, "/data", "--release", "demo"], "'demo' has no Globus collection"),
        ([DEST, "/data", "--label", "two\nlines"], "printable"),
        ([DEST, "/data", "--batch-size", "0"], "expected 1 or more"),
    ],
)
def test_other_mistakes_on_the_command_line(wrong, said, capsys):
    assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [*wrong, "--plan", "plan.csv"]) == 2
    assert said in capsys.readouterr().err


def test_the_public_collection_is_the_source_by_default(service, capsys):
    """UUID and path as the archive's own page gives them (data.desi.lbl.gov/doc/access/#globus)."""
    options = [DEST, "/data", "--plan", "plan.csv", "--dry-run"]
    for more, path in (([], "/dr1"), (["--release", "edr"], "/edr")):
        assert cli.run(globus_transfer.main, globus_transfer.build_parser(), [*options, *more]) == 0
        assert f"from  6b4e1f6a-e600-11ed-9b9b-c9bb788c490e:{path}\n" in capsys.readouterr().out
    assert service.requests == []


def test_a_dry_run_shows_the_tasks_and_asks_nobody(service, capsys):
    assert run("--dry-run", "--batch-size", "6") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^main +bright +2 +6$", shown, re.M)
    assert re.search(r"^main +dark +2 +6$", shown, re.M)
    assert "15 files to transfer, in 3 tasks" in shown
    assert "skyharvest demo 3 of 3: 3 files" in shown
    assert FILES[0] in shown
    assert service.requests == []
    assert sorted(path.name for path in Path().iterdir()) == ["here", "home", "plan.csv", "there", "tokens.json"]


def test_pixels_surveys_and_programs_are_chosen_from_the_releases_list(service, tmp_path, capsys, caplog):
    from small_release import write_list

    cache = tmp_path / "cache/tilepix.fits"
    cache.parent.mkdir()
    write_list(tmp_path / "list", [*COADDS, MISSING]).rename(cache)
    Path("pix64.txt").write_text("27247\n\n19456\n")
    Path("counts.csv").write_text("count,pix64\n5,27246\n")

    def chosen(*more):
        assert run("--dry-run", "--tilepix-cache", str(cache), "--batch-size", "3", *more, plan=False) == 0
        return sorted(re.findall(r"coadd-(\w+)-(\w+)-(\d+)\.fits", capsys.readouterr().out))

    def names(*coadds):
        return sorted((survey, program, str(pix)) for survey, program, pix in coadds)

    main = [coadd for coadd in (*COADDS, MISSING) if coadd[0] == "main"]
    assert chosen() == names(*main)
    assert chosen("--healpix", "27246") == names(*[coadd for coadd in main if coadd[2] == 27246])
    assert chosen("--healpix-file", "pix64.txt", "--programs", "dark") == names(("main", "dark", 27247))
    assert "1 of 2 pixels are not listed, such as 19456" in caplog.text
    assert chosen("--healpix-file", "counts.csv", "--healpix", "27247") == names(*main)
    assert chosen("--surveys", "sv3", "main", "--programs", "dark") == names(COADDS[0], COADDS[2], COADDS[3])
    assert run("--dry-run", "--tilepix-cache", str(cache), "--healpix", "1", plan=False) == 2
    assert "lists no coadd of main, dark/bright in these pixels" in capsys.readouterr().err


def test_files_of_pixels_that_are_not(tmp_path):
    for text, line in (("27246\nabc\n", 2), ("pix64,count\n1,2\n,3\n", 3), ("-5\n", 1), ("1.5\n", 1)):
        Path("pixels").write_text(text)
        with pytest.raises(InputError, match=f"line {line}: found .*expected the number of a pixel"):
            read_pixels(Path("pixels"))


@pytest.mark.parametrize("name", ["../../etc", "a/b", "main\0", ""])
def test_a_survey_that_would_leave_the_directory_is_refused(service, name, capsys):
    Path("plan.csv").write_text(f'survey,program,pix64\n"{name}",dark,1\n')
    assert run() in (1, 2)
    assert "expected lower-case letters and digits" in capsys.readouterr().err
    assert service.requests == []
