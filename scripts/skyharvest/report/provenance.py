"""The report's section on versions and the configuration."""

from collections.abc import Mapping, Sequence

from skyharvest.report.harvested import Harvested
from skyharvest.report.page import Cell, Section, Table, number, text


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
        hashes = sorted(one.columns.about.get("config_hash", ()))
        if hashes and hashes != [hash_now]:
            section.warnings.append(
                f"{one.title}: the assembled files were made with another configuration "
                f"({', '.join(hashes)}) than the one shown here ({hash_now})."
            )
    lines: list[list[Cell]] = [
        [text(one.title), text(key), text(value), number(n)]
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
