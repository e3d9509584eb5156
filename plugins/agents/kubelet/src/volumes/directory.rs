//! Directories that volumes live in: on disk, or in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};
use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use crate::volumes::{ownership, unmount};

fn told(path: &Path) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// An `emptyDir`: made once, kept as it is afterwards.
pub(crate) async fn empty(
    dir: PathBuf,
    source: &EmptyDirVolumeSource,
    fs_group: Option<u32>,
) -> Result<PathBuf, String> {
    let medium = source.medium.clone().unwrap_or_default();
    let size = source.size_limit.as_ref().map(Quantity::of).filter(|size| !size.is_zero());
    if medium.starts_with("HugePages") {
        return Err(format!("medium {medium:?} is not supported on this node"));
    }
    let made = tokio::task::spawn_blocking(move || {
        let is_new = !dir.exists();
        fs::create_dir_all(&dir).map_err(told(&dir))?;
        if medium == "Memory" && !unmount::is_mounted(&dir) {
            let size = size.map(|size| format!(",size={}", size.units())).unwrap_or_default();
            tmpfs(&dir, &format!("mode=0777{size}")).map_err(told(&dir))?;
        }
        if is_new {
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(told(&dir))?;
            if let Some(group) = fs_group {
                ownership::give(&dir, group, false).map_err(told(&dir))?;
            }
        }
        Ok(dir)
    });
    made.await.map_err(|error| error.to_string())?
}

/// The directory of a volume that is written by the kubelet. A secret one is kept in memory where that is allowed.
pub(crate) fn make(dir: &Path, secret: bool) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(told(dir))?;
    if secret
        && !unmount::is_mounted(dir)
        && let Err(error) = tmpfs(dir, "mode=0755,size=16m")
    {
        // Without the right to mount, as in tests, the files lie in the kubelet's own directory.
        tracing::debug!(%error, dir = %dir.display(), "Could not keep a volume in memory.");
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(told(dir))
}

fn tmpfs(dir: &Path, options: &str) -> std::io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    mount("tmpfs", dir, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
    Ok(())
}
