"""The study's journal in a program that is not ours: optuna-dashboard serves it."""

import io
import json
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from genray.space import Sweep
from tests.cluster.test_conductor import TREE, play


def get(app: Any, path: str) -> Any:
    """The JSON of a GET request."""
    status: list[str] = []
    request = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    body = b"".join(app(request, lambda line, headers, error=None: status.append(line)))
    assert status == ["200 OK"]
    return json.loads(body)


def test_optuna_dashboard_opens_the_journal(tmp_path: Path) -> None:
    from optuna_dashboard import wsgi

    play(Sweep.parse(TREE), tmp_path / "out", faulty=("vae/trial_0002",))
    app = wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "out" / "study.journal"))))
    studies = {study["study_name"]: study["study_id"] for study in get(app, "/api/studies")["study_summaries"]}
    assert studies.keys() == {"vae", "gan"}
    trials = get(app, f"/api/studies/{studies['vae']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Fail", "Complete", "Complete", "Complete"]
