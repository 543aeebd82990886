"""The manifests in `deploy/`, checked against the message types of the Kubernetes API, with unknown fields refused."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes import client

from pipeline.config import Config

TYPES = {
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("v1", "Secret"): "V1Secret",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
}
KUSTOMIZATION = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "images",
    "configMapGenerator",
}  # the keys that kustomize knows, of those in use
API = client.ApiClient()


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def mistakes(manifest: dict[str, Any]) -> list[str]:
    """Return the fields that the API does not know or changes; [] for a correct manifest.

    Raises:
      ValueError: a field that the API requires is missing, or a value has another type.
    """
    kind = TYPES[manifest["apiVersion"], manifest["kind"]]
    message = API.deserialize(SimpleNamespace(data=json.dumps(manifest)), kind)
    return list(differences(manifest, API.sanitize_for_serialization(message), ""))


def differences(given: Any, understood: Any, place: str):
    if isinstance(given, dict) and isinstance(understood, dict):
        for key in given:
            if key not in understood:
                yield f"{place}.{key}"
            else:
                yield from differences(given[key], understood[key], f"{place}.{key}")
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for index, (one, other) in enumerate(zip(given, understood, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif given != understood:
        yield place


@pytest.fixture(scope="module")
def deploy(root) -> Path:
    return root / "deploy"


@pytest.fixture(scope="module")
def manifests(deploy) -> dict[Path, dict[str, Any]]:
    """Return file → manifest, without kustomizations and the configuration of a recommender."""
    other = ("kustomization.yaml", "recommender.yaml")
    found = {file: documents(file) for file in sorted(deploy.rglob("*.yaml")) if file.name not in other}
    assert all(len(manifest) == 1 for manifest in found.values())
    return {file: manifest for file, (manifest,) in found.items()}


@pytest.fixture
def scheduler(manifests) -> dict[str, Any]:
    (found,) = (json.loads(json.dumps(each)) for each in manifests.values() if each["kind"] == "Deployment")
    return found


def test_every_manifest_is_one_of_the_api(manifests):
    assert {file.name: mistakes(manifest) for file, manifest in manifests.items() if mistakes(manifest)} == {}
    assert len(manifests) == 6


def test_the_check_finds_unknown_missing_and_wrong_fields(scheduler):
    pod = scheduler["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["runAsNonroot"] = True
    pod["securityContext"]["fsGroups"] = 1
    assert mistakes(scheduler) == [
        ".spec.template.spec.securityContext.fsGroups",
        ".spec.template.spec.containers[0].securityContext.runAsNonroot",
    ]
    with pytest.raises(ValueError, match="selector"):
        mistakes({**scheduler, "spec": {"template": scheduler["spec"]["template"]}})
    with pytest.raises(ValueError, match="many"):
        mistakes({**scheduler, "spec": {**scheduler["spec"], "replicas": "many"}})


def test_kustomizations_name_all_manifests_and_no_others(deploy):
    for file in deploy.rglob("kustomization.yaml"):
        (kustomization,) = documents(file)
        assert kustomization.keys() <= KUSTOMIZATION
        here = {path.name for path in file.parent.glob("*.yaml") if ".example." not in path.name} - {file.name}
        generated = {name for each in kustomization.get("configMapGenerator", []) for name in each["files"]}
        resources = {name for name in kustomization["resources"] if name.endswith(".yaml")}
        assert resources | generated == here
        for folder in set(kustomization["resources"]) - resources:
            assert (file.parent / folder / "kustomization.yaml").is_file()


def test_pods_are_restricted_and_have_resources(root, scheduler):
    pod = scheduler["spec"]["template"]["spec"]
    (user,) = re.findall(r"^USER (\d+):", (root / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["resources"]["limits"].keys() >= {"memory"}
    assert scheduler["spec"]["strategy"] == {"type": "Recreate"}


def test_what_a_pod_mounts_exists(deploy, manifests, scheduler):
    pod = scheduler["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == volumes.keys()
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests.values()}
    assert ("PersistentVolumeClaim", volumes["data"]["persistentVolumeClaim"]["claimName"]) in names
    assert ("ServiceAccount", pod["serviceAccountName"]) in names
    assert ("Secret", pod["containers"][0]["envFrom"][0]["secretRef"]["name"]) in names
    (overlay,) = documents(deploy / "example" / "kustomization.yaml")
    (generated,) = overlay["configMapGenerator"]
    assert generated["name"] == volumes["configuration"]["configMap"]["name"]
    assert pod["containers"][0]["args"][-1] == f"/etc/twostep/{generated['files'][0]}"
    assert overlay["images"][0]["name"] == pod["containers"][0]["image"]


def test_the_network_policy_denies_what_it_does_not_name(manifests, scheduler):
    (policy,) = (each for each in manifests.values() if each["kind"] == "NetworkPolicy")
    selected = policy["spec"]["podSelector"]["matchLabels"].items()
    assert selected <= scheduler["spec"]["template"]["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["ingress"] == []
    open_to_all = [rule for rule in policy["spec"]["egress"] if "to" not in rule]
    assert [port["port"] for rule in open_to_all for port in rule["ports"]] == [443]


def test_the_configuration_is_one(deploy):
    values = yaml.safe_load((deploy / "example" / "recommender.yaml").read_text(encoding="utf-8"))
    known = {key: value for key, value in values.items() if key in Config.model_fields}
    assert values.keys() - known.keys() <= {"schedule"}
    assert Config.model_validate(known).run_folder == "/data/runs"
