"""An assembled file of another CSV: it is renewed if the CSV is all that differs."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hdf5_contents import contents
from skyharvest.formats import arrow, hdf5
from skyharvest.harvest.assembled import describe, is_made_from, made_from
from skyharvest.harvest.manifest import csv_of
from skyharvest.harvest.renewal import renew
from skyharvest.targets.csv_columns import write_csv_columns
from skyharvest.targets.table import read_targets, write_targets

FLUX = np.arange(12, dtype=np.float32).reshape(3, 4)
ROWS = [0, 0, 2]  # the second one has no spectrum


class Run:
    """A run's table of targets, one extracted file, and the assembled file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.targets, self.path = directory / "targets/targets.parquet", directory / "crossmatch_desi.hdf5"
        self.extracted = [directory / "27247.hdf5"]
        self.settings = "abc"
        self.extract(1.0)

    def extract(self, value: float) -> None:
        with hdf5.create(self.extracted[0], sealed=True) as file:
            file["flux"] = value

    def prepare(self, *cells: str) -> None:
        lines = [f"{150 + k / 100},2,{cell}" for k, cell in enumerate(cells)]
        (self.directory / "t.csv").write_text("\n".join(["RA_DESI,DEC_DESI,note", *lines]) + "\n")
        write_targets(read_targets(self.directory / "t.csv"), self.targets.parent)

    @property
    def meaning(self) -> dict[str, str]:
        return {"csv_sha256": csv_of(pq.read_schema(self.targets)), "config_hash": self.settings}

    @property
    def pix16(self) -> int:
        return int(pq.read_table(self.targets)["pix16"][0].as_py())

    def assemble(self) -> None:
        table = arrow.rows_where(self.targets, "pix16", self.pix16)
        about = {"config_hash": self.settings, "made_from": made_from(self.extracted, self.meaning)}
        with hdf5.create(self.path) as file:
            describe(file, "desi", "mine", self.pix16, targets=table, attributes=about)
            hdf5.write_column(file.create_group("desi"), "flux", FLUX, unit="Jy")
            write_csv_columns(file.create_group("mine"), table, np.array(ROWS))

    def renew(self) -> bool:
        return renew(self.path, self.pix16, self.extracted, self.meaning, self.targets)


@pytest.fixture
def run(tmp_path) -> Run:
    made = Run(tmp_path)
    made.prepare("a", "b", "c")
    made.assemble()
    return made


def test_it_has_the_cells_and_columns_of_the_new_csv_and_its_own_spectra(run):
    run.prepare("x", "y", "z", "a row more")
    renewed = run.renew()
    assert renewed
    found = contents(run.path)
    run.assemble()
    np.testing.assert_equal(found, contents(run.path))
    assert [cell.decode() for cell in found["mine/note"]] == ["x", "x", "z"]


def test_it_says_of_which_csv_it_is(run):
    before = made_from(run.extracted, run.meaning)
    run.prepare("x", "y", "z")
    assert run.renew()
    assert is_made_from(run.path, made_from(run.extracted, run.meaning))
    assert not is_made_from(run.path, before)
    with hdf5.reading(run.path) as file:
        assert file.attrs["csv_sha256"] == run.meaning["csv_sha256"]
        assert file["desi/flux"].attrs["unit"] == "Jy"


@pytest.mark.parametrize(
    "change",
    [
        lambda run: setattr(run, "settings", "def"),
        lambda run: run.extract(2.0),
        lambda run: run.path.write_bytes(run.path.read_bytes()[:900]),
    ],
    ids=["settings", "spectra", "torn"],
)
def test_it_is_left_alone_if_more_than_the_csv_is_different(run, change):
    run.prepare("x", "y", "z")
    change(run)
    before = run.path.read_bytes()
    assert not run.renew()
    assert run.path.read_bytes() == before


def test_a_file_that_is_not_there_is_not_renewed(run):
    run.path.unlink()
    assert not run.renew()
    assert not run.path.exists()
