"""The state of a StatefulSet or Deployment, read from the API's objects. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

from zeroscale.errors import PluginError
from zeroscale.plugins.support.json_object import JsonObject, integer_at, list_at, member, object_at, text_at

KINDS = {"statefulset": "statefulsets", "sts": "statefulsets", "deployment": "deployments", "deploy": "deployments"}
"""The names of the kinds that kubectl takes, and the API's plural of each."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Reference(Struct, frozen=True):
    """A name of one object.

    :ivar plural: `statefulsets` or `deployments`.
    :ivar name: its name.
    """

    plural: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse `statefulset/mc`, `sts/mc`, `deployment/mc` or `deploy/mc`; also the plurals.

        :raises PluginError: it is none of these.
        """
        kind, slash, name = text.partition("/")
        kind = kind.lower()
        plural = kind if kind in KINDS.values() else KINDS.get(kind)
        if not slash or plural is None:
            raise PluginError(f"resource={text!r} is not understood: give statefulset/NAME or deployment/NAME")
        if not NAME.fullmatch(name):
            raise PluginError(
                f"resource={text!r}: {name!r} is not the name of a Kubernetes object, such as statefulset/mc"
            )
        return cls(plural, name)

    def __str__(self) -> str:
        return f"{self.plural.removesuffix('s')}/{self.name}"


class Workload(Struct, frozen=True):
    """One StatefulSet or Deployment at one moment.

    :ivar uid: distinguishes it from a deleted one of the same name.
    :ivar generation: grows with each change of its spec.
    :ivar observed_generation: the generation that the counts of its status belong to. 0: no controller has written
        them, since a controller always sets it: the object is new, or its status is maintained by hand.
    :ivar replicas: number of pods in its spec.
    :ivar existing: number of pods in its status. A StatefulSet's controller counts those that are terminating until
        the API has deleted them, which is after the kubelet has seen the last of their containers end
        (`computeReplicaStatus` in Kubernetes's stateful_set_control.go). A Deployment's controller does not count them.
    :ivar ready: number of ready pods. A StatefulSet's pod that is terminating may be ready until its end.
    :ivar all_terminating: whether all existing pods are terminating.
    :ivar deleted: whether the object itself is being deleted.
    :ivar selector: the labels of its pods, as a query has them.
    """

    uid: str
    generation: int
    observed_generation: int
    replicas: int
    existing: int
    ready: int
    all_terminating: bool
    deleted: bool
    selector: str

    @classmethod
    def parse(cls, item: JsonObject) -> Workload:
        """Read an object of `apps/v1`. What is absent is zero: the API leaves out zeros and empty values."""
        return cls(
            uid=text_at(item, "metadata", "uid"),
            generation=integer_at(item, "metadata", "generation"),
            observed_generation=integer_at(item, "status", "observedGeneration"),
            replicas=replicas_of(item),
            existing=integer_at(item, "status", "replicas"),
            ready=integer_at(item, "status", "readyReplicas"),
            all_terminating=_all_terminating(item),
            deleted=member(item, "metadata", "deletionTimestamp") is not None,
            selector=label_selector(object_at(item, "spec", "selector")),
        )

    @property
    def wanted(self) -> bool:
        """Whether it should run."""
        return self.replicas >= 1 and not self.deleted

    @property
    def is_ready(self) -> bool:
        """Whether a pod is ready that belongs to the present spec."""
        return self.wanted and self._is_observed and self.ready >= 1 and not self.all_terminating

    @property
    def is_settled_at_zero(self) -> bool:
        """Whether no pod is wanted, and its controller has seen that and counts none."""
        return self.replicas == 0 and self._is_observed and self.existing == 0

    @property
    def _is_observed(self) -> bool:
        return self.observed_generation == 0 or self.observed_generation >= self.generation


def _all_terminating(item: JsonObject) -> bool:
    """Return whether all pods of a StatefulSet are terminating.

    Its controller counts a terminating pod as ready while it is, but not under any revision (`computeReplicaStatus`,
    as above). With the update strategy OnDelete a living pod may also be of no counted revision.
    """
    status = object_at(item, "status")
    if not status.get("currentRevision") or member(item, "spec", "updateStrategy", "type") == "OnDelete":
        return False
    return not (status.get("currentReplicas") or status.get("updatedReplicas"))


def label_selector(selector: JsonObject) -> str:
    """Format a LabelSelector as a query's `labelSelector` (Kubernetes documentation, "Labels and selectors")."""
    terms = [f"{key}={value}" for key, value in object_at(selector, "matchLabels").items()]
    for expression in list_at(selector, "matchExpressions"):
        key, values = text_at(expression, "key"), ",".join(map(str, list_at(expression, "values")))
        terms.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": f"{key}"}.get(
                text_at(expression, "operator"), f"!{key}"
            )
        )
    return ",".join(terms)


def is_alive(pod: object) -> bool:
    """Return whether a pod may still have a running container; in `Succeeded` and `Failed` all have ended for good."""
    return text_at(pod, "status", "phase") not in ("Succeeded", "Failed")


def replicas_of(item: JsonObject) -> int:
    """Return how many replicas the spec has of a Scale of `autoscaling/v1`, or of a workload."""
    return integer_at(item, "spec", "replicas")


def scaled(scale: JsonObject, replicas: int) -> dict[str, object]:
    """Return the same Scale with another number of replicas; the API refuses it with 409 if the object has changed."""
    metadata = object_at(scale, "metadata")
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": kept, "spec": {"replicas": replicas}}
