//! Containers and init containers.

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, Volume, VolumeMount};
use sdk_api::{Violations, names};

use super::{Options, each_invalid, env, handler, one_of, one_of_if_set, one_of_in_order, resources, security, volume};
use crate::requests::is_sidecar;

/// The volumes of a pod by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn containers(
    found: &mut Violations,
    spec: &PodSpec,
    volumes: &Volumes<'_>,
    path: &str,
    options: Options<'_>,
) {
    if spec.containers.is_empty() {
        return found.required(path, "");
    }
    let mut seen = BTreeSet::new();
    for (i, container) in spec.containers.iter().enumerate() {
        let path = format!("{path}[{i}]");
        common(found, container, spec, volumes, &path, options);
        unique_name(found, &container.name, &mut seen, &path);
        handler::lifecycle(found, container.lifecycle.as_ref(), spec, &format!("{path}.lifecycle"));
        handler::probes(found, container, spec, &path);
        restart(found, container, &path);
    }
    let mut taken = BTreeSet::new();
    for (i, container) in spec.containers.iter().enumerate() {
        host_ports_of(found, container, &format!("{path}[{i}]"), &mut taken);
    }
}

pub(super) fn init_containers(
    found: &mut Violations,
    spec: &PodSpec,
    volumes: &Volumes<'_>,
    path: &str,
    options: Options<'_>,
) {
    let mut seen: BTreeSet<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (i, container) in init.iter().enumerate() {
        let path = format!("{path}[{i}]");
        common(found, container, spec, volumes, &path, options);
        restart(found, container, &path);
        unique_name(found, &container.name, &mut seen, &path);
        // They run one after the other, so only their own ports can collide.
        host_ports_of(found, container, &path, &mut BTreeSet::new());
        if is_sidecar(container) {
            handler::lifecycle(found, container.lifecycle.as_ref(), spec, &format!("{path}.lifecycle"));
            handler::probes(found, container, spec, &path);
            continue;
        }
        for (field, set) in [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ] {
            if set {
                let why = "may not be set for init containers without restartPolicy=Always";
                found.forbidden(format!("{path}.{field}"), why);
            }
        }
    }
}

fn unique_name<'a>(found: &mut Violations, name: &'a str, seen: &mut BTreeSet<&'a str>, path: &str) {
    if !name.is_empty() && !seen.insert(name) {
        found.duplicate(format!("{path}.name"), name);
    }
}

/// What holds for containers of every sort.
pub(super) fn common(
    found: &mut Violations,
    c: &Container,
    spec: &PodSpec,
    volumes: &Volumes<'_>,
    path: &str,
    options: Options<'_>,
) {
    let at = |field: &str| format!("{path}.{field}");
    if c.name.is_empty() {
        found.required(at("name"), "");
    } else {
        each_invalid(found, &at("name"), &c.name, names::dns1123_label(&c.name));
    }
    let image = c.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        found.required(at("image"), "");
    } else if options.pod.is_some() && image.trim() != image {
        found.invalid(at("image"), image, "must not have leading or trailing whitespace");
    }
    let policies = ["File", "FallbackToLogsOnError"];
    one_of_in_order(found, &at("terminationMessagePolicy"), c.termination_message_policy.as_deref(), &policies);
    ports(found, c.ports.as_deref().unwrap_or_default(), &at("ports"));
    env::variables(found, c.env.as_deref().unwrap_or_default(), volumes, &at("env"));
    env::sources(found, c.env_from.as_deref().unwrap_or_default(), &at("envFrom"));
    mounts(found, c, volumes, &at("volumeMounts"));
    devices(found, c, volumes, &at("volumeDevices"));
    one_of(found, &at("imagePullPolicy"), c.image_pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"]);
    resources::requirements(found, c.resources.as_ref(), spec, &at("resources"), options);
    resize_policy(found, c, spec, &at("resizePolicy"));
    security::container(found, c.security_context.as_ref(), spec, &at("securityContext"));
}

/// Source: KEP-1287.
fn resize_policy(found: &mut Violations, container: &Container, spec: &PodSpec, path: &str) {
    let mut seen = BTreeSet::new();
    for (i, policy) in container.resize_policy.iter().flatten().enumerate() {
        if !seen.insert(&policy.resource_name) {
            found.duplicate(format!("{path}[{i}]"), policy.resource_name.as_str());
        }
        one_of(found, path, Some(&policy.resource_name), &["cpu", "memory"]);
        one_of(found, path, Some(&policy.restart_policy), &["NotRequired", "RestartContainer"]);
        if spec.restart_policy.as_deref() == Some("Never") && policy.restart_policy != "NotRequired" {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            found.invalid(path, policy.restart_policy.as_str(), why);
        }
    }
}

fn restart(found: &mut Violations, container: &Container, path: &str) {
    let policy = container.restart_policy.as_deref();
    one_of_if_set(found, &format!("{path}.restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    if rules.is_empty() {
        return;
    }
    if policy.is_none() {
        let why = "must specify restartPolicy when restart rules are used";
        return found.required(format!("{path}.restartPolicy"), why);
    }
    let path = format!("{path}.restartPolicyRules");
    if rules.len() > 20 {
        found.too_many(&path, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        one_of(found, &format!("{path}[{i}].action"), Some(&rule.action), &["Restart", "RestartAllContainers"]);
        match &rule.exit_codes {
            None => found.required(format!("{path}[{i}].exitCodes"), "must be specified"),
            Some(codes) => {
                let path = format!("{path}[{i}].exitCodes");
                one_of(found, &format!("{path}.operator"), Some(&codes.operator), &["In", "NotIn"]);
                let values = codes.values.as_deref().unwrap_or_default();
                if values.is_empty() {
                    found.required(format!("{path}.values"), "");
                } else if values.len() > 255 {
                    found.too_many(format!("{path}.values"), values.len(), 255);
                }
            }
        }
    }
}

fn ports(found: &mut Violations, ports: &[ContainerPort], path: &str) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                found.duplicate(at("name"), name);
            }
            each_invalid(found, &at("name"), name, wrong);
        }
        let mut number = |field: &str, number: i32| {
            for why in names::port_number(i64::from(number)) {
                found.invalid(at(field), number, why);
            }
        };
        match port.container_port {
            0 => found.required(at("containerPort"), ""),
            wanted => number("containerPort", wanted),
        }
        if let Some(host) = port.host_port.filter(|port| *port != 0) {
            for why in names::port_number(i64::from(host)) {
                found.invalid(at("hostPort"), host, why);
            }
        }
        one_of(found, &at("protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]);
    }
}

fn host_ports_of(found: &mut Violations, container: &Container, path: &str, taken: &mut BTreeSet<String>) {
    for (i, port) in container.ports.iter().flatten().enumerate() {
        let Some(number) = port.host_port.filter(|port| *port != 0) else { continue };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let wanted = format!("{}/{}/{number}", text(&port.protocol), text(&port.host_ip));
        if !taken.insert(wanted.clone()) {
            found.duplicate(format!("{path}.ports[{i}].hostPort"), wanted);
        }
    }
}

fn mounts(found: &mut Violations, container: &Container, volumes: &Volumes<'_>, path: &str) {
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let mut paths = BTreeSet::new();
    for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if mount.name.is_empty() {
            found.required(at("name"), "");
        }
        if !volumes.contains_key(mount.name.as_str()) {
            found.not_found(at("name"), mount.name.as_str());
        }
        if mount.mount_path.is_empty() {
            found.required(at("mountPath"), "");
        }
        if !paths.insert(&mount.mount_path) {
            found.invalid(at("mountPath"), mount.mount_path.as_str(), "must be unique");
        }
        if devices.iter().any(|device| device.name == mount.name) {
            found.invalid(at("name"), mount.name.as_str(), "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.device_path == mount.mount_path) {
            let why = "must not already exist as a path in volumeDevices";
            found.invalid(at("mountPath"), mount.mount_path.as_str(), why);
        }
        if volumes.get(mount.name.as_str()).is_some_and(|volume| volume.image.is_some()) {
            for (field, part) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
                if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
                    found.invalid(at(field), part, "not allowed in image volume sources");
                }
            }
        }
        sub_paths(found, mount, path, &at("subPathExpr"));
        propagation(found, mount, container, path);
    }
}

/// `path` is that of all mounts: upstream names no single one here, and clients match its words.
fn sub_paths(found: &mut Violations, mount: &VolumeMount, path: &str, own_expression: &str) {
    let filled = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let sub_path = filled(&mount.sub_path);
    if let Some(sub) = &sub_path {
        volume::descending(found, sub, &format!("{path}.subPath"));
    }
    if let Some(expression) = filled(&mount.sub_path_expr) {
        let path = format!("{path}.subPathExpr");
        if sub_path.is_some() {
            found.invalid(own_expression, expression.as_str(), "subPathExpr and subPath are mutually exclusive");
        }
        volume::descending(found, &expression, &path);
    }
}

fn propagation(found: &mut Violations, mount: &VolumeMount, container: &Container, path: &str) {
    let modes = ["Bidirectional", "HostToContainer", "None"];
    let at = format!("{path}.mountPropagation");
    one_of_if_set(found, &at, mount.mount_propagation.as_deref(), &modes);
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged) == Some(true);
    if mount.mount_propagation.as_deref() == Some("Bidirectional") && !privileged {
        found.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
    }
    let recursive = mount.recursive_read_only.as_deref();
    let at = format!("{path}.recursiveReadOnly");
    one_of_if_set(found, &at, recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive, Some("Enabled" | "IfPossible")) {
        if mount.read_only != Some(true) {
            found.forbidden(&at, "may only be specified when readOnly is true");
        }
        if !matches!(mount.mount_propagation.as_deref(), None | Some("None")) {
            found.forbidden(&at, "may only be specified when mountPropagation is None or not specified");
        }
    }
}

fn devices(found: &mut Violations, container: &Container, volumes: &Volumes<'_>, path: &str) {
    let (mut paths, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in container.volume_devices.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if device.name.is_empty() {
            found.required(at("name"), "");
        }
        if !device.name.is_empty() && !seen.insert(&device.name) {
            found.invalid(at("name"), device.name.as_str(), "must be unique");
        }
        match volumes.get(device.name.as_str()) {
            None => found.not_found(at("name"), device.name.as_str()),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                found.invalid(at("name"), device.name.as_str(), why);
            }
            Some(_) => {}
        }
        let target = device.device_path.as_str();
        if target.is_empty() {
            found.required(at("devicePath"), "");
        }
        if paths.contains(target) {
            found.invalid(at("devicePath"), target, "must be unique");
        }
        if target.split('/').any(|part| part == "..") {
            found.invalid(at("devicePath"), target, "can not contain backsteps ('..')");
        } else {
            paths.insert(target);
        }
        let mut mounts = container.volume_mounts.iter().flatten();
        if mounts.clone().any(|mount| mount.name == device.name) {
            found.invalid(at("name"), device.name.as_str(), "must not already exist in volumeMounts");
        }
        if mounts.any(|mount| mount.mount_path == target) {
            found.invalid(at("devicePath"), target, "must not already exist as a path in volumeMounts");
        }
    }
}
