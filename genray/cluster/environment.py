"""What Ray reads from the environment when it is imported, and hands on to its processes. Imports no ray itself."""

import os
import secrets
import sys

_QUIET_AND_FAST = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leaves CUDA_VISIBLE_DEVICES alone where no GPU is asked for
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths that a user gives stay right
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # 3 s of a worker group's start
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # runs write their own files
    "RAY_AIR_NEW_OUTPUT": "0",  # which prints at every verbosity
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # as many wait as a sweep has lanes for
    # a snapshot that nobody reads, of all trials each time (34 kB of each): at the end alone, where Tune insists on it
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
}


def resolve(address: str | None) -> str | None:
    """The cluster to connect to: as given, or as `ray job submit` says; None for Ray on this machine."""
    return address or os.environ.get("RAY_ADDRESS") or None


def prepare(address: str | None) -> None:
    """Ray's ports take commands from anyone who reaches them, and listen on every interface. A secret, new for each
    start, keeps others out of the Ray that is started here; Ray takes it only before it is imported."""
    for name, value in _QUIET_AND_FAST.items():
        os.environ.setdefault(name, value)
    if resolve(address) is None and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def for_job() -> dict[str, str]:
    """What a job of a cluster is started with, its driver and all that it starts on other machines."""
    return dict(_QUIET_AND_FAST)
