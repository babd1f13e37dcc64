"""A home without credentials, and a Globus service on loopback."""

import pytest

from globus_service import serve
from small_transfer import COADDS, DEST, FILES, MISSING, SOURCE


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory and a working directory of the test's own, and no credentials."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A service with a source that has COADDS, an empty destination, a plan, and somebody who is logged in."""
    for path in FILES:
        (tmp_path / "there/public" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there/public" / path).write_text(f"content of {path}\n")
    (tmp_path / "here").mkdir()
    lines = [f"{survey},{program},{pix},{pix // 16},1" for survey, program, pix in [*COADDS, MISSING]]
    (tmp_path / "plan.csv").write_text("\n".join(["survey,program,pix64,pix16,n_targets", *lines]) + "\n")
    with serve({SOURCE: tmp_path / "there", DEST: tmp_path / "here"}) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        running.write_tokens(tmp_path / "tokens.json")
        yield running
