"""What the rules of the database ask: what is loaded, where to, and the options of the programs.

Without Snakemake, and light: it is imported whenever the workflow is parsed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    surveys
        Those that are harvested.
    force
        Makes this run do the jobs of these outputs again.

    Attributes
    ----------
    schema
        Of the harvest.
    production
        Schema of the reduction's production; None if nothing is reduced.
    """

    def __init__(
        self, config: Mapping[str, Any], surveys: Sequence[str], force: Callable[[Iterable[str]], None]
    ) -> None:
        self.settings: dict[str, Any] = config["database"]
        self.schema: str = self.settings["schema"]
        self.surveys = list(surveys)
        reduction = config["desi_reduction"]
        self.production = schema_of(Path(reduction["specprod"])) if reduction["enabled"] else None
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
        """Return the file that says what was loaded into a schema of this database."""
        where = [self._directory and Path(self._directory).absolute(), *(self.settings[name] for name in SERVER[:3])]
        digest = hashlib.blake2b("\n".join(map(str, where)).encode(), digest_size=4).hexdigest()
        return f"{self._root}/loaded/{self.settings['engine']}-{digest}/{schema}.txt"

    @property
    def said_of_catalogues(self) -> str:
        """Those of all schemas but the harvest's, as a rule's output."""
        return self.said(rf"{{schema,(?!{self.schema}\.txt)[a-z_][a-z0-9_]*}}")

    def loaded(self, _wildcards: object = None) -> list[str]:
        """Return what says so of all that is to be loaded. What has no file of SQLite any more is loaded again.

        Raises
        ------
        InputError
            If two loads have the same schema.
        """
        schemas = [*([self.schema] if self.surveys else []), *([self.production] if self.production else [])]
        schemas += map(schema_of, map(Path, self.settings["catalogues"]))
        if twice := sorted({name for name in schemas if schemas.count(name) > 1}):
            raise InputError(f"two loads have the same schema, {', '.join(twice)}: rename one (database.schema)")
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
