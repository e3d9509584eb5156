"""kr8s, the simple Python client: create, list, watch, patch, scale, delete, and wait.

Reads KUBECONFIG; takes a namespace.
"""

import sys

import kr8s
from kr8s.objects import ConfigMap, Deployment, Namespace, Pod

COUNT = 5
namespace = sys.argv[1]
api = kr8s.api()


def step(words):
    print(words, flush=True)


assert api.version()["major"] == "1"
Namespace({"metadata": {"name": namespace}}).create()
for number in range(COUNT):
    metadata = {"name": f"k{number}", "namespace": namespace, "labels": {"made-by": "kr8s"}}
    ConfigMap({"metadata": metadata, "data": {"number": str(number)}}).create()
assert ConfigMap.get("k3", namespace=namespace).data.number == "3"
step("create")

found = [item.name for item in kr8s.get("configmaps", namespace=namespace, label_selector={"made-by": "kr8s"})]
assert found == [f"k{number}" for number in range(COUNT)], found
step("list")

one = ConfigMap.get("k0", namespace=namespace)
one.patch({"data": {"patched": "yes"}})
one.label(seen="yes")
one.annotate(note="here")
one.refresh()
assert one.data.patched == "yes" and one.labels.seen == "yes" and one.annotations.note == "here", one.raw
step("patch")

for kind, item in api.watch("configmaps", namespace=namespace, label_selector={"made-by": "kr8s"}):
    if (kind, item.name) == ("ADDED", f"k{COUNT - 1}"):
        break
step("watch")

labels = {"app": "web"}
pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.test/web:1"}]}}
web = Deployment(
    {
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
    }
)
web.create()
web.wait("condition=Available", timeout=60)
web.scale(3)
web.wait("jsonpath='{.status.readyReplicas}'=3", timeout=60)
assert len(web.pods()) == 3
alone = Pod({"metadata": {"name": "alone", "namespace": namespace}, "spec": pod["spec"]})
alone.create()
alone.wait("condition=Ready", timeout=60)
step("workloads")

for item in kr8s.get("configmaps", namespace=namespace, label_selector={"made-by": "kr8s"}):
    item.delete()
alone.delete()
alone.wait("delete", timeout=60)
web.delete(propagation_policy="Foreground")
web.wait("delete", timeout=60)
whole = Namespace.get(namespace)
whole.delete()
whole.wait("delete", timeout=60)
assert not whole.exists()
step("delete")
