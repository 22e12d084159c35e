"""cluster.yaml and launch/gcp.yaml, by Ray's own providers, against stand-ins for clouds that check every request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

ROOT = Path(__file__).parents[1]
TAGS = {"ray-node-name": "node", "ray-node-status": "uninitialized", "ray-launch-config": "hash"}


def started(path: str) -> dict[str, Any]:
    """The file as `ray up` fills it in."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / path).read_text()))
    validate_config(config)
    return dict(config)


def tags(kind: str) -> dict[str, str]:
    return TAGS | {"ray-node-kind": "head" if kind == "head" else "worker", "ray-user-node-type": kind}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """moto's EC2 and IAM, with what docs/cluster.md says to make first."""
    moto, boto3 = pytest.importorskip("moto"), pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("HOME", str(tmp_path))
    with moto.mock_aws():
        from ray.autoscaler._private.aws import utils

        utils.resource_cache.cache_clear()
        for profile in ("genray-head", "genray-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        yield boto3.client("ec2", region_name="us-east-1")
        utils.resource_cache.cache_clear()


def test_aws_machines_are_as_the_file_says(aws: Any) -> None:
    """Started by Ray's provider: the head on demand, workers on spot, in the given group alone, with roles of
    their own; and Ray calls nothing but what the policy in docs/cluster.md allows."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    group = aws.create_security_group(GroupName="genray", Description="genray")["GroupId"]
    groups = aws.describe_security_groups()["SecurityGroups"]
    config = started("cluster.yaml")
    for kind in config["available_node_types"].values():
        kind["node_config"]["SecurityGroupIds"] = [group]
    config = bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))
    resources = {name: kind["resources"] for name, kind in config["available_node_types"].items()}
    assert resources["head"]["CPU"] == 0
    assert resources["gpu"]["GPU"] == 1

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    calls: set[str] = set()
    for resource in (provider.ec2, provider.ec2_fail_fast):
        resource.meta.client.meta.events.register("before-call.ec2.*", lambda model, **_: calls.add(model.name))
    for name, kind in config["available_node_types"].items():
        provider.create_node(dict(kind["node_config"]), tags(name), 1)
    machines = {m["InstanceType"]: m for r in aws.describe_instances()["Reservations"] for m in r["Instances"]}
    head, worker = machines["m7i.large"], machines["g6.xlarge"]
    assert (head.get("InstanceLifecycle"), worker["InstanceLifecycle"]) == (None, "spot")
    assert [m["IamInstanceProfile"]["Arn"].split("/")[1] for m in (head, worker)] == ["genray-head", "genray-worker"]
    for machine in (head, worker):
        assert [g["GroupId"] for g in machine["SecurityGroups"]] == [group]
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert aws.describe_security_groups()["SecurityGroups"] == groups  # Ray made none and opened nothing

    nodes = provider.non_terminated_nodes({})
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    provider.terminate_nodes(nodes)
    assert {m["State"]["Name"] for r in aws.describe_instances()["Reservations"] for m in r["Instances"]} == {
        "terminated"
    }
    allowed = [action for statement in policies()[0] for action in actions(statement)]
    assert "RunInstances" in calls
    assert not [call for call in calls if not any(fnmatch(f"ec2:{call}", action) for action in allowed)]


def policies() -> list[list[dict[str, Any]]]:
    """The statements of the policies of docs/cluster.md: the head's, and that of every machine for the bucket."""
    blocks = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL | re.MULTILINE)
    return [json.loads(block)["Statement"] for block in blocks if '"Statement"' in block]


def actions(statement: dict[str, Any]) -> list[str]:
    return statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]


def test_policies_of_the_documents_are_narrow() -> None:
    head, bucket = policies()
    for statement in [*head, *bucket]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions(statement) if "*" in action]
        changes = [
            action for action in actions(statement) if not action.split(":")[1].startswith(("Describe", "Get", "List"))
        ]
        if changes:  # on all resources only where a condition keeps it to this cluster's machines
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            assert "*" not in resources or "Condition" in statement, changes
    assert {action.split(":")[0] for statement in bucket for action in actions(statement)} == {"s3"}


def test_policies_of_the_documents_are_policies(aws: Any) -> None:
    """The stand-in refuses what is no policy."""
    import boto3
    from botocore.exceptions import ClientError

    iam = boto3.client("iam")
    for name, statements in zip(("head", "bucket"), policies(), strict=True):
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.create_policy(PolicyName=name, PolicyDocument=document)
    assert {policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]} == {"head", "bucket"}
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        iam.create_policy(PolicyName="none", PolicyDocument=document.replace("Allow", "Grant"))


class Google:
    """Answers Google's APIs as far as Ray's provider asks, and keeps what machines it was asked for."""

    def __init__(self) -> None:
        self.machines: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def request(self, uri: str, method: str = "GET", body: Any = None, **_: object) -> tuple[Any, bytes]:
        import httplib2

        path = uri.partition("googleapis.com")[2].partition("?")[0]
        self.calls.append(f"{method} {path}")
        return httplib2.Response({"status": "200"}), json.dumps(self.answer(method, path, body)).encode()

    def answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        if path.endswith("/instances") and method == "POST":
            self.machines.append(json.loads(body))
        if "/serviceAccounts/" in path:
            return {"email": "ray@my-project", "projectId": "my-project"}
        if path.endswith(":getIamPolicy"):
            return {"bindings": []}
        if "/operations/" in path or method == "POST":
            return {"name": "operation", "status": "DONE"}
        return {
            "projectId": "my-project",
            "name": "my-project",
            "lifecycleState": "ACTIVE",
            "commonInstanceMetadata": {},
        }


def mismatches(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> Iterator[str]:
    """Where a request differs from what Google's own description of its API knows."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": float}
    if schema.get("format") in ("int64", "uint64"):
        kinds["string"] = (str, int)  # JSON has no 64 bits; the API takes both
    if not isinstance(value, kinds[schema["type"]]):
        yield f"{where}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict):
        for key, item in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            yield from mismatches(item, known, schemas, f"{where}.{key}") if known else [f"{where}.{key} is not known"]
    elif isinstance(value, list):
        for item in value:
            yield from mismatches(item, schema["items"], schemas, f"{where}[]")
    elif value not in schema.get("enum", [value]):
        yield f"{where}: {value!r} is none of {schema['enum']}"


def test_google_machines_are_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by Ray's provider: what it sends is what Google's description of the API knows, down to the last key."""
    discovery, httplib2 = pytest.importorskip("googleapiclient.discovery"), pytest.importorskip("httplib2")
    from googleapiclient.discovery_cache import get_static_doc
    from ray.autoscaler._private.gcp.config import bootstrap_gcp
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    assert discovery
    google = Google()
    monkeypatch.setattr(
        httplib2.Http, "request", lambda self, uri, *args, **options: google.request(uri, *args, **options)
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    config = started("launch/gcp.yaml")
    config["provider"]["gcp_credentials"] = {"type": "credentials_token", "credentials": "none"}
    config = bootstrap_gcp(config)
    assert not [call for call in google.calls if "firewall" in call or "/networks" in call or "subnetworks" in call]

    provider = GCPNodeProvider(config["provider"], config["cluster_name"])
    for name, kind in config[
        "available_node_types"
    ].items():  # as Ray's launcher: what the file says goes before its own
        own = config["head_node"] if name == "head" else {}
        provider.create_node({**own, **kind["node_config"]}, tags(name), 1)
    head, worker = google.machines
    schemas = json.loads(get_static_doc("compute", "v1"))["schemas"]
    for machine in (head, worker):
        assert list(mismatches(machine, {"$ref": "Instance"}, schemas, "node_config")) == []
    assert [m["serviceAccounts"][0]["email"].split("@")[0] for m in (head, worker)] == ["genray-head", "genray-worker"]
    assert "scheduling" not in head
    assert worker["scheduling"]["provisioningModel"] == "SPOT"
    assert "g2-standard-4" in worker["machineType"]
