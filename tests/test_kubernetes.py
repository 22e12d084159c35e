"""launch/kuberay.yaml: by Kubernetes' schemas, by KubeRay's, by Ray's autoscaler, and closed to other pods."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from genray.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = {document["kind"]: document for document in yaml.safe_load_all((ROOT / "launch/kuberay.yaml").read_text())}
JOB: dict[str, Any] = DOCUMENTS["RayJob"]["spec"]
CLUSTER: dict[str, Any] = JOB["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
PODS = [group["template"] for group in GROUPS]

TEXT, COUNT, TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
OBJECT = {"type": "object"}  # a part that Kubernetes' own schema covers, below
PARAMETERS = {"type": "object", "additionalProperties": TEXT}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object of these keys and no other, as the API server would drop one that it does not know."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


# The part of the custom resource that we use, written by the reference of its fields at
# https://docs.ray.io/en/latest/cluster/kubernetes/references.html (ray.io/v1, KubeRay 1.5 to 1.7).
GROUP = {"rayStartParams": PARAMETERS, "template": OBJECT}
WORKERS = closed(
    {"groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT, **GROUP},
    *("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
)
HEAD = closed(
    {"serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, **GROUP}, "rayStartParams", "template"
)
AUTOSCALER = closed(
    {"version": {"enum": ["v1", "v2"]}, "idleTimeoutSeconds": COUNT, "resources": OBJECT, "securityContext": OBJECT}
)
SPEC = closed(
    {
        "entrypoint": TEXT,
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "backoffLimit": COUNT,
        "activeDeadlineSeconds": COUNT,
        "shutdownAfterJobFinishes": TRUTH,
        "ttlSecondsAfterFinished": COUNT,
        "rayClusterSpec": closed(
            {
                "rayVersion": TEXT,
                "authOptions": closed({"mode": {"enum": ["disabled", "token"]}, "secretName": TEXT}),
                "enableInTreeAutoscaling": TRUTH,
                "autoscalerOptions": AUTOSCALER,
                "headGroupSpec": HEAD,
                "workerGroupSpecs": {"type": "array", "items": WORKERS},
            },
            "headGroupSpec",
        ),
    },
    "rayClusterSpec",
)


def test_job_is_one_that_kuberay_knows() -> None:
    import jsonschema

    jsonschema.Draft202012Validator(SPEC).validate(JOB)
    assert DOCUMENTS["RayJob"]["apiVersion"] == "ray.io/v1"
    assert len(DOCUMENTS["RayJob"]["metadata"]["name"]) <= 47  # KubeRay adds to it, and names end at 63
    pins = (ROOT / "constraints.txt").read_text()
    assert f"ray=={CLUSTER['rayVersion']}\n" in pins


def test_pods_volume_and_policy_are_ones_that_kubernetes_knows() -> None:
    validator = pytest.importorskip("kubernetes_validate")
    documents = [document for kind, document in DOCUMENTS.items() if kind != "RayJob"]
    for pod in PODS:
        documents.append(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", **pod["metadata"]}, "spec": pod["spec"]}
        )
    with_resources = CLUSTER["autoscalerOptions"]
    autoscaler = {"name": "autoscaler", **{key: with_resources[key] for key in ("resources", "securityContext")}}
    documents.append(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [autoscaler]}}
    )
    for document in documents:
        validator.validate(
            document, "1.30" if "1.30" in validator.latest_version() else validator.latest_version(), strict=True
        )
    broken = {**documents[-1], "spec": {"containers": [{**autoscaler, "securityContex": {}}]}}
    with pytest.raises(validator.ValidationError):
        validator.validate(broken, validator.latest_version(), strict=True)


def test_autoscaler_of_ray_reads_the_groups() -> None:
    """What Ray's autoscaler makes of it: from no GPU pod to four, and a head without a CPU for runs."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import validate_config

    resource = {"metadata": {"name": "genray", "namespace": "default"}, "spec": CLUSTER}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    validate_config(config)
    kinds = config["available_node_types"]
    head = kinds.pop(config["head_node_type"])
    [gpu] = kinds.values()
    assert head["resources"]["CPU"] == 0
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, 4)
    assert (gpu["resources"]["GPU"], gpu["resources"]["CPU"]) == (1, 4)


def test_nothing_runs_as_root_and_no_pod_of_others_gets_in() -> None:
    """Kubernetes' profile `restricted`, the token on, and a policy that names who may connect."""
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert CLUSTER["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "Ingress" not in DOCUMENTS
    for pod in PODS:
        user = pod["spec"]["securityContext"]
        assert user["runAsNonRoot"]
        assert user["runAsUser"] >= 1000
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["spec"].get("hostNetwork", False)
    containers = [container for pod in PODS for container in pod["spec"]["containers"]]
    for container in (*containers, CLUSTER["autoscalerOptions"]):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    policy = DOCUMENTS["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    labels = policy["podSelector"]["matchLabels"]
    assert all(labels.items() <= pod["metadata"]["labels"].items() for pod in PODS)
    inside, operator = policy["ingress"]
    assert inside["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert all("podSelector" in peer for peer in operator["from"])


def test_user_of_the_image_is_that_of_the_pods() -> None:
    [user] = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    for pod in PODS:
        assert user == tuple(str(pod["spec"]["securityContext"][key]) for key in ("runAsUser", "runAsGroup"))


def test_entrypoint_is_a_sweep_that_goes_on_where_the_last_head_left_it(capsys: pytest.CaptureFixture[str]) -> None:
    command, test = re.fullmatch(r"genray (.+?) \$\((test .+?)\)", JOB["entrypoint"].strip()).groups()
    arguments = shlex.split(command)
    assert main([*arguments, "--resume", "--help"]) == 0, capsys.readouterr().err
    folder = arguments[arguments.index("--out") + 1]
    assert test == f"test -e {folder}/sweep.yaml && echo --resume"
    [mount] = PODS[0]["spec"]["containers"][0]["volumeMounts"]
    assert folder.startswith(mount["mountPath"] + "/")
    assert (ROOT / arguments[1].removeprefix("/home/genray/genray/")).exists()
