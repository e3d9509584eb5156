//! Labels and annotations by which a kubelet knows its sandboxes and containers again.

use std::collections::BTreeMap;
use std::path::Path;

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod};
use sdk_plugin::node;

pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";

const HASH: &str = "io.kubernetes.container.hash";
const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Whose sandbox or container it is: the root directory of its kubelet. Several kubelets may share a runtime, and none may
/// take another's pods for orphans.
const OWNER: &str = "kubernel.io/kubelet-root";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Marks a sandbox or a container as a kubelet's own.
pub(crate) fn own(annotations: &mut BTreeMap<String, String>, root_dir: &Path) {
    annotations.insert(OWNER.into(), root_dir.to_string_lossy().into_owned());
}

pub(crate) fn is_own(annotations: &BTreeMap<String, String>, root_dir: &Path) -> bool {
    annotations.get(OWNER).is_some_and(|owner| *owner == root_dir.to_string_lossy())
}

pub(crate) fn of_sandbox(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(of_pod(pod));
    labels
}

fn of_pod(pod: &Pod) -> BTreeMap<String, String> {
    let meta = &pod.metadata;
    [(POD_NAME, &meta.name), (POD_NAMESPACE, &meta.namespace), (POD_UID, &meta.uid)]
        .map(|(key, value)| (key.to_owned(), value.clone().unwrap_or_default()))
        .into()
}

pub(crate) fn of_container(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let mut labels = of_pod(pod);
    labels.insert(CONTAINER_NAME.into(), container.name.clone());
    labels
}

pub(crate) fn container_annotations(pod: &Pod, container: &Container, restarts: u32) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), restarts.to_string()),
        (MESSAGE_PATH.to_owned(), container.termination_message_path.clone().unwrap_or_default()),
        (MESSAGE_POLICY.to_owned(), container.termination_message_policy.clone().unwrap_or_default()),
    ]);
    if let Some(seconds) = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds) {
        annotations.insert(GRACE.into(), seconds.to_string());
    }
    annotations
}

/// How often the container was started again before this run.
pub(crate) fn restarts(container: &node::Container) -> u32 {
    container.annotations.get(RESTART_COUNT).and_then(|text| text.parse().ok()).unwrap_or(container.attempt)
}

/// Whether the running container is still what the pod asks for. One without a hash is.
pub(crate) fn is_current(running: &node::Container, wanted: &Container) -> bool {
    running.annotations.get(HASH).is_none_or(|known| *known == hash(wanted))
}

/// The grace that an orphan's pod asked for.
pub(crate) fn grace_seconds(container: &node::Container) -> Option<u64> {
    container.annotations.get(GRACE)?.parse().ok()
}

/// What of a container cannot change without a restart: its name and image, as upstream compares since 1.27.
fn hash(container: &Container) -> String {
    let text = format!("{}\0{}", container.name, container.image.as_deref().unwrap_or_default());
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:x}", (fnv >> 32) as u32 ^ fnv as u32)
}
