"""The state of a StatefulSet or Deployment, read from its fields."""

from __future__ import annotations

from typing import Any

import pytest

from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.workload import Reference, Workload, is_alive, label_selector, replicas_of, scaled


@pytest.mark.parametrize(
    ("text", "plural", "shown"),
    [
        ("statefulset/mc", "statefulsets", "statefulset/mc"),
        ("sts/mc", "statefulsets", "statefulset/mc"),
        ("StatefulSets/mc", "statefulsets", "statefulset/mc"),
        ("deployment/mc-1.21", "deployments", "deployment/mc-1.21"),
        ("deploy/mc", "deployments", "deployment/mc"),
    ],
)
def test_what_kubectl_understands_is_understood(text: str, plural: str, shown: str) -> None:
    reference = Reference.parse(text)
    assert reference.plural == plural
    assert str(reference) == shown


@pytest.mark.parametrize("text", ["", "mc", "/", "statefulset", "pod/mc", "sts/a/b", "sts/-a", "sts/a_b", "sts/A"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(PluginError, match=r"^resource="):
        Reference.parse(text)


def found(replicas: int | None, *, generation: int = 2, status: dict[str, Any] | None = None) -> Workload:
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "mc"}}}
    if replicas is not None:
        spec["replicas"] = replicas
    metadata = {"uid": "u", "generation": generation}
    return Workload.parse({"metadata": metadata, "spec": spec, **({} if status is None else {"status": status})})


def test_what_is_left_out_is_zero() -> None:
    assert Workload.parse({}) == Workload("", 0, 0, 0, 0, 0, False, False, "")
    workload = found(None, status={"observedGeneration": 2})
    assert workload.is_settled_at_zero
    assert not workload.wanted


@pytest.mark.parametrize(
    ("status", "is_ready"),
    [
        (None, False),
        ({"observedGeneration": 2, "replicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 1, "readyReplicas": 1}, True),
        ({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1}, False),
        ({"replicas": 1, "readyReplicas": 1}, True),  # a status written by hand has no generations
    ],
)
def test_ready_is_a_ready_pod_that_the_controller_counted_since_the_last_change(
    status: dict[str, Any] | None, is_ready: bool
) -> None:
    assert found(1, status=status).is_ready == is_ready
    assert not found(0, status=status).is_ready


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        (None, True),  # as it was made: no controller has seen it, nor made a pod
        ({"replicas": 1}, False),
        ({"observedGeneration": 2}, True),
        ({"observedGeneration": 2, "replicas": 0}, True),
        ({"observedGeneration": 2, "replicas": 1}, False),
        ({"observedGeneration": 1, "replicas": 0}, False),
    ],
)
def test_at_zero_is_what_the_controller_says_since_the_last_change(
    status: dict[str, Any] | None, settled: bool
) -> None:
    assert found(0, status=status).is_settled_at_zero == settled
    assert not found(1, status=status).is_settled_at_zero


REVISED = {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "currentRevision": "mc-1"}


@pytest.mark.parametrize(
    ("living", "is_ready"),
    [({"updatedReplicas": 1}, True), ({"currentReplicas": 1}, True), ({"updatedReplicas": 1, "replicas": 2}, True)],
)
def test_a_ready_pod_of_any_revision_is_ready(living: dict[str, int], is_ready: bool) -> None:
    assert found(1, status={**REVISED, **living}).is_ready == is_ready


def test_a_ready_pod_that_is_terminating_is_of_the_last_run() -> None:
    assert not found(1, status=REVISED).is_ready


def test_a_ready_pod_that_only_its_operator_replaces_may_be_of_no_known_revision() -> None:
    spec = {"replicas": 1, "updateStrategy": {"type": "OnDelete"}}
    assert Workload.parse({"metadata": {"generation": 2}, "spec": spec, "status": REVISED}).is_ready


def test_what_is_being_deleted_is_not_wanted() -> None:
    metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert not Workload.parse({"metadata": metadata, "spec": {"replicas": 1}}).wanted


def test_every_kind_of_label_selector() -> None:
    selector = {
        "matchLabels": {"app": "mc", "tier": "game"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]},
            {"key": "b", "operator": "NotIn", "values": ["z"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"},
        ],
    }
    assert label_selector(selector) == "app=mc,tier=game,a in (x,y),b notin (z),c,!d"
    assert label_selector({}) == ""


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_a_pod_that_may_still_run_something_is_alive(phase: str) -> None:
    assert is_alive({"status": {"phase": phase}})
    assert is_alive({})


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_whose_containers_have_all_ended_is_not(phase: str) -> None:
    assert not is_alive({"status": {"phase": phase}})


def test_a_scale_keeps_what_it_is_of_and_which_version() -> None:
    metadata = {"name": "mc", "namespace": "games", "uid": "u", "resourceVersion": "7", "managedFields": []}
    scale = {"metadata": metadata, "spec": {}, "status": {"replicas": 0, "selector": "app=mc"}}
    assert replicas_of(scale) == 0
    update = scaled(scale, 1)
    assert replicas_of(update) == 1
    assert update == {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "mc", "namespace": "games", "uid": "u", "resourceVersion": "7"},
        "spec": {"replicas": 1},
    }
