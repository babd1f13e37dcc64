"""The report's section on what a check of the archives has found, if there was one."""

from pathlib import Path

from skyharvest.core.errors import MalformedFile
from skyharvest.core.words import counted
from skyharvest.harvest.check import AS_ASSUMED, NAME, VERDICTS, Finding, read_checked
from skyharvest.report.page import Cell, Section, Table, text

HEADS = ["question", "assumed", "seen", "verdict", "means", "change", "asked"]


def check_sections(results: Path) -> list[Section]:
    """Return the section, in a list; an empty one where nothing was checked."""
    path = results / NAME
    if not path.exists():
        return []
    section = Section("check", "Check before the run")
    try:
        checked = read_checked(path)
    except MalformedFile as error:
        section.warnings = [f"{error}."]
        return [section]
    verdicts = [finding.verdict for finding in checked.findings]
    section.facts = [
        ("checked", checked.made),
        ("by Skyharvest", checked.version),
        *((verdict, f"{verdicts.count(verdict):,}") for verdict in VERDICTS if verdict in verdicts),
    ]
    for survey, archive in checked.archives.items():
        of_survey = [finding for finding in checked.findings if finding.survey == survey]
        differ = [finding for finding in of_survey if finding.verdict != AS_ASSUMED]
        note = f"{counted(len(of_survey) - len(differ), 'question')} answered as assumed: see {NAME}."
        section.tables.append(Table(f"{survey}: {archive}", HEADS, [_line(finding) for finding in differ], note))
    return [section]


def _line(finding: Finding) -> list[Cell]:
    told = (finding.question, finding.assumed, finding.seen, finding.verdict, finding.means, finding.change)
    return [*map(text, told), text(finding.about)]
