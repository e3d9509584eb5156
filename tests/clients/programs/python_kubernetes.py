"""The official Python client: create, list in pages, watch with resume, patch, replace, apply, delete.

Reads KUBECONFIG; takes a namespace. Every step prints a line, and any surprise ends the program with a traceback.
"""

import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client import api_client
from kubernetes.client.rest import ApiException

COUNT = 7
namespace = sys.argv[1]
config.load_kube_config()
core = client.CoreV1Api()
apps = client.AppsV1Api()


def step(words):
    print(words, flush=True)


def config_map(name, data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made-by": "python"}), data=data)


def refused(code, reason, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except ApiException as error:
        assert error.status == code, error
        assert f'"reason":"{reason}"' in error.body, error.body
        return
    raise AssertionError(f"{call.__name__} was not refused")


core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
for number in range(COUNT):
    made = core.create_namespaced_config_map(namespace, config_map(f"c{number}", {"number": str(number)}))
    assert made.metadata.uid and made.data == {"number": str(number)}, made
refused(409, "AlreadyExists", core.create_namespaced_config_map, namespace, config_map("c0", {}))
refused(404, "NotFound", core.read_namespaced_config_map, "nobody", namespace)
step("create")

names, token, revisions = [], None, set()
while True:
    page = core.list_namespaced_config_map(namespace, label_selector="made-by=python", limit=3, _continue=token)
    names += [item.metadata.name for item in page.items]
    revisions.add(page.metadata.resource_version)
    token = page.metadata._continue
    if not token:
        break
assert names == [f"c{number}" for number in range(COUNT)], names
assert len(revisions) == 1, revisions
step("list in pages")

start = revisions.pop()
core.patch_namespaced_config_map("c0", namespace, {"data": {"number": None, "patched": "yes"}})
core.delete_namespaced_config_map("c6", namespace)
seen, last = [], start
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=30):
    seen.append((event["type"], event["object"].metadata.name))
    last = event["object"].metadata.resource_version
    break
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, namespace, resource_version=last, timeout_seconds=30):
    seen.append((event["type"], event["object"].metadata.name))
    break
assert seen == [("MODIFIED", "c0"), ("DELETED", "c6")], seen
step("watch with resume")

now = core.read_namespaced_config_map("c0", namespace)
assert now.data == {"patched": "yes"}, now.data
stale = core.read_namespaced_config_map("c1", namespace)
core.patch_namespaced_config_map("c1", namespace, [{"op": "add", "path": "/data/json", "value": "patch"}])
stale.data["late"] = "yes"
refused(409, "Conflict", core.replace_namespaced_config_map, "c1", namespace, stale)
fresh = core.read_namespaced_config_map("c1", namespace)
fresh.data["replaced"] = "yes"
assert core.replace_namespaced_config_map("c1", namespace, fresh).data["json"] == "patch"
step("patch and replace")

applied = dynamic.DynamicClient(api_client.ApiClient())
resource = applied.resources.get(api_version="v1", kind="ConfigMap")
body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1", "b": "2"}}
resource.server_side_apply(body=body, namespace=namespace, field_manager="python")
body["data"].pop("b")
after = resource.server_side_apply(body=body, namespace=namespace, field_manager="python")
assert after.data.to_dict() == {"a": "1"}, after
body["data"]["a"] = "3"
try:
    resource.server_side_apply(body=body, namespace=namespace, field_manager="other")
    raise AssertionError("no conflict")
except dynamic.exceptions.ConflictError as error:
    assert '"FieldManagerConflict"' in str(error.body), error.body
resource.server_side_apply(body=body, namespace=namespace, field_manager="other", force_conflicts=True)
step("apply")

selector = client.V1LabelSelector(match_labels={"app": "web"})
container = client.V1Container(name="web", image="example.test/web:1", ports=[client.V1ContainerPort(container_port=80)])
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels={"app": "web"}), spec=client.V1PodSpec(containers=[container])
)
spec = client.V1DeploymentSpec(replicas=2, selector=selector, template=template)
apps.create_namespaced_deployment(namespace, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))
for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=60):
    if event["object"].status.ready_replicas == 2:
        break
else:
    raise AssertionError("the deployment did not become ready")
scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
assert scale.spec.replicas == 1, scale
step("deployment")

core.delete_collection_namespaced_config_map(namespace, label_selector="made-by=python")
assert not core.list_namespaced_config_map(namespace, label_selector="made-by=python").items
core.delete_namespace(namespace)
for event in watch.Watch().stream(core.list_namespace, field_selector=f"metadata.name={namespace}", timeout_seconds=60):
    if event["type"] == "DELETED":
        break
else:
    raise AssertionError("the namespace stays")
step("delete")
