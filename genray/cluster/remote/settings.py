"""The cluster's YAML, as `ray up` reads it, and genray's own settings in it, under `metadata.genray`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, NonNegativeFloat, PositiveFloat

from genray import files
from genray.errors import UserError
from genray.strict import Strict

SWEEPS = "~/genray-runs"  # on the head's disk
SHARED = "shared"
_URL = re.compile(r"(s3|gs)://[^/?\s]+(/[^?\s]*)?(\?\S+)?$")


def check_storage(value: object) -> object:
    """Raises ValueError for what is no storage."""
    if value is None or (isinstance(value, str) and (value == SHARED or value.startswith("/") or _URL.match(value))):
        return value
    raise ValueError(
        f"storage must be s3://bucket/folder, gs://bucket/folder, the absolute path of a folder that all machines see, "
        f"or {SHARED}, got {value!r}; mend it, or leave it out to keep results on the head's disk"
    )


class Settings(Strict):
    storage: Annotated[str | None, BeforeValidator(check_storage)] = None  # None: the head's disk
    max_gpu_hours: PositiveFloat | None = None  # of one sweep; more is refused
    gpu_hour_price: NonNegativeFloat | None = (
        None  # of one GPU and what comes with it, in the currency that you think in
    )
    cpu_hour_price: NonNegativeFloat | None = None


@dataclass(frozen=True)
class Cluster:
    path: Path
    config: dict[str, Any]
    settings: Settings

    @property
    def name(self) -> str:
        return str(self.config["cluster_name"])

    @property
    def provider(self) -> dict[str, Any]:
        provider: dict[str, Any] = self.config["provider"]
        return provider


def read(path: Path) -> Cluster:
    """Raises UserError for what `ray up` could not have started either, and for settings that are none."""
    config = files.read_yaml(path)
    if "cluster_name" not in config or not isinstance(config.get("provider"), dict) or "type" not in config["provider"]:
        what = "it is a search space, which comes second" if "models" in config else "it lacks cluster_name or provider"
        raise UserError(f"{path} is not the YAML of a Ray cluster: {what}; give the file that `ray up` was given")
    if config.get("docker"):
        raise UserError(f"{path}: docker: genray reaches Ray on the machines themselves; leave `docker` out")
    metadata = config.get("metadata") or {}
    given = metadata.get("genray") if isinstance(metadata, dict) else metadata
    if not isinstance(given or {}, dict):
        raise UserError(
            f"{path}: metadata.genray must hold keys such as storage and max_gpu_hours, got {given!r}; "
            f"write it as lines of `key: value`"
        )
    return Cluster(path, config, Settings.parse(given or {}, f"{path}: metadata.genray"))


@dataclass(frozen=True)
class Place:
    """Where a sweep lies: its folder on the head, and what `genray sweep --storage` is told."""

    folder: str
    storage: str | None

    @property
    def outlives_head(self) -> bool:
        return self.storage is not None


def place(name: str, storage: str | None) -> Place:
    if storage is None or storage == SHARED:
        return Place(f"{SWEEPS}/{name}", storage)
    if storage.startswith("/"):
        return Place(f"{storage.rstrip('/')}/{name}", SHARED)
    return Place(f"{SWEEPS}/{name}", storage)  # below which `genray sweep` keeps it by its folder's name


def place_of(cluster: Cluster, name: str, storage: str | None) -> Place:
    """`storage` as on the command line, which goes before the file's."""
    try:
        check_storage(storage)
    except ValueError as error:
        raise UserError(f"--{error}") from None
    return place(name, storage or cluster.settings.storage)
