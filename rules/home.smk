# Where this workflow is, also when another one imports it as a module: its programs, its library, its configurations.
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

source = workflow.current_basedir
if source.is_local:
    HOME = Path(source).parent
else:
    # Of what github(...) names, Snakemake has a clone without files; jobs run programs: unpacked once for each commit.
    git = ["git", "-C", str(source.hosted_repo.repo_clone)]
    commit = subprocess.check_output([*git, "rev-parse", f"{source.ref}^{{commit}}"], text=True).strip()
    HOME = Path(".snakemake", "skyharvest", commit).absolute()
    if not HOME.exists():
        HOME.parent.mkdir(parents=True, exist_ok=True)
        unpacked = tempfile.mkdtemp(dir=HOME.parent)
        try:
            packed = subprocess.check_output([*git, "archive", commit])
            subprocess.run(["tar", "-x", "-C", unpacked], input=packed, check=True)
            Path(unpacked).chmod(0o755)
            Path(unpacked).rename(HOME)
        except OSError:
            if not HOME.exists():  # else another Snakemake was quicker
                raise
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)

sys.path.insert(0, str(HOME / "scripts"))

# Without a configuration this is the demo; as a module, see also rules/common.smk.
if not workflow.overwrite_configfiles:

    configfile: HOME / "config" / "demo.yaml"
