"""What runs where: lock files, conda environments, profiles and rules agree with one another."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
LOCKS = (
    "requirements.lock",
    "requirements-reduction.lock",
    "requirements-dev.lock",
    "requirements-hats.lock",
    "requirements-uv.lock",
)
LOCK_OF = {
    "hats": "requirements-hats.lock",
    "desi_reduction": "requirements-reduction.lock",
    "hetdex_reduction": "requirements-reduction.lock",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
PACKAGE_OF = {  # where the import has another name
    "yaml": "pyyaml",
    "globus_sdk": "globus-sdk",
    "PIL": "pillow",
    "isal": "python-isal",
}
PYPI_OF = {"python-isal": "isal"}  # where conda-forge's name is not that of the lock file


def locked(name):
    """Return the versions in a lock file, having checked that each is exact and has hashes."""
    versions = {}
    for entry in re.sub(r"\\\n", " ", (ROOT / name).read_text()).splitlines():
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"([a-z0-9-]+)==(\S+?)( ;[^#]*?)?((?: +--hash=sha256:[0-9a-f]{64})+)", entry.rstrip())
        assert found, f"{name}: not an exact version with hashes: {entry[:80]}"
        assert found[1] not in versions, f"{name}: {found[1]} is there twice"
        versions[found[1]] = found[2]
    return versions


def test_lock_files_are_exact_and_agree():
    runtime, reduction, dev, hats, uv = map(locked, LOCKS)
    assert list(uv) == ["uv"]
    assert {name: reduction.get(name) for name in runtime} == runtime
    assert {name: dev.get(name) for name in reduction} == reduction
    assert "snakemake" not in hats


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        (
            "requirements.lock",
            [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["workflow"]],
        ),
        ("requirements-reduction.lock", PROJECT["project"]["optional-dependencies"]["reduction"]),
        ("requirements-dev.lock", [name for key, group in GROUPS.items() if key != "hats" for name in group]),
        ("requirements-hats.lock", GROUPS["hats"]),
    ],
)
def test_what_the_project_asks_for_is_in_the_lock(lock, requirements):
    versions = locked(lock)
    for requirement in map(Requirement, requirements):
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not in {lock}: run `make lock`"
        assert requirement.specifier.contains(version), f"{lock} has {version}, not {requirement}: run `make lock`"
        for extra in requirement.extras:
            others = map(Requirement, metadata.requires(requirement.name) or [])
            of_extra = {canonicalize_name(one.name) for one in others if one.marker and extra in str(one.marker)}
            assert of_extra
            assert of_extra <= set(versions), f"{lock} lacks {of_extra - set(versions)}: run `make lock`"


def flat(pins):
    """Return what conda installs, and then pip."""
    return [name for pin in pins if pin != "pip" for name in (pin["pip"] if isinstance(pin, dict) else [pin])]


@pytest.mark.parametrize("env", ENVS, ids=lambda path: path.stem)
def test_conda_environments_have_the_locked_versions(env):
    described = yaml.safe_load(env.read_text())
    assert described["channels"] == ["conda-forge", "nodefaults"]
    python, *pins = flat(described["dependencies"])
    assert python == "python=3.12"
    lock = LOCK_OF.get(env.stem, "requirements.lock")
    versions = locked(lock)
    assert pins
    for pin in pins:
        name, _, version = pin.partition("==")
        locked_version = versions.get(PYPI_OF.get(name, name))
        assert version == locked_version, f"{env.name} has {pin}, {lock} {locked_version}"


def imported(program):
    """Return the top-level names that a program imports anywhere, and the library's modules when they are imported."""
    names, reached = set(), [program]
    for path in reached:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree) if path == program else tree.body:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for module in modules:
                own = SCRIPTS / Path(*module.split("."))
                files = (own.with_suffix(".py"), own / "__init__.py")
                reached += [file for file in files if file.is_file() and file not in reached]
                names.add(module.partition(".")[0])
    return names - sys.stdlib_module_names - {"skyharvest"}


def programs_and_environments():
    """Yield, for every rule: its name, the programs of its shell lines, and its conda environment."""
    for rules in sorted((ROOT / "rules").rglob("*.smk")):
        for text in re.split(r"^(?=(?:rule|checkpoint) )", rules.read_text(), flags=re.MULTILINE)[1:]:
            env = re.search(r'conda:\s*"(?:\.\./)+envs/(\w+)\.yaml"', text)
            yield text.split(":")[0], re.findall(r"\{RUN\w*\}/([\w/]+\.py)\b", text), env and env[1]


def test_rules_import_only_what_their_environment_has():
    rules = list(programs_and_environments())
    if not rules:
        pytest.skip("there are no rules")
    for rule, programs, env in rules:
        if not programs:
            continue
        assert env, f"{rule} has no conda environment"
        pins = yaml.safe_load((ROOT / "envs" / f"{env}.yaml").read_text())["dependencies"]
        there = {pin.partition("=")[0] for pin in flat(pins)}
        for program in programs:
            assert (SCRIPTS / program).is_file(), f"{rule} runs {program}, which scripts/ does not have"
            needed = {PACKAGE_OF.get(name, name) for name in imported(SCRIPTS / program)}
            assert needed <= there, f"{rule}: {program} imports {needed - there}, which envs/{env}.yaml lacks"


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_package_index():
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    address = re.compile(r"pypi\.org|python[h]osted|anaconda\.(?:org|com)|--(?:extra-)?index[-]url|--find[-]links")
    assert len(files) > 10
    for name in filter(None, files):
        path = ROOT / name
        if path.is_file():
            found = address.search(path.read_bytes().decode("latin-1"))
            assert not found, f"{name} has {found}"


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_snakemake_understands_the_profiles(profile, tmp_path):
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text('rule extract_desi:\n    output: "x"\n    shell: "touch {output}"\n')
    folder = ROOT / "profiles" / profile
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--directory", tmp_path, "--snakefile", snakefile]
    done = subprocess.run([*command, "--workflow-profile", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Using workflow specific profile {folder}" in done.stderr
    assert "extract_desi" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["slurm", "nersc"])
def test_no_account_is_hard_coded_and_the_line_for_it_is_there(name):
    text = (ROOT / "profiles" / name / "config.yaml").read_text()
    profile = yaml.safe_load(text)
    assert not {"slurm_account", "slurm_partition"} & set(profile["default-resources"])
    assert "  # slurm_account: m0000" in text
    same = ("scheduler", "scheduler-subsample", "rerun-triggers", "keep-going", "rerun-incomplete", "show-failed-logs")
    default = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    assert {key: profile[key] for key in same} == {key: default[key] for key in same}
