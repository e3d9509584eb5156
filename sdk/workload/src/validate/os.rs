//! What a pod's operating system does not have.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{PodSpec, SecurityContext};

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

/// Refuses fields that mean nothing on the system that `spec.os` names. Source: API reference, "PodOS".
pub(super) fn os(found: &mut Violations, spec: &PodSpec, path: &str) {
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        Some("linux") => linux(found, spec, path),
        Some("windows") => windows(found, spec, path),
        _ => {}
    }
}

/// The security contexts of all containers, with their paths.
fn contexts<'a>(spec: &'a PodSpec, path: &'a str) -> impl Iterator<Item = (String, &'a SecurityContext)> {
    let lists =
        [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers)];
    lists.into_iter().flat_map(move |(list, containers)| {
        containers.iter().enumerate().filter_map(move |(i, container)| {
            let context = container.security_context.as_ref()?;
            Some((format!("{path}.{list}[{i}].securityContext"), context))
        })
    })
}

fn linux(found: &mut Violations, spec: &PodSpec, path: &str) {
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        found.forbidden(format!("{path}.securityContext.windowsOptions"), NOT_ON_LINUX);
    }
    for (path, _) in contexts(spec, path).filter(|(_, context)| context.windows_options.is_some()) {
        found.forbidden(format!("{path}.windowsOptions"), NOT_ON_LINUX);
    }
}

fn windows(found: &mut Violations, spec: &PodSpec, path: &str) {
    let mut refuse = |path: &str, fields: &[(&str, bool)]| {
        for (field, _) in fields.iter().filter(|(_, set)| *set) {
            found.forbidden(format!("{path}.{field}"), NOT_ON_WINDOWS);
        }
    };
    let of_host = [
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("shareProcessNamespace", spec.share_process_namespace.is_some()),
        ("hostUsers", spec.host_users.is_some()),
    ];
    refuse(path, &of_host);
    if let Some(context) = &spec.security_context {
        let of_pod = [
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("fsGroup", context.fs_group.is_some()),
            ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
            ("runAsUser", context.run_as_user.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
            ("seccompProfile", context.seccomp_profile.is_some()),
            ("supplementalGroups", context.supplemental_groups.is_some()),
            ("sysctls", context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
        ];
        refuse(&format!("{path}.securityContext"), &of_pod);
    }
    for (path, context) in contexts(spec, path) {
        let of_container = [
            ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("capabilities", context.capabilities.is_some()),
            ("privileged", context.privileged.is_some()),
            ("procMount", context.proc_mount.is_some()),
            ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
            ("runAsUser", context.run_as_user.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
            ("seccompProfile", context.seccomp_profile.is_some()),
        ];
        refuse(&path, &of_container);
    }
}
