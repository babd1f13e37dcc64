"""docs/data-model.md, table by table, against the files of two runs: the demo's, and one that asks for everything."""

import csv
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from running import ROOT, Run
from small_catalogue import SPECTRA, TABLE, sources, write_spectra, write_table
from small_detections import Made

TEXT = (ROOT / "docs/data-model.md").read_text(encoding="utf-8")
NAME = "chandra"  # of the CSV's group, in the demo
CONFIG = """
targets: {{csv: {csv}, ra: RA_DESI, dec: DEC_DESI, healpix: healpix}}
desi: {{release: demo, archive: {release}, spectra: {{arms: true}}}}
hetdex:
  enabled: true
  archive: {cubes}
  optimal: moffat
  maps: {{enabled: true, size_arcsec: 15, fits: true}}
  catalogue: {{enabled: true, radius_arcsec: 2}}
  detections: {{detectids: catalogue, pictures: files}}
results: {results}
"""
AWKWARD = """it's $HOME; "a" & (b) #c *[d]?|`e`!%~\\"""
"""Characters of people's paths that mean something to a shell; braces as well where Snakemake does not see them."""

IMAGES = """
legacysurvey:
  enabled: true
  release: demolegacysurvey
  archive: {bricks}
  products: [image, invvar, maskbits, psfsize]
"""
N_SOURCES = 40
DATASET_ATTRIBUTES = {"unit", "medium", "column", "null_value", "not_read"}

Line = list[str]
"""The cells of a table's line."""


def tables(what: str) -> dict[str, list[Line]]:
    """The document's tables of datasets, attributes, columns or keys, by the files that they are of."""
    found = {}
    for paths, table in re.findall(rf"<!-- {what} of (.+?) -->\n\n((?:\|.*\n)+)", TEXT):
        for path in paths.split(", "):
            assert path not in found, f"two tables of {what} of {path}"
            found[path] = cells(table)
    return found


def cells(table: str) -> list[Line]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


FILES, SOME_FILES = (
    [path for line in cells(re.search(rf"<!-- {what} -->\n\n((?:\|.*\n)+)", TEXT)[1]) for path in codes(line[0])]
    for what in ("files", "some files")
)
DATASETS, ATTRIBUTES, COLUMNS, KEYS = (tables(what) for what in ("datasets", "attributes", "columns", "keys"))


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one of those that ``a/{b}/<c>`` or ``a/…`` stands for."""
    if pattern.endswith("…"):
        return path.startswith(pattern[:-1])
    pieces = re.split(r"(\{\w+\}|<\w+>)", pattern.replace("<name>", NAME))
    return (
        re.fullmatch("".join("[^/]+" if k % 2 else re.escape(piece) for k, piece in enumerate(pieces)), path)
        is not None
    )


@pytest.fixture(scope="module")
def everything(demo: Path, run: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with every option that makes datasets or files, below paths that are hard on a shell."""
    cubes, directory = tmp_path_factory.mktemp("pdr1"), tmp_path_factory.mktemp("everything") / f"here {AWKWARD}"
    release = directory / f"mirror {AWKWARD} {{x}} <y>"
    directory.mkdir()
    release.symlink_to(demo / "resources/demo")
    csv, results = directory / f"my {AWKWARD}.csv", f"my: results {AWKWARD}"
    csv.symlink_to(release / "targets.csv")
    for name in ("ifu-index.fits", "datacubes"):
        (cubes / name).symlink_to(release / "hetdex" / name)
    detections, table = Made(cubes, 100), sources(N_SOURCES)
    with h5py.File(release / "hetdex/truth.hdf5") as truth:
        ra, dec = truth["sources/ra"][:], truth["sources/dec"][:]
    table["DEC"] = -80  # the others, far from all
    table["RA"][: len(ra)], table["DEC"][: len(ra)] = ra, dec
    table["detectid"] = detections.some(N_SOURCES)
    write_table(cubes / TABLE, table)
    write_spectra(cubes / SPECTRA, table)
    for detectid in table["detectid"][1:].tolist():  # one has no picture
        path = cubes / f"detect/elixer/{str(detectid)[:5]}/{detectid}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff\xe0 a picture \xff\xd9")
    config = CONFIG + (IMAGES if (demo / "results/demo/legacysurvey").is_dir() else "")
    paths = {"csv": csv, "release": release, "cubes": cubes, "bricks": release / "legacysurvey", "results": results}
    said = {key: json.dumps(str(path)) for key, path in paths.items()}
    (directory / "my.yaml").write_text(config.format(**said))
    done = run(directory, "--configfile", "my.yaml", "--", "all", "report", "browse", "export_fits", "export_mmu")
    assert done.status == 0, done.output
    return directory / results


@pytest.fixture(scope="module")
def results(demo: Path, everything: Path) -> list[Path]:
    return [demo / "results/demo", everything]


@pytest.fixture(scope="module")
def files(results) -> dict[str, list[Path]]:
    """The runs' files by their paths below the results."""
    found: dict[str, list[Path]] = {}
    for root in results:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                found.setdefault(str(path.relative_to(root)), []).append(path)
    return found


def there(files: dict[str, list[Path]], pattern: str) -> list[Path]:
    """The files that a documented path stands for; skips those of a survey that no run has harvested."""
    if not is_harvested(files, pattern):
        pytest.skip(f"no run here has harvested what {pattern} is of")
    found = [path for name, paths in files.items() if matches(pattern, name) for path in paths]
    assert found, f"no run has written {pattern}"
    return found


def is_harvested(files: dict[str, list[Path]], pattern: str) -> bool:
    """Whether the runs have anything of the survey that a documented path is of."""
    survey = re.split("_crossmatches/|/", pattern)[0]
    return any(name.startswith(survey) for name in files)


# --- Files -----------------------------------------------------------------------------------------------------------


def test_every_file_is_documented_and_every_documented_file_is_there(files):
    unknown = [name for name in files if not any(matches(pattern, name) for pattern in (*FILES, *SOME_FILES))]
    assert unknown == []
    expected = [pattern for pattern in FILES if is_harvested(files, pattern)]
    assert [pattern for pattern in expected if not any(matches(pattern, name) for name in files)] == []


def test_every_file_with_columns_or_datasets_has_its_tables():
    kinds = {
        ".hdf5": (DATASETS, ATTRIBUTES),
        ".json": (KEYS,),
        **dict.fromkeys((".csv", ".npy", ".parquet"), (COLUMNS,)),
    }
    for pattern in FILES:
        for having in kinds.get(Path(pattern).suffix, ()):
            assert pattern in having, pattern
    assert {*DATASETS, *ATTRIBUTES, *COLUMNS, *KEYS} <= set(FILES)


# --- Datasets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Documented:
    """A dataset as the document has it."""

    name: str
    shape: str
    dtypes: tuple[str, ...]
    unit: str

    def check_shape(self, shape: tuple[int, ...], symbols: dict[str, int]) -> bool:
        """Whether a shape is this one; a letter stands for the same number in all of a file."""
        axes = [axis.strip() for axis in self.shape.strip("()").split(",") if axis.strip()]
        if axes[-1] == "…":
            axes = axes[:-1]
            shape = shape[: len(axes)]
        return len(axes) == len(shape) and all(
            (int(axis) if axis.isdigit() else symbols.setdefault(axis, length)) == length
            for axis, length in zip(axes, shape, strict=True)
        )

    def check_dtype(self, dtype: np.dtype[Any]) -> bool:
        text = h5py.check_string_dtype(dtype)
        name = "str" if text is not None and text.length is None else dtype.str[1:] if dtype.kind == "S" else dtype.name
        return "any" in self.dtypes or name in self.dtypes or (dtype.kind == "S" and "S" in self.dtypes)


def documented(pattern: str) -> list[Documented]:
    found = []
    for names, shapes, dtypes, unit, _ in DATASETS[pattern]:
        shape = re.findall(r"\([^)]*\)", shapes)
        for k, name in enumerate(codes(names)):
            kinds = tuple(dtypes.split(", "))
            found.append(Documented(name, shape[k % len(shape)], kinds, unit.strip("`")))
    assert len({entry.name for entry in found}) == len(found), f"{pattern}: a dataset is there twice"
    return found


def of(path: str, entries: list[Documented]) -> Documented | None:
    """The line that a dataset has: its own, or that of its group."""
    own = [entry for entry in entries if entry.name.replace("<name>", NAME) == path]
    return next(iter(own or [entry for entry in entries if matches(entry.name, path)]), None)


def datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    names: list[str] = []
    file.visit(names.append)
    return ((name, file[name]) for name in names if isinstance(file[name], h5py.Dataset))


@pytest.mark.parametrize("pattern", DATASETS)
def test_datasets_have_the_shapes_types_and_units_that_are_documented(files, pattern):
    entries, seen, wrong = documented(pattern), set(), []
    for path in there(files, pattern):
        symbols: dict[str, int] = {}
        with h5py.File(path) as file:
            for name, dataset in datasets(file):
                entry = of(name, entries)
                if entry is None:
                    wrong.append(f"{path}: {name} is not documented")
                    continue
                seen.add(entry.name)
                unit = str(dataset.attrs.get("unit", ""))
                if not entry.check_shape(dataset.shape, symbols):
                    wrong.append(
                        f"{path}: {name} has shape {dataset.shape}, documented is {entry.shape} with {symbols}"
                    )
                if not entry.check_dtype(dataset.dtype):
                    wrong.append(f"{path}: {name} is {dataset.dtype}, documented is {entry.dtypes}")
                if entry.unit not in ("any", unit):
                    wrong.append(f"{path}: {name} has unit {unit!r}, documented is {entry.unit!r}")
                if more := set(dataset.attrs) - DATASET_ATTRIBUTES:
                    wrong.append(f"{path}: {name} has attributes {more}")
    assert wrong == []
    assert {entry.name for entry in entries} - seen == set(), "documented, and in no file"


@pytest.mark.parametrize("pattern", ATTRIBUTES)
def test_attributes_are_those_that_are_documented(files, pattern):
    entries = {}
    for names, on, dtypes, _ in ATTRIBUTES[pattern]:
        kinds = re.findall(r"\w+(?: \([^)]*\))?", dtypes)
        for k, name in enumerate(codes(names)):
            group = codes(on)[0].replace("<name>", NAME)
            entries[f"{group.strip('/')}@{name}"] = kinds if name.startswith("<") else [kinds[k % len(kinds)]]
    seen, wrong = set(), []
    for path in there(files, pattern):
        with h5py.File(path) as file:
            groups = ["/"]
            file.visit(groups.append)
            for group in groups:
                if isinstance(file[group], h5py.Dataset):
                    continue
                for name, value in file[group].attrs.items():
                    key = f"{group.strip('/')}@{name}"
                    entry = next((entry for entry in entries if matches(entry, key)), None)
                    shape = f" {value.shape}" if isinstance(value, np.ndarray) else ""
                    kind = "str" if isinstance(value, str) else f"{value.dtype}{shape}"
                    if entry is None or kind not in entries[entry]:
                        wrong.append(f"{path}: {key} is {kind}, documented is {entry and entries[entry]}")
                    seen.add(entry)
    assert wrong == []
    assert set(entries) - seen == set(), "documented, and in no file"


KEY = ("targetid", "survey", "program", "pix64")  # which extracted row it is


def test_what_desi_knows_of_a_fiber_is_all_there_in_lower_case(results):
    """The columns that differ by release: those of the extracted rows, with their values, types and units."""
    own = {entry.name for entry in documented("desi_crossmatches/healpix={pix16}/crossmatch_desi.hdf5")}
    extracted: dict[int, dict[str, Any]] = {}
    n = 0
    for path in sorted(results[1].glob("desi_crossmatches/*/*.hdf5")):
        with h5py.File(path) as file:
            names = set(file["desi"])
            desi = {name: file["desi"][name][:] for name in names if f"desi/{name}" not in own or name in KEY}
            units = {name: file["desi"][name].attrs.get("unit") for name in names}
            rows = file[f"{NAME}/row"][:].tolist()
        expected = set()
        for i, row in enumerate(rows):
            pix64 = int(desi["pix64"][i])
            if pix64 not in extracted:
                extracted[pix64] = read(results[1] / f"desi/extracted/{pix64 // 100}/{pix64}.hdf5")
            there = extracted[pix64]
            kinds = list(zip(there["files/survey"][0], there["files/program"][0], strict=True))
            same = there["file"][0] == kinds.index((desi["survey"][i], desi["program"][i]))
            same &= (there["row"][0] == row) & (there["targetid"][0] == desi["targetid"][i])
            (k,) = np.flatnonzero(same)
            for name, (values, unit) in there.items():
                group, _, column = name.partition("/")
                link = column.lower()
                if group not in ("fibermap", "scores") or link in ("targetid", "target_ra", "target_dec"):
                    continue
                expected.add(link)
                assert desi[link].dtype.kind == values.dtype.kind, name
                assert units[link] == unit, name
                np.testing.assert_array_equal(desi[link][i], values[k], err_msg=name)
        if rows:
            assert {name for name in names if f"desi/{name}" not in own} == expected
        n += len(rows)
    assert n == 100


def read(path: Path) -> dict[str, Any]:
    """A file's columns, with their units."""
    with h5py.File(path) as file:
        return {
            name: (dataset[:], dataset.attrs.get("unit"))
            for name, dataset in datasets(file)
            if name.partition("/")[0] not in "brz"
        }


# --- CSV, NumPy, Parquet, JSON ---------------------------------------------------------------------------------------

PARSED = {"int": int, "float": float, "str": str}


@pytest.mark.parametrize("pattern", COLUMNS)
def test_columns_are_those_that_are_documented(files, pattern):
    expected = {name: kind for names, kind, _, _ in COLUMNS[pattern] for name in codes(names)}
    open_end = [name for name in expected if name.startswith("<")]
    known = [name for name in expected if name not in open_end]
    for path in there(files, pattern):
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as stream:
                names, *lines = csv.reader(stream)
            for line in lines:
                for name, cell in zip(names, line, strict=True):
                    if name in known and cell:
                        PARSED[expected[name]](cell)
        else:
            if path.suffix == ".npy":
                dtype = np.load(path).dtype
                kinds = {name: {"i": "int", "f": "float", "S": "str"}[dtype[name].kind] for name in dtype.names}
            else:
                arrow = {"int64": "int", "double": "float"}
                kinds = {field.name: arrow.get(str(field.type), "str") for field in pq.read_schema(path)}
            names = list(kinds)
            assert {name: kinds.get(name) for name in known} == {name: expected[name] for name in known}
        assert names[: len(known)] == known, path
        assert (len(names) > len(known)) == bool(open_end), path


@pytest.mark.parametrize("pattern", KEYS)
def test_keys_are_those_that_are_documented(files, pattern):
    for path in there(files, pattern):
        assert set(json.loads(path.read_text())) == {key for keys, _ in KEYS[pattern] for key in codes(keys)}


# --- Examples --------------------------------------------------------------------------------------------------------


def stand_in() -> ModuleType:
    """What of PyTorch the example uses."""
    torch = ModuleType("torch")
    torch.utils = ModuleType("torch.utils")
    torch.utils.data = ModuleType("torch.utils.data")
    torch.utils.data.Dataset = type("Dataset", (), {})
    torch.from_numpy = torch.tensor = np.asarray
    return torch


def test_the_examples_run(demo, monkeypatch):
    monkeypatch.chdir(demo)
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setitem(sys.modules, "torch", stand_in())
    examples = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    assert len(examples) == 3
    made: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "data-model.md", "exec"), made)
    with h5py.File("results/demo/desi_crossmatches/healpix=1702/crossmatch_desi.hdf5") as file:
        good = file["desi/primary"][:] & (file["desi/zwarn"][:] == 0)
        assert made["best"]["targetid"].tolist() == file["desi/targetid"][:][good].tolist()
        quasars = file["desi/spectype"][:] == b"QSO"
        assert quasars.any()
        np.testing.assert_array_equal(made["quasars"].flux, file["desi/spectrum_flux"][:][quasars])
        assert 5000 <= made["some"].wavelength.min() < made["some"].wavelength.max() <= 5100
    assert len(made["everything"]) == 100
    dataset = made["Spectra"]("results/demo")
    assert len(dataset) == 100
    flux, ivar, z = dataset[99]
    assert flux.shape == ivar.shape == (7781,)
    assert float(z) == made["everything"]["z"][99]
    path, row = dataset.rows[0]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(dataset[0][0], file["desi/spectrum_flux"][row])
