"""A sweep's folder whose files were damaged, or that another process works in."""

import io
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from optuna.storages.journal import JournalFileBackend

from genray.claim import Claim, Turn
from genray.cluster import folder
from genray.cluster.conductor import Conductor
from genray.config import Experiment
from genray.errors import UserError
from genray.journal import opened
from genray.report.search import read_searches
from genray.runs import create_run, open_run
from genray.space import Sweep
from genray.storage import Disk
from tests.cluster.test_conductor import TREE, play, trials
from tests.test_fuzz import assert_takes_or_refuses, edited

SPACE = Sweep.parse({"models": ["vae"], "search": {"model.hidden": {"choice": [16, 32]}}, "trials": 2})


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("study") / "study.journal"
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="vae", storage=storage)
    study.optimize(lambda trial: float(trial.suggest_categorical("model.hidden", (16, 32))), n_trials=2)
    return path.read_bytes()


def studies(out: Path) -> list[str]:
    with folder.opened(out, SPACE) as storage:
        return optuna.get_all_study_names(storage)


def test_a_journal_that_is_whole_opens_and_a_half_line_at_its_end_is_dropped(tmp_path: Path, journal: bytes) -> None:
    (tmp_path / "study.journal").write_bytes(journal + b'{"op_code":5,"worker')
    assert studies(tmp_path) == ["vae"]
    assert (tmp_path / "study.journal").read_bytes() == journal


def test_a_journal_with_a_damaged_line_is_named_and_left_as_it_is(tmp_path: Path, journal: bytes) -> None:
    lines = journal.split(b"\n")
    lines[2] = lines[2][:20]
    (tmp_path / "study.journal").write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=r"study.journal is damaged \(line 3 of \d+ is not JSON\); put a whole copy"):
        studies(tmp_path)
    assert (tmp_path / "study.journal").read_bytes() == b"\n".join(lines)


def test_any_journal_opens_or_is_refused_in_a_line(tmp_path: Path, journal: bytes) -> None:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
    @given(edited([journal]))
    def try_one(content: bytes) -> None:
        (tmp_path / "study.journal").write_bytes(content)
        assert_takes_or_refuses(lambda: studies(tmp_path))

    try_one()


SMALL = Sweep.parse(
    TREE
    | {"experiment": {"dataset": "digits", "epochs": 2, "evaluate_every": 1}, "models": ["vae"], "trials": 2}
    | {"optuna": {"sampler": "random"}, "finalists": {"seeds": 1}}
)


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    play(SMALL, tmp_path / "out")
    return tmp_path / "out"


def refused(out: Path) -> str:
    """What a resume says, which leaves all as it was, and says the same the next time."""
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    said = set()
    for _ in range(2):
        with pytest.raises(UserError, match=r"study\.journal") as error:
            play(SMALL, out, resume=True)
        said.add(str(error.value))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    [line] = said
    assert "\n" not in line
    return line


def test_a_damaged_last_line_that_has_its_end_is_refused_and_can_be_removed(swept: Path) -> None:
    whole = trials(swept)
    lines = (swept / "study.journal").read_bytes().splitlines(keepends=True)
    (swept / "study.journal").write_bytes(b"".join([*lines[:-1], b"z" + lines[-1][1:]]))
    assert f"line {len(lines)} of {len(lines)} is not JSON); remove that line, or put a whole copy" in refused(swept)
    (swept / "study.journal").write_bytes(b"".join(lines[:-1]))
    play(SMALL, swept, resume=True)
    assert [(trial.params, trial.values) for trial in trials(swept)] == [(t.params, t.values) for t in whole]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "line 1 of 1 is not JSON); put"),
        (b"hello\n", "line 1 of 1 is not JSON); put"),
        (b"[1]\n", "line 1 of 1 is no entry"),
    ],
)
def test_what_is_no_journal_is_refused(swept: Path, content: bytes, words: str) -> None:
    (swept / "study.journal").write_bytes(content)
    assert words in refused(swept)


def test_a_value_that_reads_otherwise_than_it_was_written_is_refused(swept: Path) -> None:
    lines = (swept / "study.journal").read_bytes().splitlines(keepends=True)
    [first, *_] = [k for k, line in enumerate(lines) if b'"values":[' in line]
    digit = lines[first].index(b'"values":[') + len(b'"values":[')
    lines[first] = lines[first][:digit] + bytes([lines[first][digit] ^ 1]) + lines[first][digit + 1 :]
    (swept / "study.journal").write_bytes(b"".join(lines))
    said = refused(swept)
    assert f"line {first + 1} of {len(lines)} is not what this sweep wrote there: it was changed, lines before" in said
    assert "another sweep's); put a whole copy in its place, or begin a sweep in another folder" in said


def test_no_flipped_bit_changes_what_is_read(swept: Path) -> None:
    content, whole = (swept / "study.journal").read_bytes(), trials(swept)
    for place in range(0, len(content), 11):
        flipped = content[:place] + bytes([content[place] ^ 1 << place % 7]) + content[place + 1 :]
        (swept / "study.journal").write_bytes(flipped)
        try:
            opened(swept / "study.journal", ["vae"])
        except UserError:
            continue
        assert trials(swept) == whole, (place, flipped[place - 20 : place + 20])


def lines_of(out: Path) -> list[bytes]:
    return (out / "study.journal").read_bytes().splitlines(keepends=True)


def test_lines_that_are_missing_swapped_or_there_twice_are_named(swept: Path) -> None:
    lines = lines_of(swept)
    for k in range(len(lines) - 1):
        for changed, first in (
            ([*lines[:k], *lines[k + 1 :]], k),
            ([*lines[:k], lines[k + 1], lines[k], *lines[k + 2 :]], k),
            ([*lines[: k + 1], *lines[k:]], k + 1),
        ):
            (swept / "study.journal").write_bytes(b"".join(changed))
            with pytest.raises(UserError, match=rf"line {first + 1} of {len(changed)} is not what this sweep wrote"):
                opened(swept / "study.journal", ["vae"])
    (swept / "study.journal").write_bytes(b"".join(lines))
    assert trials(swept)


def test_a_line_of_another_program_is_passed_over(swept: Path) -> None:
    *lines, last = lines_of(swept)
    note = json.loads(last) | {"op_code": 2, "study_id": 0, "user_attr": {"seen": True}}
    note = {key: note[key] for key in ("op_code", "worker_id", "study_id", "user_attr")}
    (swept / "study.journal").write_bytes(b"".join([*lines, json.dumps(note).encode() + b"\n", last]))
    play(Sweep.parse(SMALL.plain() | {"trials": 3}), swept, resume=True)
    assert [trial.state.name for trial in trials(swept)] == ["COMPLETE"] * 3


@pytest.mark.parametrize("model", ["gan", "vae"])  # a sweep of another model, and the same sweep in another folder
def test_the_journal_of_another_sweep_is_refused(model: str, swept: Path, tmp_path: Path) -> None:
    play(Sweep.parse(SMALL.plain() | {"models": [model]}), tmp_path / "other")
    lines = lines_of(tmp_path / "other")
    (swept / "study.journal").write_bytes(b"".join(lines))
    words = f"line 1 of {len(lines)} is not what this sweep wrote there: .* or it is another sweep's"
    with pytest.raises(UserError, match=words):
        read_searches(swept, SMALL.plain())
    assert "another sweep's); put a whole copy in its place" in refused(swept)


def test_a_sweep_whose_lines_have_each_a_checksum_of_its_own_goes_on(swept: Path) -> None:
    """As they were before a sweep had an id."""
    lines = []
    for line in lines_of(swept):
        log = {key: value for key, value in json.loads(line).items() if key != "crc32"}
        checksum = zlib.crc32(json.dumps(log, separators=(",", ":")).encode())
        lines.append(json.dumps(log | {"crc32": checksum}, separators=(",", ":")).encode() + b"\n")
    (swept / "study.journal").write_bytes(b"".join(lines))
    settings = {key: value for key, value in yaml.safe_load((swept / "sweep.yaml").read_text()).items() if key != "id"}
    (swept / "sweep.yaml").write_text(yaml.safe_dump(settings))
    more = Sweep.parse(SMALL.plain() | {"trials": 3})
    play(more, swept, resume=True)
    assert [trial.state.name for trial in trials(swept)] == ["COMPLETE"] * 3
    assert lines_of(swept)[: len(lines)] == lines
    gone = [*lines, *lines_of(swept)[len(lines) + 1 :]]
    (swept / "study.journal").write_bytes(b"".join(gone))
    with pytest.raises(UserError, match=f"line {len(lines) + 1} of {len(gone)} is not what this sweep wrote there"):
        play(more, swept, resume=True)


def test_lines_that_are_missing_at_the_end_are_told_where_a_trial_has_a_folder(swept: Path) -> None:
    def told() -> str:
        with folder.opened(swept, SMALL) as storage:
            return folder.lost_end(swept, SMALL, storage)

    assert told() == ""
    whole, lines = trials(swept), lines_of(swept)
    [first, second] = [k for k, line in enumerate(lines) if json.loads(line)["op_code"] == 4]  # a trial is made
    (swept / "study.journal").write_bytes(b"".join(lines[:second]))
    assert told().startswith("study.journal does not know vae/trial_0001: lines at its end are missing; these trials")
    (swept / "study.journal").write_bytes(b"".join(lines[:first]))
    assert "vae/trial_0000, vae/trial_0001: lines" in told()
    (swept / "study.journal").unlink()
    assert "vae/trial_0000, vae/trial_0001: lines" in told()
    play(SMALL, swept, resume=True)
    assert told() == ""
    assert [(trial.params, trial.values) for trial in trials(swept)] == [(t.params, t.values) for t in whole]


def test_a_trial_that_the_journal_lost_and_that_comes_out_otherwise_keeps_its_folder(swept: Path) -> None:
    """As with a sampler that has learnt from others since; here the folder holds another experiment."""
    drawn = open_run(swept / "vae/trial_0001").experiment
    other = Experiment.parse(drawn.plain() | {"batch_size": 2 * drawn.batch_size})
    (swept / "vae/trial_0001/experiment.yaml").write_text(other.to_yaml())
    lines = lines_of(swept)
    [_, second] = [k for k, line in enumerate(lines) if json.loads(line)["op_code"] == 4]  # a trial is made
    (swept / "study.journal").write_bytes(b"".join(lines[:second]))
    play(SMALL, swept, resume=True)
    assert open_run(swept / "vae/trial_0001").experiment == drawn
    assert open_run(swept / "vae/replaced/trial_0001_0").experiment == other


def test_a_folder_with_the_mark_of_its_worker_alone_is_no_other_run(swept: Path) -> None:
    """As a driver that was killed before the first checkpoint of a run on another machine leaves it."""
    drawn = open_run(swept / "vae/trial_0001").experiment
    shutil.rmtree(swept / "vae/trial_0001")
    Claim(Disk(swept), "vae/trial_0001", Turn("driver", 1))
    lines = lines_of(swept)
    [_, second] = [k for k, line in enumerate(lines) if json.loads(line)["op_code"] == 4]  # a trial is made
    (swept / "study.journal").write_bytes(b"".join(lines[: second + 1]))
    with folder.opened(swept, SMALL) as storage:
        jobs = Conductor(SMALL, storage, swept, lanes=1).next()
    assert [(job.name, job.experiment) for job in jobs] == [("trial_0001", drawn)]
    assert not (swept / "vae/replaced").exists()
    assert (swept / "vae/trial_0001/.owner").exists()
    run = create_run(swept / "vae/trial_0001", drawn, resume=True)  # where the driver's machine is the only one now
    assert not run.experiment.differences(drawn)


def test_what_is_set_aside_takes_a_name_that_is_free(tmp_path: Path) -> None:
    for name in ("finalist_0_0", "finalist_1_1", "finalist_2_0"):
        (tmp_path / "replaced" / name).mkdir(parents=True)
    assert [folder.free_name(tmp_path, f"finalist_{k}") for k in range(3)] == [
        "replaced/finalist_0_1",
        "replaced/finalist_1_0",
        "replaced/finalist_2_1",
    ]


def test_a_second_sweep_in_a_folder_ends_before_ray_is_there(swept: Path) -> None:
    """Two processes: one that holds the folder as a sweep does, and the command."""
    holds = "import sys\nfrom pathlib import Path\nfrom genray import files\n"
    holds += "with files.locked(Path(sys.argv[1]), 'sweep'):\n    print('held', flush=True)\n    sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", holds, str(swept)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert isinstance(first.stdout, io.TextIOBase)
    assert first.stdout.readline() == "held\n"
    command = "import sys\nfrom genray.cli import main\ncode = main()\nprint('ray' in sys.modules)\nsys.exit(code)"
    second = subprocess.run(
        [sys.executable, "-c", command, "sweep", str(swept / "sweep.yaml"), "--out", str(swept), "--resume"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert first.poll() is None
    first.communicate(timeout=20)
    assert (second.returncode, second.stdout) == (2, "False\n")
    assert second.stderr.splitlines() == [
        f"genray: {swept} is in use by another sweep that is running; wait for it, or give another --out"
    ]
    assert first.returncode == 0
