"""Every rule is written in the same way, as the files of rules say; snakefmt and `snakemake --lint` check the rest."""

import re
from pathlib import Path

import pytest

from skyharvest.surveys import NAMES

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "rules").rglob("*.smk"))
ORDER = ("name", "input", "output", "log", "benchmark", "localrule", "conda", "threads", "resources", "params", "shell")
OF_COMMANDS = {"output", "log", "benchmark", "conda", "shell"}
RULE = re.compile(r"^( *)(?:(?:rule|checkpoint)(?: \w+)?|use rule (?P<used>\w+) as (?P<other>\w+) with):$", re.M)


def rules() -> list[tuple[str, dict[str, str], bool]]:
    """Return each rule's place, its text by key, and whether it takes other keys from another rule."""
    found = []
    for path in FILES:
        text = path.read_text()
        for match in RULE.finditer(text):
            indent = len(match[1]) + 4
            body = re.match(rf"(?:(?: {{{indent},}}.*)?\n)*", text[match.end() + 1 :])[0]
            parts = re.split(rf"^ {{{indent}}}(\w+):", body, flags=re.M)[1:]
            place = f"{path.relative_to(ROOT)}: {match[0].strip(' :')} {text[: match.start()].count(chr(10)) + 1}"
            found.append((place, dict(zip(parts[::2], parts[1::2], strict=True)), match["used"] is not None))
    return found


RULES = rules()


def test_all_rules_are_seen():
    assert len(RULES) == sum(
        len(re.findall(r"^ *(?:rule|checkpoint|use rule)\b.*:$", path.read_text(), re.M)) for path in FILES
    )
    assert sum("shell" in keys for _, keys, _ in RULES) > 20


@pytest.mark.parametrize(("place", "keys", "used"), RULES, ids=[place for place, _, _ in RULES])
def test_a_rule_has_its_keys_in_order(place, keys, used):
    assert list(keys) == [key for key in ORDER if key in keys]
    if not used and "shell" not in keys:
        assert keys.keys() <= {"name", "input", "localrule"}
        return
    if not used and "output" not in keys:  # done whenever it is asked for, and no part of a run
        assert keys.keys() >= OF_COMMANDS - {"output", "benchmark"}
        return
    if not used:
        assert keys.keys() >= OF_COMMANDS
        assert ("resources" in keys) != ("localrule" in keys)
    for key in ("mem_mb", "runtime") if "resources" in keys else ():
        assert re.search(rf"\b{key}=lambda wildcards\b.*\battempt\b", keys["resources"]), (
            f"{place}: {key} does not grow"
        )
    for key in ("input", "output", "params"):
        without_comments = re.sub(r"^ *#.*$", "", keys.get(key, ""), flags=re.M)
        first = re.match(r"\s*(\w+=|\*\*|unpack\(|$)", without_comments)
        assert first, f"{place}: {key} without a name"
    log, benchmark = (re.search(r'f"\{\w+\}/(.*)\.\w+"', keys[key])[1] for key in ("log", "benchmark"))
    assert log == benchmark


def test_each_survey_has_a_file_of_rules_and_the_snakefile_is_a_table_of_contents():
    assert {path.stem for path in (ROOT / "rules" / "harvest").glob("*.smk")} >= set(NAMES)
    assert not [name for name in NAMES if name in (ROOT / "Snakefile").read_text()]
    assert (ROOT / "rules" / "common.smk").read_text().count("\n") <= 95
