//! Containers and init containers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, Volume, VolumeMount};
use sdk_api::{Violations, names};

use super::{each_invalid, env, handler, one_of, one_of_if_set, resources, security, volume};
use crate::requests::is_sidecar;

/// The volumes of a pod by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn containers(found: &mut Violations, spec: &PodSpec, volumes: &Volumes<'_>, path: &str) {
    if spec.containers.is_empty() {
        found.required(path, "");
    }
    let mut seen = BTreeSet::new();
    for (i, container) in spec.containers.iter().enumerate() {
        let path = format!("{path}[{i}]");
        common(found, container, spec, volumes, &path);
        unique_name(found, &container.name, &mut seen, &path);
        handler::lifecycle(found, container.lifecycle.as_ref(), spec, &format!("{path}.lifecycle"));
        handler::probes(found, container, spec, &path);
        restart(found, container, &path);
    }
    host_ports(found, &spec.containers, path);
}

pub(super) fn init_containers(found: &mut Violations, spec: &PodSpec, volumes: &Volumes<'_>, path: &str) {
    let mut seen: BTreeSet<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (i, container) in init.iter().enumerate() {
        let path = format!("{path}[{i}]");
        common(found, container, spec, volumes, &path);
        unique_name(found, &container.name, &mut seen, &path);
        restart(found, container, &path);
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
    host_ports(found, init, path);
}

fn unique_name<'a>(found: &mut Violations, name: &'a str, seen: &mut BTreeSet<&'a str>, path: &str) {
    if !name.is_empty() && !seen.insert(name) {
        found.duplicate(format!("{path}.name"), name);
    }
}

/// What holds for containers of every sort.
pub(super) fn common(found: &mut Violations, c: &Container, spec: &PodSpec, volumes: &Volumes<'_>, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    if c.name.is_empty() {
        found.required(at("name"), "");
    } else {
        each_invalid(found, &at("name"), &c.name, names::dns1123_label(&c.name));
    }
    let image = c.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        found.required(at("image"), "");
    } else if image.trim() != image {
        found.invalid(at("image"), image, "must not have leading or trailing whitespace");
    }
    let policies = ["FallbackToLogsOnError", "File"];
    one_of(found, &at("terminationMessagePolicy"), c.termination_message_policy.as_deref(), &policies);
    ports(found, c.ports.as_deref().unwrap_or_default(), spec, &at("ports"));
    env::variables(found, c.env.as_deref().unwrap_or_default(), volumes, &at("env"));
    env::sources(found, c.env_from.as_deref().unwrap_or_default(), &at("envFrom"));
    mounts(found, c, volumes, &at("volumeMounts"));
    devices(found, c, volumes, &at("volumeDevices"));
    one_of(found, &at("imagePullPolicy"), c.image_pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"]);
    resources::requirements(found, c.resources.as_ref(), spec, &at("resources"));
    let mut seen = BTreeSet::new();
    for (i, policy) in c.resize_policy.iter().flatten().enumerate() {
        let path = format!("{}[{i}]", at("resizePolicy"));
        one_of(found, &format!("{path}.resourceName"), Some(&policy.resource_name), &["cpu", "memory"]);
        let restart = ["NotRequired", "RestartContainer"];
        one_of(found, &format!("{path}.restartPolicy"), Some(&policy.restart_policy), &restart);
        if !seen.insert(&policy.resource_name) {
            found.duplicate(&path, policy.resource_name.as_str());
        }
    }
    security::container(found, c.security_context.as_ref(), spec, &at("securityContext"));
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
        found.required(format!("{path}.restartPolicy"), why);
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

fn ports(found: &mut Violations, ports: &[ContainerPort], spec: &PodSpec, path: &str) {
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
            if spec.host_network == Some(true) && host != port.container_port {
                let why = "must match `hostPort` when `hostNetwork` is true";
                found.invalid(at("containerPort"), port.container_port, why);
            }
        }
        one_of(found, &at("protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]);
        if let Some(ip) = port.host_ip.as_deref().filter(|ip| !ip.is_empty() && ip.parse::<IpAddr>().is_err()) {
            found.invalid(at("hostIP"), ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
    }
}

fn host_ports(found: &mut Violations, containers: &[Container], path: &str) {
    let mut taken = BTreeSet::new();
    for (c, container) in containers.iter().enumerate() {
        for (i, port) in container.ports.iter().flatten().enumerate() {
            let Some(number) = port.host_port.filter(|port| *port != 0) else { continue };
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let wanted = format!("{}/{}/{number}", text(&port.protocol), text(&port.host_ip));
            if !taken.insert(wanted.clone()) {
                found.duplicate(format!("{path}[{c}].ports[{i}].hostPort"), wanted);
            }
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
        sub_paths(found, mount, &format!("{path}[{i}]"));
        propagation(found, mount, container, &format!("{path}[{i}]"));
    }
}

fn sub_paths(found: &mut Violations, mount: &VolumeMount, path: &str) {
    let filled = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let sub_path = filled(&mount.sub_path);
    if let Some(sub) = &sub_path {
        volume::descending(found, sub, &format!("{path}.subPath"));
    }
    if let Some(expression) = filled(&mount.sub_path_expr) {
        let path = format!("{path}.subPathExpr");
        if sub_path.is_some() {
            found.invalid(&path, expression.as_str(), "subPathExpr and subPath are mutually exclusive");
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
        if !seen.insert(&device.name) {
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
        if device.device_path.is_empty() {
            found.required(at("devicePath"), "");
        } else if !paths.insert(&device.device_path) {
            found.invalid(at("devicePath"), device.device_path.as_str(), "must be unique");
        }
        volume::no_backsteps(found, &device.device_path, &at("devicePath"));
    }
}
