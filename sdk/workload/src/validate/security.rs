//! Security contexts of pods and containers.

use sdk_api::k8s_openapi::api::core::v1::{PodSpec, SecurityContext};
use sdk_api::{Violations, names};

use super::{each_invalid, one_of, one_of_if_set, shown};

fn id(found: &mut Violations, path: &str, id: Option<i64>) {
    if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        found.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// A seccomp or AppArmor profile: its type, and a file on the node for the type `Localhost` alone.
fn profile(found: &mut Violations, what: &str, type_: &str, local: Option<&str>, path: &str) {
    one_of(found, &format!("{path}.type"), Some(type_), &["Localhost", "RuntimeDefault", "Unconfined"]);
    let path = format!("{path}.localhostProfile");
    match local {
        None if type_ == "Localhost" => found.required(path, format!("must be set when {what} type is Localhost")),
        Some("") if type_ == "Localhost" => {
            found.required(path, format!("must be set when {what} type is Localhost"));
        }
        Some(local) if type_ != "Localhost" => {
            found.invalid(path, local, format!("can only be set when {what} type is Localhost"));
        }
        Some(local) if what == "seccomp" => super::volume::descending(found, local, &path),
        _ => {}
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

pub(super) fn pod(found: &mut Violations, spec: &PodSpec, path: &str) {
    let Some(context) = &spec.security_context else { return };
    let at = |field: &str| format!("{path}.securityContext.{field}");
    id(found, &at("fsGroup"), context.fs_group);
    id(found, &at("runAsUser"), context.run_as_user);
    id(found, &at("runAsGroup"), context.run_as_group);
    for (i, group) in context.supplemental_groups.iter().flatten().enumerate() {
        id(found, &format!("{}[{i}]", at("supplementalGroups")), Some(*group));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = format!("{}[{i}].name", at("sysctls"));
        if sysctl.name.is_empty() {
            found.required(path, "");
        } else if !is_sysctl(&sysctl.name) {
            let why = "must have at most 253 characters and match regex \
                ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            found.invalid(path, sysctl.name.as_str(), why);
        } else if !seen.insert(sysctl.name.replace('/', ".")) {
            found.duplicate(path, sysctl.name.as_str());
        }
    }
    let policy = context.fs_group_change_policy.as_deref();
    one_of_if_set(found, &at("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    let policy = context.supplemental_groups_policy.as_deref();
    one_of_if_set(found, &at("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    one_of_if_set(
        found,
        &at("seLinuxChangePolicy"),
        context.se_linux_change_policy.as_deref(),
        &["MountOption", "Recursive"],
    );
    if let Some(seccomp) = &context.seccomp_profile {
        profile(found, "seccomp", &seccomp.type_, seccomp.localhost_profile.as_deref(), &at("seccompProfile"));
    }
    if let Some(armor) = &context.app_armor_profile {
        profile(found, "AppArmor", &armor.type_, armor.localhost_profile.as_deref(), &at("appArmorProfile"));
    }
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
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            found.invalid(path, shown(context), why);
        }
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        if added.into_iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            found.invalid(path, shown(context), why);
        }
    }
    if let Some(seccomp) = &context.seccomp_profile {
        profile(found, "seccomp", &seccomp.type_, seccomp.localhost_profile.as_deref(), &at("seccompProfile"));
    }
    if let Some(armor) = &context.app_armor_profile {
        profile(found, "AppArmor", &armor.type_, armor.localhost_profile.as_deref(), &at("appArmorProfile"));
    }
    if let Some(windows) = &context.windows_options
        && let Some(name) = &windows.gmsa_credential_spec_name
    {
        each_invalid(found, &at("windowsOptions.gmsaCredentialSpecName"), name, names::dns1123_subdomain(name));
    }
}
