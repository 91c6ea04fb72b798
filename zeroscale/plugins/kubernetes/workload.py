"""A StatefulSet or Deployment as the API describes it, and what that means. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zeroscale.errors import PluginError

KINDS = {"statefulset": "statefulsets", "sts": "statefulsets", "deployment": "deployments", "deploy": "deployments"}
"""How kubectl lets them be called, and the plural by which the API knows them."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Reference:
    """Which object is meant.

    :ivar plural: `statefulsets` or `deployments`.
    :ivar name: its name.
    """

    plural: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads `statefulset/mc`, `sts/mc`, `deployment/mc` or `deploy/mc`; plurals as well.

        :raises PluginError: it is none of these.
        """
        kind, slash, name = text.partition("/")
        kind = kind.lower()
        plural = kind if kind in KINDS.values() else KINDS.get(kind)
        if not slash or plural is None:
            raise PluginError(f"resource={text!r} is not understood: give statefulset/NAME or deployment/NAME")
        if not NAME.fullmatch(name):
            raise PluginError(f"resource={text!r}: {name!r} is no name of a Kubernetes object, like statefulset/mc")
        return cls(plural, name)

    def __str__(self) -> str:
        return f"{self.plural.removesuffix('s')}/{self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """One StatefulSet or Deployment at one moment.

    :ivar uid: tells it from one of the same name that was deleted.
    :ivar generation: grows with each change of what is wanted.
    :ivar observed: the generation that the controller's counts below belong to. 0: they belong to none. A controller
        always says it, so no controller has written them: it is as it was made, or somebody keeps them by hand.
    :ivar replicas: how many pods are wanted.
    :ivar existing: how many there are. A StatefulSet's controller counts those that are terminating, until the API
        has deleted them, and so until their kubelet has seen the last of their containers end
        (`computeReplicaStatus` in Kubernetes's stateful_set_control.go). A Deployment's does not count them.
    :ivar ready: how many of them are ready. A StatefulSet's that is terminating may be so until its end.
    :ivar only_ending: all that there are terminate.
    :ivar going: it is being deleted itself.
    :ivar selector: the labels of its pods, as a query has them.
    """

    uid: str
    generation: int
    observed: int
    replicas: int
    existing: int
    ready: int
    only_ending: bool
    going: bool
    selector: str

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Workload:
        """Reads an object of `apps/v1`. What is absent is zero: the API leaves out zeros and empty values."""
        metadata, spec, status = (found.get(part) or {} for part in ("metadata", "spec", "status"))
        return cls(
            uid=str(metadata.get("uid") or ""),
            generation=metadata.get("generation") or 0,
            observed=status.get("observedGeneration") or 0,
            replicas=spec.get("replicas") or 0,
            existing=status.get("replicas") or 0,
            ready=status.get("readyReplicas") or 0,
            only_ending=_only_ending(spec, status),
            going=metadata.get("deletionTimestamp") is not None,
            selector=label_selector(spec.get("selector") or {}),
        )

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run."""
        return self.replicas >= 1 and not self.going

    @property
    def is_ready(self) -> bool:
        """Whether a pod is ready, and not one that was to be before the last change."""
        return self.wanted and self._is_observed and self.ready >= 1 and not self.only_ending

    @property
    def is_settled_at_zero(self) -> bool:
        """Whether none is wanted, and its controller knows so and counts none."""
        return self.replicas == 0 and self._is_observed and self.existing == 0

    @property
    def _is_observed(self) -> bool:
        return self.observed == 0 or self.observed >= self.generation


def _only_ending(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """A StatefulSet's controller counts a pod that terminates as ready while it is, but as of no revision
    (`computeReplicaStatus`, as above). With OnDelete a pod that lives may also be of neither revision.
    """
    if not status.get("currentRevision") or (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return False
    return not (status.get("currentReplicas") or status.get("updatedReplicas"))


def label_selector(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as a query's `labelSelector` (Kubernetes documentation, "Labels and selectors")."""
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, operator = expression.get("key"), expression.get("operator")
        values = ",".join(expression.get("values") or [])
        terms.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": f"{key}"}.get(
                operator, f"!{key}"
            )
        )
    return ",".join(terms)


def is_alive(pod: Mapping[str, Any]) -> bool:
    """Whether a pod may still have a container that runs. `Succeeded` and `Failed`: all have ended, for good."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def replicas_of(scale: Mapping[str, Any]) -> int:
    """How many are wanted, by a Scale of `autoscaling/v1`, which leaves out a zero."""
    return (scale.get("spec") or {}).get("replicas") or 0


def scaled(scale: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """The same Scale, with another number wanted; refused with 409 once the object has changed since."""
    metadata = scale.get("metadata") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": kept, "spec": {"replicas": replicas}}
