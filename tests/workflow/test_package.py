"""The library as a package: built as a wheel and installed alone, with NumPy and h5py and nothing else beside it."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from running import ROOT
from skyharvest.surveys import NAMES

LIBRARY = ROOT / "scripts" / "skyharvest"
UV = ROOT / ".venv" / "uv" / "bin" / "uv"  # what `make` installs with
BESIDE = ("numpy", "h5py", "hpgeom")  # the package's dependencies

READ_ALL = """
import hashlib, json, sys
import skyharvest
from skyharvest import crossmatches, open_healpix, pixels
root, read = sys.argv[1], {}
for survey in sys.argv[2:]:
    assert [pixel.pix16 for pixel in crossmatches(root, survey)] == pixels(root, survey)
    for pix16 in pixels(root, survey):
        with open_healpix(root, pix16, survey) as pixel:
            for name in pixel.names:
                values = pixel[name]
                content = values.tobytes() if values.dtype != object else repr(values.tolist()).encode()
                read[f"{survey} {pix16} {name}"] = hashlib.sha256(content).hexdigest()
print(json.dumps([skyharvest.__file__, skyharvest.__version__, read]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package, built from the checkout, which stays as it is."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a new environment that has the wheel, and its dependencies from this environment."""
    root = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    python = root / "bin" / "python"
    install = [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    subprocess.run(install, check=True)
    (site,) = root.glob("lib/python3*/site-packages")
    for name in BESIDE:
        package = Path(find_spec(name).origin).parent
        for folder in (package, package.with_name(f"{name}.libs")):
            if folder.is_dir():
                (site / folder.name).symlink_to(folder)
    return python


def run(python, code, *arguments, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [str(python), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_library(wheel):
    there = {path.relative_to(LIBRARY.parent).as_posix() for path in LIBRARY.rglob("*") if path.is_file()}
    there = {name for name in there if "/__pycache__/" not in name}
    copies = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "config" / "schema").iterdir()}
    copies |= {
        f"config/{name}": ROOT / "config" / name
        for name in ("releases.yaml", "desi_qa_limits.yaml", "hetdex_qa_limits.yaml")
    }
    assert {Path(name).suffix for name in there} >= {".py", ".js", ".css", ".html", ".j2", ".rst"}
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if ".dist-info/" not in name}
        assert names == there | {f"skyharvest/{name}" for name in copies}
        for name, path in copies.items():
            assert files.read(f"skyharvest/{name}") == path.read_bytes()


def test_the_installed_package_reads_the_results_of_the_demo(demo, installed, tmp_path):
    results = demo / "results" / "demo"
    file, version, read = json.loads(run(installed, READ_ALL, results, *NAMES, cwd=tmp_path))
    assert Path(file).is_relative_to(installed.parents[1]), "it is the checkout's"
    ours, same_version, expected = json.loads(
        run(sys.executable, READ_ALL, results, *NAMES, cwd=tmp_path, PYTHONPATH=str(LIBRARY.parent))
    )
    assert Path(ours).is_relative_to(ROOT)
    assert version == same_version
    assert {name.split()[0] for name in read} == set(NAMES)
    assert len(read) > 100
    assert read == expected


def test_the_installed_package_finds_its_captions_and_registry(installed, tmp_path):
    code = """
from skyharvest.core.paths import CONFIG
from skyharvest.harvest.releases import REGISTRY, SCHEMA
from skyharvest.report.names import TITLES, caption
import skyharvest
inside = [path.is_file() and path.is_relative_to(skyharvest.__path__[0]) for path in (REGISTRY, SCHEMA)]
print(inside, min(len(caption(kind)) for kind in TITLES) > 20)
"""
    assert run(installed, code, cwd=tmp_path) == "[True, True] True\n"
