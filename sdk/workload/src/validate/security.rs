//! Security contexts of pods and containers.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};

use super::{Options, one_of_if_set, shown, windows};

fn id(found: &mut Violations, path: &str, id: Option<i64>) {
    if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        found.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// A seccomp profile: its type, and a file on the node for the type `Localhost` alone.
fn seccomp(found: &mut Violations, profile: Option<&SeccompProfile>, path: &str) {
    let Some(profile) = profile else { return };
    let at = |field: &str| format!("{path}.{field}");
    match profile.type_.as_str() {
        "" => found.required(at("type"), "type is required when seccompProfile is set"),
        known if PROFILES.contains(&known) => {}
        other => found.not_supported(at("type"), other, &PROFILES),
    }
    match (&profile.localhost_profile, profile.type_ == "Localhost") {
        (None, true) => found.required(at("localhostProfile"), "must be set when seccomp type is Localhost"),
        (Some(file), true) => super::volume::descending(found, file, &at("localhostProfile")),
        (Some(_), false) => {
            let why = "can only be set when seccomp type is Localhost";
            found.invalid(at("localhostProfile"), shown(profile), why);
        }
        (None, false) => {}
    }
}

/// An AppArmor profile: its type, and the name of one that the node has loaded for the type `Localhost` alone.
fn app_armor(found: &mut Violations, profile: Option<&AppArmorProfile>, path: &str) {
    let Some(profile) = profile else { return };
    let at = |field: &str| format!("{path}.{field}");
    let local = profile.localhost_profile.as_deref();
    match profile.type_.as_str() {
        "Localhost" => match local {
            None => found.required(at("localhostProfile"), "must be set when AppArmor type is Localhost"),
            Some(name) => {
                if name.trim() != name {
                    found.invalid(at("localhostProfile"), name, "must not be padded with whitespace");
                } else if name.is_empty() {
                    found.required(at("localhostProfile"), "must be set when AppArmor type is Localhost");
                }
                if name.len() > PATH_MAX {
                    found.too_long(at("localhostProfile"), PATH_MAX);
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(name) = local {
                let why = "can only be set when AppArmor type is Localhost";
                found.invalid(at("localhostProfile"), name, why);
            }
        }
        "" => found.required(at("type"), "type is required when appArmorProfile is set"),
        other => found.not_supported(at("type"), other, &PROFILES),
    }
}

const PATH_MAX: usize = 4095;

/// Sysctls of a namespace that the pod shares with its host would be the host's.
fn of_host<'a>(name: &str, spec: &PodSpec) -> Option<&'a str> {
    let name = name.replace('/', ".");
    let ipc = ["kernel.sem", "fs.mqueue."].iter().any(|start| name.starts_with(start))
        || ["kernel.shm", "kernel.msg"].iter().any(|start| name.starts_with(start));
    match () {
        () if spec.host_network == Some(true) && name.starts_with("net.") => {
            Some("may not be specified when 'hostNetwork' is true")
        }
        () if spec.host_ipc == Some(true) && ipc => Some("may not be specified when 'hostIPC' is true"),
        () => None,
    }
}

fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = part.as_bytes();
        let middle = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(middle)
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

pub(super) fn pod(found: &mut Violations, spec: &PodSpec, path: &str, options: Options<'_>) {
    let Some(context) = &spec.security_context else { return };
    let at = |field: &str| format!("{path}.securityContext.{field}");
    id(found, &at("fsGroup"), context.fs_group);
    id(found, &at("runAsUser"), context.run_as_user);
    id(found, &at("runAsGroup"), context.run_as_group);
    for (i, group) in context.supplemental_groups.iter().flatten().enumerate() {
        id(found, &format!("{}[{i}]", at("supplementalGroups")), Some(*group));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        found.invalid(at("shareProcessNamespace"), true, why);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = format!("{}[{i}].name", at("sysctls"));
        if sysctl.name.is_empty() {
            found.required(&path, "");
        } else if !is_sysctl(&sysctl.name) {
            let why = "must have at most 253 characters and match regex \
                ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            found.invalid(&path, sysctl.name.as_str(), why);
        } else if seen.contains(sysctl.name.as_str()) {
            found.duplicate(&path, sysctl.name.as_str());
        }
        if let Some(why) = of_host(&sysctl.name, spec).filter(|_| !options.stored) {
            found.invalid(path, sysctl.name.as_str(), why);
        }
        seen.insert(sysctl.name.as_str());
    }
    let policy = context.fs_group_change_policy.as_deref();
    one_of_if_set(found, &at("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    seccomp(found, context.seccomp_profile.as_ref(), &at("seccompProfile"));
    windows::options(found, context.windows_options.as_ref(), &at("windowsOptions"));
    app_armor(found, context.app_armor_profile.as_ref(), &at("appArmorProfile"));
    let policy = context.supplemental_groups_policy.as_deref();
    one_of_if_set(found, &at("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    let policy = context.se_linux_change_policy.as_deref();
    one_of_if_set(found, &at("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
}

pub(super) fn container(found: &mut Violations, context: Option<&SecurityContext>, spec: &PodSpec, path: &str) {
    let Some(context) = context else { return };
    let at = |field: &str| format!("{path}.{field}");
    id(found, &at("runAsUser"), context.run_as_user);
    id(found, &at("runAsGroup"), context.run_as_group);
    one_of_if_set(found, &at("procMount"), context.proc_mount.as_deref(), &["Default", "Unmasked"]);
    if context.proc_mount.as_deref() == Some("Unmasked") && spec.host_users != Some(false) {
        found.invalid(at("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(found, context.seccomp_profile.as_ref(), &at("seccompProfile"));
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            found.invalid(path, shown(context), why);
        }
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            found.invalid(path, shown(context), why);
        }
    }
    windows::options(found, context.windows_options.as_ref(), &at("windowsOptions"));
    app_armor(found, context.app_armor_profile.as_ref(), &at("appArmorProfile"));
}
