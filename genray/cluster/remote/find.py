"""Where the cluster's head is, as its provider says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from genray.cluster.remote.head import Head, tool
from genray.cluster.remote.settings import Cluster
from genray.errors import UserError

_EXTRAS = {"boto3": "aws", "botocore": "aws", "googleapiclient": "gcp", "google": "gcp"}


def find(cluster: Cluster) -> Head:
    """Raises UserError where the cluster is not up, and for a key that is not there."""
    tool("ssh")
    if cluster.provider["type"] == "local":  # machines of one's own, whose addresses stand in the file
        config, ip = cluster.config, cluster.provider.get("external_head_ip") or cluster.provider.get("head_ip")
        if not ip:
            raise UserError(f"{cluster.path}: provider.head_ip is missing; give the address of the head")
    else:
        config, ip = _ask(cluster)
    auth = config.get("auth") or {}
    if not auth.get("ssh_user"):
        raise UserError(f"{cluster.path}: auth.ssh_user is missing; give the user that logs in on the machines")
    key = auth.get("ssh_private_key")
    if key and not Path(key).expanduser().is_file():
        raise UserError(
            f"{cluster.path}: auth.ssh_private_key: there is no key {key} on this machine; give the path of the key "
            f"that the machines know, or make one by `ssh-keygen -t ed25519 -f {key}`"
        )
    return Head(
        user=str(auth["ssh_user"]),
        ip=str(ip),
        yaml=str(cluster.path),
        key=str(Path(key).expanduser()) if key else None,
        proxy_command=auth.get("ssh_proxy_command") or None,
        dashboard_port=_dashboard_port(config),
    )


def _ask(cluster: Cluster) -> tuple[dict[str, Any], str]:
    """The provider's answer, by Ray's own launcher, which talks a lot."""
    talk = io.StringIO()
    with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
        try:
            from ray.autoscaler import sdk

            config = sdk.bootstrap_config(cluster.config)
            return config, sdk.get_head_node_ip(config)
        except ImportError as error:
            extra = _EXTRAS.get(str(error.name).split(".")[0])
            fix = f"pip install 'genray[{extra}]'" if extra else f"install {error.name}"
            raise UserError(
                f"{cluster.path}: {cluster.provider['type']} needs a package that is not here ({error.name}); {fix}"
            ) from None
        except (Exception, SystemExit) as error:  # every provider has its own
            said = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"{cluster.path}: {cluster.provider['type']} knows no head of {cluster.name}: {said}; "
                f"is the cluster up (`ray up {cluster.path}`), and are you logged in to that account?"
            ) from None


def _dashboard_port(config: dict[str, Any]) -> int:
    commands = " ".join(config.get("head_start_ray_commands") or [])
    found = re.search(r"--dashboard-port[= ](\d+)", commands)
    return int(found[1]) if found else 8265
