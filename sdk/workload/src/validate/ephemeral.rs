//! Ephemeral containers: the same fields as a container, few of which may be set.

use std::collections::BTreeSet;

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec};

use super::Options;
use super::container::{Volumes, common};

macro_rules! same_fields {
    ($from:expr => $to:ident { $($more:tt)* }) => {
        $to {
            args: $from.args,
            command: $from.command,
            env: $from.env,
            env_from: $from.env_from,
            image: $from.image,
            image_pull_policy: $from.image_pull_policy,
            lifecycle: $from.lifecycle,
            liveness_probe: $from.liveness_probe,
            name: $from.name,
            ports: $from.ports,
            readiness_probe: $from.readiness_probe,
            resize_policy: $from.resize_policy,
            resources: $from.resources,
            restart_policy: $from.restart_policy,
            restart_policy_rules: $from.restart_policy_rules,
            security_context: $from.security_context,
            startup_probe: $from.startup_probe,
            stdin: $from.stdin,
            stdin_once: $from.stdin_once,
            termination_message_path: $from.termination_message_path,
            termination_message_policy: $from.termination_message_policy,
            tty: $from.tty,
            volume_devices: $from.volume_devices,
            volume_mounts: $from.volume_mounts,
            working_dir: $from.working_dir,
            $($more)*
        }
    };
}

/// The same as a container.
pub(crate) fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let ephemeral = ephemeral.clone();
    same_fields!(ephemeral => Container {})
}

pub(crate) fn from_container(container: Container, target: Option<String>) -> EphemeralContainer {
    same_fields!(container => EphemeralContainer { target_container_name: target, })
}

pub(super) fn ephemeral_containers(
    found: &mut Violations,
    spec: &PodSpec,
    volumes: &Volumes<'_>,
    path: &str,
    options: Options<'_>,
) {
    let others = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut seen: BTreeSet<&str> = others.map(|container| container.name.as_str()).collect();
    for (i, ephemeral) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        common(found, &as_container(ephemeral), spec, volumes, &path, options);
        if !seen.insert(&ephemeral.name) {
            found.duplicate(format!("{path}.name"), ephemeral.name.as_str());
        }
        if let Some(target) = ephemeral.target_container_name.as_deref().filter(|target| !target.is_empty()) {
            let mut known = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            if !known.any(|container| container.name == target) {
                found.not_found(format!("{path}.targetContainerName"), target);
            }
        }
        let resources = ephemeral.resources.as_ref();
        for (field, set) in [
            ("ports", ephemeral.ports.as_ref().is_some_and(|ports| !ports.is_empty())),
            ("resources", resources.is_some_and(|r| r.limits.is_some() || r.requests.is_some() || r.claims.is_some())),
            ("resizePolicy", ephemeral.resize_policy.as_ref().is_some_and(|policy| !policy.is_empty())),
            ("restartPolicy", ephemeral.restart_policy.is_some()),
            ("restartPolicyRules", ephemeral.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())),
            ("livenessProbe", ephemeral.liveness_probe.is_some()),
            ("readinessProbe", ephemeral.readiness_probe.is_some()),
            ("startupProbe", ephemeral.startup_probe.is_some()),
            ("lifecycle", ephemeral.lifecycle.is_some()),
        ] {
            if set {
                found.forbidden(format!("{path}.{field}"), "cannot be set for an Ephemeral Container");
            }
        }
        for (n, mount) in ephemeral.volume_mounts.iter().flatten().enumerate() {
            for (field, set) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
                if set.as_deref().is_some_and(|path| !path.is_empty()) {
                    let why = "cannot be set for an Ephemeral Container";
                    found.forbidden(format!("{path}.volumeMounts[{n}].{field}"), why);
                }
            }
        }
    }
}
