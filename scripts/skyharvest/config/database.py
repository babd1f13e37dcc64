"""The settings of the database of a run's results (`skyharvest.database`). There is none for a password, on purpose."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from skyharvest.core.settings import Distinct, Whole, section, setting

NAME = "^[a-z_][a-z0-9_]{0,50}$"
SERVER = ("host", "port", "dbname", "user", "reader")
"""Settings that only a server has."""


@section
class Database:
    """A database of what was harvested and reduced, and of catalogues: snakemake load_database."""

    engine: Literal["sqlite", "postgresql"] = setting(
        "sqlite",
        "SQLite files, or a PostgreSQL server. A server's password is taken from ~/.pgpass, or from where else libpq "
        "looks for it.",
        outcome=False,
    )
    path: str | None = setting(
        None, "Directory of the SQLite files. null: database, in results.", path=True, outcome=False, min_length=1
    )
    host: str | None = setting(
        None, "The server, or the directory of its socket. null: as libpq has it, PGHOST or a socket.", outcome=False
    )
    port: Whole | None = setting(None, "Port of the server. null: 5432, or PGPORT.", ge=1, le=65535, outcome=False)
    dbname: str | None = setting(None, "Database on the server. null: PGDATABASE, or the user's name.", outcome=False)
    user: str | None = setting(None, "Role that loads. null: PGUSER, or the name at this machine.", outcome=False)
    reader: str | None = setting(None, "Role of the server that is granted to read, and no more.", outcome=False)
    schema: str = setting(
        "harvest",
        "Schema that the harvest is loaded into: small letters, digits and _. A production has one of its own name.",
        pattern=NAME,
        outcome=False,
    )
    catalogues: Annotated[list[str], Distinct()] = setting(
        [],
        "Directories of public releases, such as spectro/redux/iron, that are loaded as well, each into a schema of "
        "its name: tiles, exposures, zcatalog/zall-pix, and what there is of targetphot, tractorphot, "
        "zall-tilecumulative and fiberassign files.",
        outcome=False,
    )


def problems(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong between the settings, by their keys."""
    if given.get("engine") == "sqlite":
        for key in SERVER:
            if given.get(key) is not None:
                yield key, f"found {given[key]!r}; that is of a server: engine: postgresql"
    elif given.get("engine") == "postgresql" and given.get("path") is not None:
        yield "path", f"found {given['path']!r}; that is of SQLite: engine: sqlite"
    for key in ("host", "dbname"):
        # libpq takes a whole connection string, with a password, in place of a name.
        if isinstance(value := given.get(key), str) and ("://" in value or "=" in value):
            yield key, "found a connection string; expected a name: passwords belong into ~/.pgpass"
