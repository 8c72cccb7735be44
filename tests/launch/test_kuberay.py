"""cluster/kuberay is what KubeRay, Kubernetes and the jobs accept; where it is not, these checks notice."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kuberay_schema import read_validator
from tools import absent

from nn_train.config.cli import parse_arguments
from nn_train.prediction.arguments import read_arguments

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "cluster" / "kuberay").glob("*.yaml"))
DEFINITIONS = Path(os.environ.get("KUBERAY_CRDS", ROOT.parent / "shared" / "kuberay"))
RESULTS = "/home/ray/results"
STAGES = {"jobs.train": (), "jobs.tune": ("search",), "jobs.pipeline": ("search", "pipeline")}
LONGEST_NAME = 47  # of a RayJob, whose cluster adds to it


def read_objects():
    """Every object of every file by kind and name, lists opened, none sharing a part with another."""
    documents = [document for file in FILES for document in yaml.safe_load_all(file.read_text())]
    items = [item for document in documents for item in document.get("items", [document])]
    return {f"{item['kind']}/{item['metadata']['name']}": json.loads(json.dumps(item)) for item in items}


OBJECTS = read_objects()
JOBS = [name for name in OBJECTS if name.startswith("RayJob/")]
WITH_CLUSTER = [name for name in OBJECTS if name.startswith("Ray")]
each_job = pytest.mark.parametrize("name", JOBS)
each_with_cluster = pytest.mark.parametrize("name", WITH_CLUSTER)


def cluster_of(name):
    spec = OBJECTS[name]["spec"]
    return spec.get("rayClusterSpec", spec)


def ray_pods(name):
    """The pod templates of the nodes of Ray."""
    cluster = cluster_of(name)
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def all_pods(name):
    spec = OBJECTS[name]["spec"]
    return ray_pods(name) + [spec[key] for key in ("submitterPodTemplate",) if key in spec]


@pytest.fixture(scope="module")
def ray_errors():
    """``ray_errors(object)``: what KubeRay's definitions find wrong."""
    files = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}
    if not all((DEFINITIONS / file).exists() for file in files.values()):
        absent(
            f"KubeRay's definitions are not in {DEFINITIONS}: set KUBERAY_CRDS to a folder that holds "
            f"{' and '.join(files.values())} of KubeRay 1.7 (helm-chart/kuberay-operator/crds in its repository)"
        )
    validators = {kind: read_validator(DEFINITIONS / file) for kind, file in files.items()}
    return lambda item: [f"{e.json_path}: {e.message}" for e in validators[item["kind"]].iter_errors(item)]


def core_errors(item):
    """What the definitions of Kubernetes find wrong, unknown fields included."""
    try:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [error.message]
    return []


def as_core(template):
    """A pod template as an object of its own, which Kubernetes has a definition for."""
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}


@each_with_cluster
def test_kuberay_knows_every_field(name, ray_errors):
    assert ray_errors(OBJECTS[name]) == []


@pytest.mark.parametrize("name", [name for name in OBJECTS if name not in WITH_CLUSTER])
def test_kubernetes_knows_every_field(name):
    assert core_errors(OBJECTS[name]) == []


@each_with_cluster
def test_kubernetes_knows_every_field_of_the_pods(name):
    assert [core_errors(as_core(template)) for template in all_pods(name)] == [[] for _ in all_pods(name)]


@each_job
def test_commands_are_what_the_jobs_take(name, monkeypatch):
    """By the job's own parser; the job files are found where the image has them."""
    monkeypatch.chdir(ROOT)
    python, m, module, *words = shlex.split(OBJECTS[name]["spec"]["entrypoint"])
    assert (python, m, module) == ("python", "-m", f"jobs.{OBJECTS[name]['metadata']['labels']['part']}")
    importlib.import_module(module)
    if module == "jobs.evaluate":
        given = read_arguments(words)
        assert all(path.startswith(f"{RESULTS}/") for path in (*given.runs, str(given.output)))
    else:
        assert parse_arguments(words, STAGES[module]).config.run.storage_path == RESULTS


@each_job
def test_jobs_retry_end_and_clean_up(name):
    spec = OBJECTS[name]["spec"]
    assert spec["backoffLimit"] > 0
    assert "clusterSelector" not in spec  # KubeRay refuses it together with backoffLimit
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["shutdownAfterJobFinishes"]
    assert 0 < spec["ttlSecondsAfterFinished"] < 3600
    assert len(OBJECTS[name]["metadata"]["name"]) <= LONGEST_NAME


@each_with_cluster
def test_clusters_grow_from_nothing_and_ask_for_the_token(name):
    cluster = cluster_of(name)
    (pinned,) = re.findall(r'"ray\[.*?\]==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert cluster["rayVersion"] == pinned
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 600
    assert [group["minReplicas"] for group in cluster["workerGroupSpecs"]] == [0, 0]
    gpus = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for group in cluster["workerGroupSpecs"]
    ]
    assert gpus == [None, 1]


@each_with_cluster
def test_nothing_runs_as_root(name):
    (user,) = re.findall(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for template in all_pods(name):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == int(user)
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        locked = [container["securityContext"] for container in pod["containers"]]
        locked.append(cluster_of(name)["autoscalerOptions"]["securityContext"])
        assert all(not one["allowPrivilegeEscalation"] and one["capabilities"]["drop"] == ["ALL"] for one in locked)


@each_with_cluster
def test_every_node_of_ray_sees_the_results_and_is_behind_the_policy(name):
    claim = OBJECTS["PersistentVolumeClaim/nn-train-results"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for template in ray_pods(name):
        pod = template["spec"]
        (volume,) = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
        assert mounts[volume["name"]] == RESULTS
        selected = OBJECTS["NetworkPolicy/nn-train"]["spec"]["podSelector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items()
        assert pod.get("restartPolicy", "Never") == "Never"  # the autoscaler v2 demands it
