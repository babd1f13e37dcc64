"""Redrock's templates: a set that is whole and current, or says that it is simulated, and nothing else."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import check_redrock_templates as program
import fitsio
import numpy as np
import pytest

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi import redshift_templates
from skyharvest.reduction.desi.redshift_templates import CURRENT, FILES, SIMULATED, check_templates
from skyharvest.simulate.desi_night.templates import write_redrock

REAL = Path(__file__).resolve().parents[5] / "shared" / "real" / "redrock_templates"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("simulated")
    write_redrock(directory)
    return directory


@pytest.fixture
def current(tmp_path, monkeypatch) -> Path:
    """Return a directory of small files with the names and cards of the current ones, whose ids Git itself tells."""
    directory = tmp_path / "current"
    directory.mkdir()
    ids = {}
    for kind, (version, _) in FILES.items():
        main, _, subtype = kind.partition(":::")
        path = directory / f"rrtemplate-{main}-{subtype or 'None'}-v{version}.fits"
        write(path, main, subtype, version)
        told = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
        ids[kind] = (version, told.stdout.strip())
    monkeypatch.setattr(redshift_templates, "FILES", ids)
    write(directory / "rrtemplate-QSO-LOZ-v1.0.fits", "QSO", "LOZ", "1.0")  # as a clone has: it is not listed
    names = [path.name for path in sorted(directory.glob("*.fits")) if path.name != "rrtemplate-QSO-LOZ-v1.0.fits"]
    (directory / "templates-default.txt").write_text("# the current ones\n\n" + "".join(f"{n}  # \n" for n in names))
    return directory


def write(path: Path, kind: str, subtype: str, version: str) -> None:
    header = {"RRTYPE": kind, "RRSUBTYP": subtype, "VERSION": version, "CRVAL1": 3.5, "CDELT1": 1e-4, "LOGLAM": 1}
    with fitsio.FITS(path, "rw", clobber=True) as file:
        file.write(np.ones((2, 50)), extname="BASIS_VECTORS", header=header)


def said(directory: Path, **how: bool) -> str:
    with pytest.raises(InputError) as caught:
        check_templates(directory, **how)
    return str(caught.value)


def test_the_current_set_passes(current):
    found = check_templates(current)
    assert found.set == CURRENT
    assert {each.type for each in found.templates} == set(FILES)
    galaxy = found.templates[0]
    path = current / "rrtemplate-GALAXY-None-v2.6.fits"
    assert (galaxy.file, galaxy.type, galaxy.version) == (path.name, "GALAXY", "2.6")
    assert galaxy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_outdated_template_is_refused_and_named(current):
    listed = current / "templates-default.txt"
    listed.write_text(listed.read_text().replace("QSO-LOZ-v1.1", "QSO-LOZ-v1.0"))
    message = said(current)
    assert f"{current}/rrtemplate-QSO-LOZ-v1.0.fits is QSO:::LOZ of version 1.0, expected" in message
    assert "expected rrtemplate-QSO-LOZ-v1.1.fits" in message
    assert f"`install_redrock_templates --version {CURRENT} --outdir NEW_DIRECTORY`" in message
    assert message.count("\n") == 2
    found = check_templates(current, any_version=True)
    assert found.set == "other"
    assert "1.0" in {each.version for each in found.templates}


def test_a_template_that_says_what_it_is_not_is_refused(current):
    """The 2016 one would do so, if its card were edited."""
    galaxy = current / "rrtemplate-GALAXY-None-v2.6.fits"
    content = bytearray(galaxy.read_bytes())
    content[3000] ^= 1
    galaxy.write_bytes(content)
    assert f"{galaxy} says that it is rrtemplate-GALAXY-None-v2.6.fits, but its content is another" in said(current)


def test_files_that_lack_or_cannot_be_read_are_all_named(current):
    (current / "rrtemplate-GALAXY-None-v2.6.fits").unlink()
    (current / "rrtemplate-STAR-A-v0.1.fits").write_text("version https://git-lfs.github.com/spec/v1\n")
    (current / "rrtemplate-STAR-B-v0.1.fits").write_bytes((current / "rrtemplate-STAR-B-v0.1.fits").read_bytes()[:3000])
    for how in ({}, {"any_version": True}):
        message = said(current, **how)
        assert f"{current}/rrtemplate-GALAXY-None-v2.6.fits is absent, and {current}/templates-default.txt" in message
        assert f"{current}/rrtemplate-STAR-A-v0.1.fits cannot be read: " in message
        assert f"{current}/rrtemplate-STAR-B-v0.1.fits cannot be read: " in message
        assert "has no template of GALAXY" in message


def test_without_a_list_redrock_takes_all_files_and_two_of_a_kind_are_refused(current):
    (current / "templates-default.txt").unlink()
    message = said(current, any_version=True)
    for version in ("1.0", "1.1"):
        assert f"rrtemplate-QSO-LOZ-v{version}.fits is one of several of QSO:::LOZ" in message
    (current / "rrtemplate-QSO-LOZ-v1.0.fits").unlink()
    assert check_templates(current).set == CURRENT


def test_where_there_is_nothing(tmp_path):
    assert f"there is no directory {tmp_path / 'none'}" in said(tmp_path / "none")
    assert "has neither templates-default.txt nor rrtemplate-….fits" in said(tmp_path)
    (tmp_path / "templates-default.txt").write_text("# none\n")
    assert "templates-default.txt names no file" in said(tmp_path)


def test_simulated_templates_pass_and_say_so(simulated, tmp_path, caplog):
    moved = shutil.copytree(simulated, tmp_path / "moved")
    for directory, name in ((simulated, "a.json"), (moved, "b.json")):
        given = ["--templates", str(directory), "--out", str(tmp_path / name)]
        assert cli.run(program.main, program.build_parser(), given) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()  # wherever they stand
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["set"] == "simulated"
    assert {each["version"] for each in told["templates"]} == {SIMULATED}
    assert {"GALAXY", "QSO:::LOZ", "QSO:::HIZ", "STAR:::M"} <= {each["type"] for each in told["templates"]}
    assert "says nothing about the sky" in caplog.text


def test_simulated_templates_among_others_are_refused(simulated, current):
    shutil.copy(simulated / "rrtemplate-GALAXY-None-simulated.fits", current)
    listed = current / "templates-default.txt"
    listed.write_text(listed.read_text().replace("GALAXY-None-v2.6", "GALAXY-None-simulated"))
    for how in ({}, {"any_version": True}):
        assert "rrtemplate-GALAXY-None-simulated.fits are simulated, and the others are not" in said(current, **how)


def test_redrock_takes_the_same_files_and_its_results_name_them(simulated, current):
    templates = pytest.importorskip("redrock.templates", reason="redrock is not installed")
    desi = pytest.importorskip("redrock.external.desi")
    for directory in (simulated, current):
        theirs = [Path(path).name for path in templates.find_templates(str(directory))]
        assert theirs == [each.file for each in check_templates(directory).templates]
    header = desi._get_header(templates.load_templates(str(simulated)))
    for k, each in enumerate(check_templates(simulated).templates):
        assert [header[f"TEM{word}{k:02d}"] for word in ("FIL", "NAM", "VER")] == [each.file, each.type, SIMULATED]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real files at {REAL}")
def test_the_galaxies_of_2016_are_refused_and_the_real_others_are_current(tmp_path):
    message = said(REAL)
    assert "rrtemplate-GALAXY-None-v2016.fits is GALAXY of version 2016, expected rrtemplate-GALAXY-None-v2.6.fits" in (
        message
    )
    assert check_templates(REAL, any_version=True).set == "other"
    listed = (REAL / "templates-default.txt").read_text().replace("LOZ-v1.0", "LOZ-v1.1")
    (tmp_path / "templates-default.txt").write_text(listed)
    for name in listed.split():
        (tmp_path / name).symlink_to(REAL / name)
    [_, problem, advice] = said(tmp_path).splitlines()
    assert "GALAXY of version 2016" in problem and advice.startswith("Expected: ")
