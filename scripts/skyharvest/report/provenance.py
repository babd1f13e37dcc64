"""The report's section on versions and the configuration."""

from collections.abc import Mapping, Sequence

from skyharvest.report.names import SURVEYS as NAMES
from skyharvest.report.page import Cell, Section, Table, number, text
from skyharvest.report.survey import Harvested


def provenance(harvests: Sequence[Harvested], versions: Mapping[str, str], config: str, hash_now: str) -> Section:
    """Return the section on versions and configuration.

    Parameters
    ----------
    versions
        Name → version of what made this report.
    config
        The configuration, as YAML.
    hash_now
        Its digest.
    """
    section = Section("provenance", "Versions and configuration")
    for one in harvests:
        made: Mapping[str, int] = one.columns.about.get("config_hash", {})
        if made and set(made) != {hash_now}:
            section.warnings.append(
                f"{NAMES[one.name]}: the assembled files were made with another configuration "
                f"({', '.join(sorted(made))}) than the one shown here ({hash_now})."
            )
    lines: list[list[Cell]] = [
        [text(NAMES[one.name]), text(key), text(value), number(n)]
        for one in harvests
        for key, values in one.columns.about.items()
        for value, n in sorted(values.items())
    ]
    section.tables = [
        Table("This report was made with", ["what", "version"], [[text(k), text(v)] for k, v in versions.items()]),
        Table("The assembled files say", ["survey", "attribute", "value", "files"], lines),
    ]
    section.texts = [(f"Configuration (digest {hash_now})", config)]
    return section
