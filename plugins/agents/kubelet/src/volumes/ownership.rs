//! Who owns the files of a volume: `fsGroup`, and the one user that all containers run as.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use sdk_api::k8s_openapi::api::core::v1::Pod;

/// The group that a pod's volumes belong to.
pub(crate) fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The user of all containers, if they agree on one.
pub(crate) fn only_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let own = |c: &sdk_api::k8s_openapi::api::core::v1::Container| {
        c.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
    };
    let mut users = containers.map(own);
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

/// Gives a tree to a group: it may read (and write, unless `readonly`), and new files inherit it.
///
/// Source: `pkg/volume/volume_linux.go`, `SetVolumeOwnership`.
pub(crate) fn give(path: &Path, group: u32, readonly: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if meta.file_type().is_symlink() {
        return Ok(());
    }
    let mut mode = meta.permissions().mode() | if readonly { 0o440 } else { 0o660 };
    if meta.is_dir() {
        mode |= 0o2110;
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group, readonly)?;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::test_support::pod;

    #[test]
    fn one_user_for_all_or_none() {
        let user = |user: Option<i64>| json!({"name": "c", "securityContext": {"runAsUser": user}});
        for (case, spec, want) in [
            ("nobody says", json!({"containers": [user(None)]}), None),
            (
                "the pod says",
                json!({"securityContext": {"runAsUser": 5}, "containers": [user(None), user(Some(5))]}),
                Some(5),
            ),
            ("they differ", json!({"containers": [user(Some(5)), user(Some(6))]}), None),
            ("one is silent", json!({"containers": [user(Some(5)), user(None)]}), None),
        ] {
            assert_eq!(only_user(&pod(spec)), want, "{case}");
        }
    }

    #[test]
    fn groups_get_the_tree() {
        let temp = tempfile::tempdir().unwrap();
        let own = {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(temp.path()).unwrap().gid()
        };
        let file = temp.path().join("f");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        give(temp.path(), own, true).unwrap();
        assert_eq!((mode(&file), mode(temp.path()) & 0o2110), (0o640, 0o2110));
        give(temp.path(), own, false).unwrap();
        assert_eq!(mode(&file), 0o660);
    }
}
