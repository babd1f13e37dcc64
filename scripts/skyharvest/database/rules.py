"""What the rules of the database ask: what is loaded, where to, and the options of the programs.

Without Snakemake, and light: it is imported whenever the workflow is parsed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from skyharvest.core.errors import InputError
from skyharvest.core.paths import expand_user
from skyharvest.database.files import SUFFIX, catalogue_files, schema_of
from skyharvest.harvest.rules import literal, options

SERVER = ("host", "port", "dbname", "user", "reader")


class Loads:
    """The database of a run.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.
    force
        Makes this run do the jobs of these outputs again.

    Attributes
    ----------
    schema
        Of the harvest.
    """

    def __init__(self, config: Mapping[str, Any], force: Callable[[Iterable[str]], None]) -> None:
        self.settings: dict[str, Any] = config["database"]
        self.schema: str = self.settings["schema"]
        self._root, self._force = f"{config['results']}/database", force

    @property
    def _directory(self) -> str | None:
        """Of the SQLite files; None of a server."""
        return (self.settings["path"] or self._root) if self.settings["engine"] == "sqlite" else None

    @property
    def program_options(self) -> str:
        """Options of the programs that load, for a shell command."""
        if self._directory is not None:
            return literal(options(sqlite=self._directory))
        return literal(options(postgresql=True, **{name: self.settings[name] for name in SERVER}))

    def said(self, schema: str) -> str:
        """Return the file that says what was loaded into a schema of this database; with ``{schema}`` an output."""
        where = [self._directory and Path(self._directory).absolute(), *(self.settings[name] for name in SERVER[:3])]
        digest = hashlib.blake2b("\n".join(map(str, where)).encode(), digest_size=4).hexdigest()
        return f"{self._root}/loaded/{self.settings['engine']}-{digest}/{schema}.txt"

    def loaded(self, schemas: Iterable[str]) -> list[str]:
        """Return what says so of schemas; one whose file of SQLite is not there any more is loaded again."""
        said = {schema: self.said(schema) for schema in schemas}
        if self._directory is not None:
            gone = [schema for schema in said if not Path(self._directory, f"{schema}{SUFFIX}").exists()]
            self._force(said[schema] for schema in gone if Path(said[schema]).exists())
        return list(said.values())

    @property
    def releases(self) -> dict[str, Path]:
        """Schema → the directory of each release that is asked for."""
        return {schema_of(path): path for path in map(expand_user, self.settings["catalogues"])}

    def files(self, schema: str) -> list[str]:
        """Return the files that a release's schema is loaded from.

        Raises
        ------
        InputError
            If no release has this name, or its directory has no catalogue.
        """
        if schema not in self.releases:
            named = ", ".join(self.releases) or "none"
            raise InputError(f"there is no release {schema} in database.catalogues: it has {named}")
        return [str(path) for path in catalogue_files(self.releases[schema])]

    def check_names(self, production: str | None) -> None:
        """Check that what is loaded has a schema each; ``production`` is the reduction's, if there is one.

        Raises
        ------
        InputError
            If two have the same.
        """
        own = [schema_of(Path(production))] if production else []
        names = [self.schema, *own, *map(schema_of, map(Path, self.settings["catalogues"]))]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"two loads have the same schema, {', '.join(twice)}: rename one (database.schema)")
