"""The official Python client against this server, in a namespace of its own.

Run by the scenario `conformance::python` with KUBECONFIG and the namespace's name; prints one line
for each group of checks, and fails at the first that does not hold.
"""

import json
import logging
import os
import sys
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, InternalServerError, NotFoundError
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from websocket import create_connection

NS = sys.argv[1]
GROUP, VERSION = "obiente.cloud", "v1alpha1"
config.load_kube_config()
# It reports the end of its own connection, after `stop`, as an error.
logging.getLogger("kubernetes.informer").setLevel(logging.CRITICAL)
core = client.CoreV1Api()
custom = client.CustomObjectsApi()


def checked(what):
    print(f"checked: {what}", flush=True)


def fails(code, reason, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert (error.status, f'"reason":"{reason}"' in error.body.replace(" ", "")) == (code, True), error
        return error
    raise AssertionError(f"{call} was not refused")


def until(what, probe):
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def config_map(name, data, **metadata):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, **metadata), data=data)


def deployment(name, **spec):
    spec = {"image": "busybox:1.36", "replicas": 0, **spec}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def discovery():
    assert client.VersionApi().get_code().major == "1"
    assert "v1" in client.CoreApi().get_api_versions().versions
    names = {r.name for r in core.get_api_resources().resources}
    assert {"configmaps", "namespaces", "namespaces/status"} <= names, names
    groups = {g.name for g in client.ApisApi().get_api_versions().groups}
    assert {GROUP, "coordination.k8s.io", "rbac.authorization.k8s.io"} <= groups, groups
    checked("version, groups, resources")


def typed():
    made = core.create_namespaced_config_map(NS, config_map("py", {"a": "1"}, labels={"set": "one"}))
    assert made.metadata.uid and made.metadata.resource_version and made.metadata.creation_timestamp.tzinfo
    fails(409, "AlreadyExists", core.create_namespaced_config_map, NS, made.__class__(metadata={"name": "py"}))
    stale = core.read_namespaced_config_map("py", NS)
    made.data["a"] = "2"
    core.replace_namespaced_config_map("py", NS, made)
    stale.data["a"] = "3"
    fails(409, "Conflict", core.replace_namespaced_config_map, "py", NS, stale)
    fails(404, "NotFound", core.read_namespaced_config_map, "none", NS)
    fails(422, "Invalid", core.create_namespaced_config_map, NS, config_map("Not_A_Name", {}))
    core.create_namespaced_secret(NS, client.V1Secret(metadata={"name": "py"}, string_data={"key": "value"}))
    assert core.read_namespaced_secret("py", NS).data == {"key": "dmFsdWU="}
    for i in range(4):
        core.create_namespaced_config_map(NS, config_map(f"page-{i}", {}, labels={"set": "pages"}))
    pages, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(NS, limit=2, _continue=token, label_selector="set=pages")
        pages.append([item.metadata.name for item in page.items])
        token = page.metadata._continue or ""
    assert pages == [["page-0", "page-1"], ["page-2", "page-3"]], pages
    by_name = core.list_config_map_for_all_namespaces(field_selector=f"metadata.name=py,metadata.namespace={NS}")
    assert len(by_name.items) == 1
    core.delete_collection_namespaced_config_map(NS, label_selector="set=pages")
    assert [i.metadata.name for i in core.list_namespaced_config_map(NS).items if "page" in i.metadata.name] == []
    dry = core.delete_namespaced_config_map("py", NS, dry_run="All", body=client.V1DeleteOptions(propagation_policy="Foreground"))
    assert dry["metadata"]["finalizers"] == ["foregroundDeletion"], dry
    assert core.read_namespaced_config_map("py", NS).metadata.deletion_timestamp is None
    core.delete_namespaced_config_map("py", NS)
    checked("typed create, read, replace, list in pages, selectors, conflict, delete, deletecollection")


def patches():
    core.create_namespaced_config_map(NS, config_map("patch", {"a": "1", "b": "1"}))
    data = core.patch_namespaced_config_map("patch", NS, {"data": {"a": None, "c": "2"}}).data
    assert data == {"b": "1", "c": "2"}, data
    steps = [{"op": "test", "path": "/data/b", "value": "1"}, {"op": "remove", "path": "/data/b"}]
    assert core.patch_namespaced_config_map("patch", NS, steps).data == {"c": "2"}
    fails(422, "Invalid", core.patch_namespaced_config_map, "patch", NS, steps)
    custom.create_namespaced_custom_object(GROUP, VERSION, NS, "deployments", deployment("patch"))
    place = (GROUP, VERSION, NS, "deployments", "patch")
    assert custom.patch_namespaced_custom_object(*place, {"spec": {"labels": {"a": "b"}}})["spec"]["labels"] == {"a": "b"}
    add = [{"op": "add", "path": "/spec/labels/c", "value": "d"}]
    added = custom.patch_namespaced_custom_object(*place, add, _content_type="application/json-patch+json")
    assert added["spec"]["labels"] == {"a": "b", "c": "d"}
    fails(422, "Invalid", custom.patch_namespaced_custom_object, *place, {"spec": {"replicas": -1}})
    unchanged = custom.get_namespaced_custom_object(*place)["metadata"]["generation"]
    custom.patch_namespaced_custom_object_status(*place, {"spec": {"replicas": 5}})
    assert custom.get_namespaced_custom_object(*place)["metadata"]["generation"] == unchanged
    scale = custom.get_namespaced_custom_object_scale(*place)
    assert (scale["kind"], scale["spec"]) == ("Scale", {})  # zero is not written
    custom.patch_namespaced_custom_object_scale(*place, {"spec": {"replicas": 0}})
    listed = custom.list_namespaced_custom_object(GROUP, VERSION, NS, "deployments")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["patch"]
    custom.delete_namespaced_custom_object(*place)
    checked("strategic, merge and JSON patches, custom objects, status, scale")


def dynamic_client():
    api = dynamic.DynamicClient(client.ApiClient())
    maps = api.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dyn"}, "data": {"a": "1"}}
    api.server_side_apply(maps, body=body, namespace=NS, field_manager="one")
    body["data"]["a"] = "2"
    try:
        api.server_side_apply(maps, body=body, namespace=NS, field_manager="two")
        raise AssertionError("no conflict")
    except ConflictError as error:
        assert error.summary() and "FieldManagerConflict" in error.body, error
    forced = api.server_side_apply(maps, body=body, namespace=NS, field_manager="two", force_conflicts=True)
    managers = {entry.manager for entry in forced.metadata.managedFields}
    assert forced.data.a == "2" and "two" in managers, managers
    kinds = api.resources.get(api_version=f"{GROUP}/{VERSION}", kind="Deployment")
    assert {"scale", "status"} <= set(kinds.subresources)
    applied = deployment("dyn", labels={"a": "b"})
    api.server_side_apply(kinds, body=applied, namespace=NS, field_manager="one")
    del applied["spec"]["labels"]
    assert api.server_side_apply(kinds, body=applied, namespace=NS, field_manager="one").spec.labels is None
    try:
        api.server_side_apply(kinds, body=deployment("dyn", replicas="x"), namespace=NS, field_manager="one")
        raise AssertionError("not refused")
    except InternalServerError as error:  # what Kubernetes says to what does not fit its type
        assert ".spec.replicas: expected numeric" in error.body, error.body
    maps.patch(name="dyn", namespace=NS, body={"data": {"b": "3"}}, content_type="application/merge-patch+json")
    assert maps.get(name="dyn", namespace=NS).data.b == "3"
    kinds.delete(name="dyn", namespace=NS)
    maps.delete(name="dyn", namespace=NS)
    try:
        maps.get(name="dyn", namespace=NS)
        raise AssertionError("still there")
    except NotFoundError:
        pass
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "file", "namespace": NS}, "data": {"a": "b"}}
    utils.create_from_dict(client.ApiClient(), manifest)
    assert core.read_namespaced_config_map("file", NS).data == {"a": "b"}
    checked("dynamic client, server-side apply with conflict and force, create from a manifest")


def watches():
    start = core.list_namespaced_config_map(NS).metadata.resource_version
    core.create_namespaced_config_map(NS, config_map("watched", {"a": "1"}))
    core.patch_namespaced_config_map("watched", NS, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("watched", NS)
    seen, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, NS, resource_version=start, timeout_seconds=20):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watcher.stop()
    assert seen == [(kind, "watched") for kind in ("ADDED", "MODIFIED", "DELETED")], seen
    short = time.monotonic()
    assert list(watch.Watch().stream(core.list_namespaced_config_map, NS, label_selector="no=one", timeout_seconds=1)) == []
    assert time.monotonic() - short < 10
    try:
        list(watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version="99999999999", timeout_seconds=2))
        raise AssertionError("a revision of the future was accepted")
    except ApiException as error:
        assert error.status == 410, error
    informer = SharedInformer(core.list_namespaced_config_map, namespace=NS, label_selector="inform=me")
    events = []
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, lambda found, kind=kind: events.append((kind, found.metadata.name)))
    core.create_namespaced_config_map(NS, config_map("before", {}, labels={"inform": "me"}))
    informer.start()
    until("the first list", lambda: ("ADDED", "before") in events)
    core.create_namespaced_config_map(NS, config_map("after", {}, labels={"inform": "me"}))
    core.patch_namespaced_config_map("before", NS, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("after", NS)
    expected = {("ADDED", "after"), ("MODIFIED", "before"), ("DELETED", "after")}
    until(f"{expected} in {events}", lambda: expected <= set(events))
    assert informer.cache.list_keys() == [f"{NS}/before"], informer.cache.list_keys()
    informer.stop()
    checked("watch from a revision, timeout, expiry, informer")


def sockets():
    """The client's own WebSocket library, which it uses for exec, with its credentials."""
    settings = client.Configuration.get_default_copy()
    keys = {"ca_certs": settings.ssl_ca_cert, "certfile": settings.cert_file, "keyfile": settings.key_file}
    start = core.list_namespaced_config_map(NS).metadata.resource_version
    path = f"/api/v1/namespaces/{NS}/configmaps?watch=true&fieldSelector=metadata.name%3Dsocket&resourceVersion={start}"
    socket = create_connection(settings.host.replace("https", "wss", 1) + path, sslopt=keys, timeout=20)
    core.create_namespaced_config_map(NS, config_map("socket", {"a": "1"}))
    core.delete_namespaced_config_map("socket", NS)
    events = [json.loads(socket.recv()) for _ in range(2)]
    assert [event["type"] for event in events] == ["ADDED", "DELETED"], events
    socket.close()
    checked("a watch over WebSocket")


def election():
    led = threading.Event()

    def candidate(name):
        lock = LeaseLock("election", NS, name)
        settings = electionconfig.Config(lock, 3, 2, 1, onstarted_leading=led.set, onstopped_leading=lambda: None)
        return leaderelection.LeaderElection(settings)

    first, second = candidate("first"), candidate("second")
    assert first.try_acquire_or_renew() and not second.try_acquire_or_renew()
    assert first.try_acquire_or_renew(), "the holder renews"
    threading.Thread(target=second.run, daemon=True).start()
    assert led.wait(20), "nobody took over"
    spec = client.CoordinationV1Api().read_namespaced_lease("election", NS).spec
    assert (spec.holder_identity, spec.lease_duration_seconds) == ("second", 3), spec
    assert spec.renew_time.microsecond is not None
    checked("leader election on a Lease")


def access():
    spec = client.V1ResourceAttributes(verb="list", resource="secrets", namespace=NS)
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=spec))
    assert client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed
    who = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    assert who.status.user_info.username
    rule = client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["get"])
    rbac = client.RbacAuthorizationV1Api()
    rbac.create_namespaced_role(NS, client.V1Role(metadata={"name": "reader"}, rules=[rule]))
    assert rbac.read_namespaced_role("reader", NS).rules[0].verbs == ["get"]
    subject = client.RbacV1Subject(kind="ServiceAccount", name="robot", namespace=NS)
    role = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="reader")
    core.create_namespaced_service_account(NS, client.V1ServiceAccount(metadata={"name": "robot"}))
    rbac.create_namespaced_role_binding(NS, client.V1RoleBinding(metadata={"name": "reader"}, subjects=[subject], role_ref=role))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", NS, request).status.token
    review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token))
    status = client.AuthenticationV1Api().create_token_review(review).status
    assert status.authenticated and status.user.username == f"system:serviceaccount:{NS}:robot", status
    settings = client.Configuration.get_default_copy()
    settings.cert_file = settings.key_file = None
    settings.api_key = {"authorization": f"Bearer {token}", "BearerToken": f"Bearer {token}"}
    robot = client.CoreV1Api(client.ApiClient(settings))
    assert robot.read_namespaced_config_map("file", NS).data == {"a": "b"}
    fails(403, "Forbidden", robot.list_namespaced_secret, NS)
    checked("access reviews, roles, a service account with its token")


def pods():
    custom.create_namespaced_custom_object(GROUP, VERSION, NS, "deployments", deployment("pods", replicas=1, command=["sleep", "inf"], terminationGracePeriodSeconds=0))
    selector = "obiente.cloud/deployment=pods"
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, NS, label_selector=selector, timeout_seconds=60):
        pod = event["object"]
        if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []):
            watcher.stop()
    owner, container = pod.metadata.owner_references[0], pod.status.container_statuses[0]
    assert (owner.kind, owner.name, owner.controller) == ("Deployment", "pods", True), owner
    assert container.ready and container.state.running.started_at and pod.spec.node_name, container
    assert [p.metadata.name for p in core.list_namespaced_pod(NS, field_selector="status.phase=Running").items] == [pod.metadata.name]
    custom.delete_namespaced_custom_object(GROUP, VERSION, NS, "deployments", "pods")
    until("no pods", lambda: not core.list_namespaced_pod(NS).items)
    checked("pods of a Deployment, by watch and by phase")


for check in (discovery, typed, patches, dynamic_client, watches, sockets, election, access, pods):
    check()

# The election's thread has no end: the interpreter, cleaning up, may crash under it.
os._exit(0)
