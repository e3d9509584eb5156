//! What a pod's operating system does not have.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext};

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

/// Refuses fields that mean nothing on the system that `spec.os` names. Source: API reference, "PodOS".
pub(super) fn os(found: &mut Violations, spec: &PodSpec, path: &str) {
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        None => {}
        Some("") => found.required(format!("{path}.os.name"), "cannot be empty"),
        Some("linux") => linux(found, spec, path),
        Some("windows") => windows(found, spec, path),
        Some(other) => found.not_supported(format!("{path}.os"), other, &["linux", "windows"]),
    }
}

/// The security contexts of all containers, with their paths.
fn contexts<'a>(spec: &'a PodSpec, path: &'a str) -> impl Iterator<Item = (String, &'a SecurityContext)> {
    each_context(spec, path).filter_map(|(path, context)| Some((format!("{path}.securityContext"), context?)))
}

/// All containers of all sorts, with their paths and security contexts.
pub(super) fn each_context<'a>(
    spec: &'a PodSpec,
    path: &'a str,
) -> impl Iterator<Item = (String, Option<&'a SecurityContext>)> {
    let plain = |list: &'static str, containers: &'a [Container]| {
        containers
            .iter()
            .enumerate()
            .map(move |(i, container)| (format!("{path}.{list}[{i}]"), container.security_context.as_ref()))
    };
    let ephemeral = spec.ephemeral_containers.iter().flatten().enumerate();
    let ephemeral =
        ephemeral.map(move |(i, c)| (format!("{path}.ephemeralContainers[{i}]"), c.security_context.as_ref()));
    plain("initContainers", spec.init_containers.as_deref().unwrap_or_default())
        .chain(plain("containers", &spec.containers))
        .chain(ephemeral)
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
    let context = spec.security_context.clone().unwrap_or_default();
    let of_pod = [
        ("securityContext.appArmorProfile", context.app_armor_profile.is_some()),
        ("securityContext.seLinuxOptions", context.se_linux_options.is_some()),
        ("hostUsers", spec.host_users.is_some()),
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("securityContext.seccompProfile", context.seccomp_profile.is_some()),
        ("securityContext.fsGroup", context.fs_group.is_some()),
        ("securityContext.fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        ("securityContext.sysctls", context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
        ("shareProcessNamespace", spec.share_process_namespace.is_some()),
        ("securityContext.runAsUser", context.run_as_user.is_some()),
        ("securityContext.runAsGroup", context.run_as_group.is_some()),
        ("securityContext.supplementalGroups", context.supplemental_groups.is_some()),
        ("securityContext.supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        ("securityContext.seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
    ];
    refuse(path, &of_pod);
    for (path, context) in contexts(spec, path) {
        let of_container = [
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
            ("seccompProfile", context.seccomp_profile.is_some()),
            ("capabilities", context.capabilities.is_some()),
            ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
            ("privileged", context.privileged.is_some()),
            ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
            ("procMount", context.proc_mount.is_some()),
            ("runAsUser", context.run_as_user.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
        ];
        refuse(&path, &of_container);
    }
}
