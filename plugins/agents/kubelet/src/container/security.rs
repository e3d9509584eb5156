//! What a container may do: its own security context over its pod's.

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};
use sdk_plugin::node::SecurityOptions;

use crate::container::image;

/// Hidden from containers without `procMount: Unmasked`. Source: the OCI defaults of containerd and Docker.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn seccomp(profile: Option<&SeccompProfile>) -> String {
    match profile {
        Some(profile) => match profile.type_.as_str() {
            "Localhost" => format!("Localhost:{}", profile.localhost_profile.as_deref().unwrap_or_default()),
            other => other.into(),
        },
        None => String::new(),
    }
}

/// Groups besides the main one: the pod's, and the owner of its volumes.
pub(crate) fn groups(of_pod: Option<&PodSecurityContext>) -> Vec<i64> {
    let Some(context) = of_pod else { return vec![] };
    let mut groups = context.supplemental_groups.clone().unwrap_or_default();
    groups.extend(context.fs_group.filter(|group| !groups.contains(group)));
    groups
}

/// The rights of a container; the error is what `CreateContainerConfigError` says.
pub(crate) fn options(pod: &Pod, container: &Container, image: &image::Ready) -> Result<SecurityOptions, String> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let default = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&default);
    let user = own.run_as_user.or(of_pod.and_then(|pod| pod.run_as_user));
    let non_root = own.run_as_non_root.or(of_pod.and_then(|pod| pod.run_as_non_root)).unwrap_or(false);
    if non_root {
        check_non_root(pod, container, user, image)?;
    }
    let privileged = own.privileged.unwrap_or(false);
    let unmasked = privileged || own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |list: &[&str]| if unmasked { vec![] } else { list.iter().map(|path| (*path).to_owned()).collect() };
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let profile = own.seccomp_profile.as_ref().or(of_pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    Ok(SecurityOptions {
        privileged,
        run_as_user: user.or(image.uid),
        run_as_group: own.run_as_group.or(of_pod.and_then(|pod| pod.run_as_group)),
        run_as_username: if user.or(image.uid).is_none() { image.username.clone() } else { String::new() },
        supplemental_groups: groups(of_pod),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        seccomp: if privileged { String::new() } else { seccomp(profile) },
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READONLY),
    })
}

fn check_non_root(pod: &Pod, container: &Container, user: Option<i64>, image: &image::Ready) -> Result<(), String> {
    let meta = &pod.metadata;
    let about = format!(
        "(pod: \"{}_{}({})\", container: {})",
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default(),
        container.name
    );
    match (user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {about}")),
        (Some(_), _) => Ok(()),
        (None, None) if !image.username.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {about}",
            image.username
        )),
        // An image that names no user runs as root.
        (None, Some(0) | None) => Err(format!("container has runAsNonRoot and image will run as root {about}")),
        (None, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::test_support::pod;

    fn of(of_pod: Value, own: Value, image: &image::Ready) -> Result<SecurityOptions, String> {
        let pod = pod(json!({"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]}));
        options(&pod, &pod.spec.as_ref().unwrap().containers[0], image)
    }

    #[test]
    fn the_containers_own_context_wins() {
        let image = image::Ready { uid: Some(101), ..image::Ready::default() };
        let got = of(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
                "seccompProfile": {"type": "RuntimeDefault"}}),
            json!({"runAsUser": 5, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}),
            &image,
        )
        .unwrap();
        assert_eq!((got.run_as_user, got.run_as_group, got.supplemental_groups), (Some(5), Some(2), vec![4, 3]));
        assert_eq!((got.seccomp.as_str(), got.no_new_privs), ("RuntimeDefault", true));
        assert_eq!(got.drop_capabilities, ["ALL"]);
        assert!(got.masked_paths.contains(&"/proc/kcore".to_owned()));
        let privileged = of(json!({}), json!({"privileged": true}), &image).unwrap();
        assert_eq!((privileged.run_as_user, privileged.masked_paths.len()), (Some(101), 0));
    }

    #[test]
    fn non_root_is_verified() {
        let image =
            |uid: Option<i64>, username: &str| image::Ready { uid, username: username.into(), ..Default::default() };
        for (case, own, image, wrong) in [
            ("root image", json!({}), image(Some(0), ""), "image will run as root (pod: \"p_ns(uid)\", container: c)"),
            ("no user", json!({}), image(None, ""), "image will run as root"),
            ("other user", json!({}), image(Some(5), ""), ""),
            ("named user", json!({}), image(None, "nginx"), "non-numeric user (nginx)"),
            ("asked for root", json!({"runAsUser": 0}), image(Some(5), ""), "breaks non-root policy"),
            ("asked for another", json!({"runAsUser": 7}), image(Some(0), ""), ""),
        ] {
            let got = of(json!({"runAsNonRoot": true}), own, &image).map_or_else(|error| error, |_| String::new());
            assert!(if wrong.is_empty() { got.is_empty() } else { got.contains(wrong) }, "{case}: {got}");
        }
    }
}
