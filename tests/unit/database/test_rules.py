"""What the rules ask of the database, and its settings."""

from pathlib import Path

import pytest

from skyharvest.config.load import validate
from skyharvest.core.errors import InputError
from skyharvest.database.rules import Loads


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
