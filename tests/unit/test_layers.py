"""Who imports whom: what Snakemake imports at parse time is light, and every rule's import is one that was checked."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
HEAVY = {
    "numpy",
    "h5py",
    "healpy",
    "hpgeom",
    "pandas",
    "pyarrow",
    "astropy",
    "scipy",
    "matplotlib",
    "urllib3",
    "fitsio",
}


def imports_of_rules():
    """Return the lines by which the Snakefile and the rules import from the library."""
    files = [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]
    lines = [line.strip() for file in files for line in file.read_text().splitlines()]
    text = "\n".join(lines)
    return re.findall(
        r"^(?:from skyharvest[\w.]* import (?:\([^)]*\)|[^\n(]+)|import skyharvest[^\n]*)", text, re.MULTILINE
    )


def loaded_after(code):
    """Return the top-level names of the modules that a new interpreter has imported after some code."""
    code += "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_snakemake_imports_nothing_heavy_to_parse_the_rules():
    imports = imports_of_rules()
    assert any("skyharvest.config" in line for line in imports)
    loaded = loaded_after("\n".join(imports))
    assert "skyharvest" in loaded
    assert not loaded & HEAVY


def test_a_heavy_import_would_be_seen():
    assert {"numpy", "hpgeom"} <= loaded_after("import skyharvest.sky.healpix") & HEAVY


def test_every_package_is_in_a_layer():
    layers = next(contract for contract in CONTRACTS if contract["type"] == "layers")
    named = set(re.findall(r"\w+", " ".join(layers["layers"])))
    packages = {path.parent.name for path in (ROOT / "scripts" / "skyharvest").glob("*/__init__.py")}
    assert packages <= named
    alone = next(contract for contract in CONTRACTS if contract.get("forbidden_modules") == ["snakemake"])
    assert {name.rpartition(".")[2] for name in alone["source_modules"]} == packages - {"run"} | {"read"}
