//! The defaults of pods and pod templates.
//!
//! Source: the defaults stated in the API reference, "PodSpec". Each function gives the same result when run again.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{
    Container, EphemeralContainer, HTTPGetAction, Lifecycle, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec,
    Probe, ResourceRequirements, Volume,
};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::image::default_pull_policy;
use crate::pod::mirror_service_account;
use crate::requests::{pod_limits, pod_requests};
use crate::validate::ephemeral::{as_container, from_container};

/// Sets an absent or empty text.
fn text(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.into());
    }
}

/// Sets an absent or zero number.
fn number(field: &mut Option<i32>, value: i32) {
    if field.unwrap_or_default() == 0 {
        *field = Some(value);
    }
}

/// What a template of pods gets.
pub fn template_defaults(template: &mut PodTemplateSpec) {
    defaults(template.spec.get_or_insert_default());
}

/// What every pod spec gets, in a template as in a pod.
pub fn defaults(spec: &mut PodSpec) {
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    mirror_service_account(spec);
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        container_defaults(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        ephemeral_container_defaults(container);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        volume_defaults(volume);
    }
}

/// What a pod gets beyond its template: requests from limits, service links, the host's ports.
pub fn pod_defaults(spec: &mut PodSpec) {
    defaults(spec);
    let host_network = spec.host_network == Some(true);
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(resources);
        }
        for port in container.ports.iter_mut().flatten().filter(|_| host_network) {
            number(&mut port.host_port, port.container_port);
        }
    }
    pod_level_requests(spec);
    spec.enable_service_links.get_or_insert(true);
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, amount) in limits {
        requests.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

/// A pod that states resources of its own requests what its containers do, else what it is limited to.
fn pod_level_requests(spec: &mut PodSpec) {
    let Some(resources) = spec.resources.as_ref().filter(|r| r.limits.is_some() || r.requests.is_some()) else {
        return;
    };
    let alone = PodSpec { resources: None, overhead: None, ..spec.clone() };
    let mut requests = resources.requests.clone().unwrap_or_default();
    let pod_level = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    for (name, amount) in pod_requests(&alone).into_iter().filter(|(name, _)| pod_level(name)) {
        requests.entry(name).or_insert_with(|| ApiQuantity(amount.to_string()));
    }
    let mut limits = resources.limits.clone().unwrap_or_default();
    for (name, amount) in pod_limits(&alone).into_iter().filter(|(name, _)| name.starts_with("hugepages-")) {
        limits.entry(name).or_insert_with(|| ApiQuantity(amount.to_string()));
    }
    for (name, amount) in &limits {
        requests.entry(name.clone()).or_insert_with(|| amount.clone());
    }
    let filled = |amounts: BTreeMap<String, ApiQuantity>| (!amounts.is_empty()).then_some(amounts);
    let resources = spec.resources.get_or_insert_default();
    resources.requests = filled(requests);
    resources.limits = filled(limits);
}

fn container_defaults(container: &mut Container) {
    text(&mut container.image_pull_policy, default_pull_policy(container.image.as_deref().unwrap_or_default()));
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
    container.resources.get_or_insert_default();
    for port in container.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
    }
    for source in container.env.iter_mut().flatten().filter_map(|variable| variable.value_from.as_mut()) {
        if let Some(field) = &mut source.field_ref {
            text(&mut field.api_version, "v1");
        }
        if let Some(field) = &mut source.resource_field_ref {
            field.divisor.get_or_insert_with(|| ApiQuantity("0".into()));
        }
        if let Some(file) = &mut source.file_key_ref {
            file.optional.get_or_insert(false);
        }
    }
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(probe_defaults);
    if let Some(lifecycle) = &mut container.lifecycle {
        lifecycle_defaults(lifecycle);
    }
}

/// What a debugging container gets.
pub fn ephemeral_container_defaults(ephemeral: &mut EphemeralContainer) {
    let mut container = as_container(ephemeral);
    container_defaults(&mut container);
    *ephemeral = from_container(container, ephemeral.target_container_name.take());
}

fn probe_defaults(probe: &mut Probe) {
    number(&mut probe.timeout_seconds, 1);
    number(&mut probe.period_seconds, 10);
    number(&mut probe.success_threshold, 1);
    number(&mut probe.failure_threshold, 3);
    if let Some(get) = &mut probe.http_get {
        http_defaults(get);
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn lifecycle_defaults(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop] {
        if let Some(get) = handler.as_mut().and_then(|handler| handler.http_get.as_mut()) {
            http_defaults(get);
        }
    }
}

fn http_defaults(get: &mut HTTPGetAction) {
    text(&mut get.path, "/");
    text(&mut get.scheme, "HTTP");
}

const FILE_MODE: i32 = 0o644;

fn volume_defaults(volume: &mut Volume) {
    if crate::validate::volume::sources_of(volume).is_empty() {
        volume.empty_dir = Some(Default::default());
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config) = &mut volume.config_map {
        config.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        for file in downward.items.iter_mut().flatten() {
            downward_file(&mut file.field_ref, &mut file.resource_field_ref);
        }
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(3600);
            }
            for file in source.downward_api.iter_mut().flat_map(|d| d.items.iter_mut().flatten()) {
                downward_file(&mut file.field_ref, &mut file.resource_field_ref);
            }
        }
    }
    if let Some(host) = &mut volume.host_path {
        host.type_.get_or_insert_default();
    }
    if let Some(claim) = volume.ephemeral.as_mut().and_then(|e| e.volume_claim_template.as_mut()) {
        claim_spec_defaults(&mut claim.spec);
    }
    if let Some(image) = &mut volume.image {
        text(&mut image.pull_policy, default_pull_policy(image.reference.as_deref().unwrap_or_default()));
    }
    if let Some(iscsi) = &mut volume.iscsi {
        text(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        text(&mut rbd.pool, "rbd");
        text(&mut rbd.user, "admin");
        text(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".into());
        disk.kind.get_or_insert_with(|| "Shared".into());
        disk.fs_type.get_or_insert_with(|| "ext4".into());
        disk.read_only.get_or_insert(false);
    }
    if let Some(scale) = &mut volume.scale_io {
        text(&mut scale.storage_mode, "ThinProvisioned");
        text(&mut scale.fs_type, "xfs");
    }
}

fn downward_file(
    field: &mut Option<sdk_api::k8s_openapi::api::core::v1::ObjectFieldSelector>,
    resource: &mut Option<sdk_api::k8s_openapi::api::core::v1::ResourceFieldSelector>,
) {
    if let Some(field) = field {
        text(&mut field.api_version, "v1");
    }
    if let Some(resource) = resource {
        resource.divisor.get_or_insert_with(|| ApiQuantity("0".into()));
    }
}

/// What a volume claim gets, in a template as on its own.
pub fn claim_spec_defaults(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".into());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(spec: Value, set: fn(&mut PodSpec)) -> Value {
        let mut spec: PodSpec = serde_json::from_value(spec).unwrap();
        set(&mut spec);
        let once = spec.clone();
        set(&mut spec);
        assert_eq!(once, spec, "the second run changed something");
        serde_json::to_value(spec).unwrap()
    }

    #[test]
    fn a_template_is_filled_as_upstream_does() {
        let spec = run(
            json!({"serviceAccountName": "sa", "containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"port": 80}},
                "lifecycle": {"preStop": {"httpGet": {"port": "http"}}}}],
                "volumes": [{"name": "e"}, {"name": "s", "secret": {"secretName": "s"}},
                    {"name": "h", "hostPath": {"path": "/x"}},
                    {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]}),
            defaults,
        );
        let expected = json!({
            "serviceAccountName": "sa", "serviceAccount": "sa", "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "c", "image": "nginx", "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {"limits": {"cpu": "1"}},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "lifecycle": {"preStop": {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}}}}],
            "volumes": [{"name": "e", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
                {"name": "h", "hostPath": {"path": "/x", "type": ""}},
                {"name": "p", "projected": {"defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]}}]});
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_pod_gets_requests_links_and_host_ports() {
        let spec = run(
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "a:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]}),
            pod_defaults,
        );
        let container = &spec["containers"][0];
        assert_eq!(container["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(container["ports"][0]["hostPort"], 80);
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(spec["enableServiceLinks"], true);
    }

    #[test]
    fn pod_level_requests_come_from_containers_then_limits() {
        let spec = run(
            json!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}),
            pod_defaults,
        );
        assert_eq!(spec["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    }

    #[test]
    fn debugging_containers_are_filled_too() {
        let spec = run(
            json!({"containers": [], "ephemeralContainers": [{"name": "d", "image": "busybox:1", "targetContainerName": "c"}]}),
            defaults,
        );
        let debug = &spec["ephemeralContainers"][0];
        assert_eq!((&debug["targetContainerName"], &debug["imagePullPolicy"]), (&json!("c"), &json!("IfNotPresent")));
    }
}
