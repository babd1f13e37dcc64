# The configuration, the surveys of a run, and names and paths for every rule. No rules here.
import json
import shlex

from snakemake.exceptions import WorkflowError

from skyharvest.config.load import digest, validate
from skyharvest.archive.archive import is_url
from skyharvest.core.errors import InputError
from skyharvest.core.yaml_file import read_yaml
from skyharvest.harvest.batches import PATTERN as BATCH
from skyharvest.harvest.demo import DEMO, DEMO_CSV
from skyharvest.harvest.rules import literal, options, pixels_of_spectra
from skyharvest.reduction.desi.rules import Reduction as DesiReduction
from skyharvest.reduction.hetdex.rules import Reduction as HetdexReduction
from skyharvest.run import snakemake_state
from skyharvest.surveys import NAMES, load_harvests
from skyharvest.targets.csv_path import check_csv_exists, content_digest

FORCE = lambda files: snakemake_state.force(workflow, files)
try:
    config = validate(config or read_yaml(HOME / "config" / "demo.yaml"))
    CSV = config["targets"]["csv"]
    IN_DEMO = CSV == DEMO_CSV
    if CSV and not IN_DEMO:
        check_csv_exists(CSV)
    CSV_SHA256 = content_digest(CSV) if CSV else ""
    CONFIG_HASH = {name: digest(config, name) for name in NAMES}
    HARVESTS = load_harvests(
        config,
        find_plan=lambda survey: getattr(checkpoints, f"plan_{survey}").get().output.plan,
        force=FORCE,
        meaning=lambda survey: {"csv_sha256": CSV_SHA256, "config_hash": CONFIG_HASH[survey]},
    )
    DESI_REDUCTION = DesiReduction(config, lambda: checkpoints.desi_exposure_tables.get(), force=FORCE)
    HETDEX_REDUCTION = HetdexReduction(
        config, lambda: checkpoints.plan_hetdex_reduction.get(), force=FORCE, begun=snakemake_state.begun_here
    )
except InputError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    batch=BATCH,
    pix16=r"\d+",
    job="[a-z0-9-]+",


REDUCED = [name for name in ("desi", "hetdex") if config[f"{name}_reduction"]["enabled"]]
ENABLED = [harvest for harvest in HARVESTS.values() if harvest.enabled]
RESULTS = config["results"]
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
REPORT = f"{RESULTS}/report"

# At most so many open connections, over all jobs together; --resources archive=N on the command line wins.
for harvest in HARVESTS.values():
    if harvest.resource not in workflow.global_resources:
        workflow.register_resource(harvest.resource, harvest.connections)

# On this machine's cores jobs share the connections out; on a cluster many jobs have one each.
ON_A_CLUSTER = workflow.resource_settings.nodes is not None or not workflow.is_main_process
PARALLEL_JOBS = config["connections"] if ON_A_CLUSTER else workflow.resource_settings.cores or 1


def shown(path):
    """Return a path as short as it can be from the working directory, quoted for a shell."""
    path = Path(path)
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


# Jobs run in this process's environment, or in the one that `--software-deployment-method conda` makes.
IN_CONDA = any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method)
RUN = literal(f"{'python' if IN_CONDA else shown(sys.executable)} {shown(HOME / 'scripts')}")


def as_it_is(setting):
    """Return a param for a text of the configuration: unless a function gives it, braces in it are names to fill in."""
    return lambda wildcards: setting


def asked_for(_wildcards=None):
    """Return the files that the config asks for; a report that is there is kept up to date.

    They must all be known before there is a plan: while Snakemake waits for one checkpoint, it starts jobs that wait
    for another, without the input that this one adds.
    """
    files = [file for harvest in ENABLED for file in (*harvest.account, *harvest.products())]
    for name in REDUCED:
        files += getattr(rules, f"finish_{name}_reduction").output
    kept = rules.write_report.output if ENABLED and Path(REPORT, "index.html").exists() else []
    return [*files, *kept] if files else rules.prepare_targets.output
