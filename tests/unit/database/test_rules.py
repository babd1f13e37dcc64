"""What the rules ask of the database, names in SQL, and its settings."""

from pathlib import Path

import numpy as np
import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.database.harvest import median_signal_to_noise, sql_name
from skyharvest.database.rules import Loads
from skyharvest.products.spectra import Spectra


def loads(forced: list[str], results: Path, specprod: str | None = None, **database: object) -> Loads:
    needed = dict.fromkeys(("raw", "calibration", "star_templates", "redshift_templates"), "x")
    reduction = {"enabled": specprod is not None, "specprod": specprod, **needed}
    given = {"targets": {"csv": "t.csv"}, "results": str(results), "database": database, "desi_reduction": reduction}
    return Loads(validate(given), ["desi"], force=forced.extend)


def test_each_database_has_its_own_account_and_what_is_gone_is_loaded_again(tmp_path):
    forced: list[str] = []
    sqlite = loads(forced, tmp_path)
    (said,) = sqlite.loaded()
    server = loads(forced, tmp_path, engine="postgresql", host="db", dbname="sky", user="me")
    assert len({said, *server.loaded(), *loads(forced, tmp_path, path="x").loaded()}) == 3
    assert forced == []
    Path(said).parent.mkdir(parents=True)
    Path(said).touch()
    assert sqlite.loaded() == [said]
    assert forced == [said]
    (tmp_path / "database/harvest.db").touch()
    sqlite.loaded()
    assert forced == [said]
    assert sqlite.program_options == f"--sqlite {tmp_path}/database"
    assert server.program_options == "--postgresql --host db --dbname sky --user me"


def test_names_of_schemas_are_told_apart(tmp_path):
    asked = loads([], tmp_path, catalogues=["/data/dr1/spectro/redux/iron", "/data/edr/spectro/redux/Fuji-2"])
    assert list(asked.releases) == ["iron", "fuji_2"]
    assert [Path(said).stem for said in asked.loaded()] == ["harvest", "iron", "fuji_2"]
    with pytest.raises(InputError, match="two loads have the same schema, iron"):
        loads([], tmp_path, specprod="iron", catalogues=asked.settings["catalogues"]).loaded()
    with pytest.raises(InputError, match=r"no release x in database\.catalogues: it has iron, fuji_2"):
        asked.files("x")


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({"host": "db"}, "database.host: found 'db'; that is of a server"),
        ({"engine": "postgresql", "path": "x"}, "database.path: found 'x'; that is of SQLite"),
        (
            {"engine": "postgresql", "dbname": "postgresql://me:secret@db/sky"},
            "database.dbname: found a conn",
        ),
        ({"engine": "postgresql", "dbname": "dbname=sky password=secret"}, "database.dbname: found a conn"),
        ({"schema": "My harvest"}, "database.schema: found 'My harvest'"),
        ({"password": "secret"}, "database.password: unknown key"),
    ],
)
def test_settings_that_do_not_go_together_are_told_without_secrets(tmp_path, database, said):
    with pytest.raises(InputError, match=said) as told:
        loads([], tmp_path, **database)
    assert "secret" not in str(told.value)


def test_names_of_the_csv_become_names_that_need_no_quotes():
    names = {"RA_DESI": "ra_desi", "flux (mJy)": "flux_mjy_", "2MASS": "_2mass", "Ζῆτα": "_", "a" * 80: "a" * 55}
    assert {name: sql_name(name) for name in names} == names


def test_signal_to_noise_is_the_median_of_good_pixels():
    flux = np.array([[1, 2, 3, 100], [5, np.nan, 5, 5], [1, 1, 1, 1]], np.float32)
    ivar = np.array([[4, 4, 4, 0], [1, 1, 0, 9], [0, 0, 0, 0]], np.float32)
    spectra = Spectra(np.arange(4.0), flux, ivar, ivar, ivar == 0, "")
    assert median_signal_to_noise(spectra).tolist()[:2] == [4, 10]
    assert np.isnan(median_signal_to_noise(spectra)[2])
