//! `subPath`: a part of a volume, mounted so that symlinks inside the volume cannot lead out of it.
//!
//! The kernel resolves the path beneath the volume (`openat2`), and what was opened is mounted by its descriptor, so that
//! whoever writes the volume cannot exchange it in between. Source: CVE-2017-1002101, CVE-2021-25741.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2};
use rustix::io::Errno;

use crate::volumes::unmount;

/// Opens `path` inside `volume`; a directory is made where nothing is.
fn open_inside(volume: &Path, path: &Path) -> Result<OwnedFd, String> {
    let told = |error: Errno| match error {
        Errno::XDEV => format!("subpath {path:?} leads out of its volume"),
        error => format!("failed to prepare subPath {path:?}: {error}"),
    };
    let parts: Vec<Component<'_>> = path.components().filter(|part| *part != Component::CurDir).collect();
    if parts.iter().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(format!("subpath {path:?} must be relative and must not contain '..'"));
    }
    let root = open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(told)?;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut walked = PathBuf::new();
    let mut at = openat(&root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(told)?;
    for part in parts {
        let name = part.as_os_str();
        walked.push(name);
        at = match openat2(&root, &walked, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside) {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                match mkdirat(&at, name, Mode::from(0o750)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(told(error)),
                }
                openat2(&root, &walked, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside).map_err(told)?
            }
            Err(error) => return Err(told(error)),
        };
    }
    Ok(at)
}

/// Mounts the part of a volume at `target`, and returns the target. One that is mounted already stays.
pub(crate) fn mount(volume: &Path, path: &Path, target: &Path) -> Result<PathBuf, String> {
    if unmount::is_mounted(target) {
        return Ok(target.into());
    }
    let found = open_inside(volume, path)?;
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let is_dir = fs::metadata(&link).map_err(|error| error.to_string())?.is_dir();
    let made = match target.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    };
    made.and_then(|()| if is_dir { fs::create_dir_all(target) } else { fs::write(target, "") })
        .map_err(|error| format!("{}: {error}", target.display()))?;
    rustix::mount::mount_bind_recursive(&link, target)
        .map_err(|error| format!("cannot mount subPath {path:?}: {error}"))?;
    Ok(target.into())
}

/// Unmounts what earlier runs of a container had mounted in `dir`, but for `keep`.
pub(crate) fn remove_others(dir: &Path, keep: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(keep) {
            continue;
        }
        let path = entry.path();
        if unmount::unmount_one(&path).is_ok() && !unmount::is_mounted(&path) {
            // What is left is the empty place it was mounted at.
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn real(fd: &OwnedFd) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
    }

    #[test]
    fn symlinks_cannot_lead_out() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let volume = root.join("volume");
        fs::create_dir_all(volume.join("..2026/sub")).unwrap();
        fs::write(volume.join("..2026/key"), "v").unwrap();
        symlink("..2026", volume.join("..data")).unwrap();
        symlink("..data/key", volume.join("key")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("../outside", volume.join("up")).unwrap();
        fs::create_dir(root.join("outside")).unwrap();
        for (path, want) in [
            ("key", Some("..2026/key")),
            ("new/deep", Some("new/deep")),
            ("new/deep/.", Some("new/deep")),
            ("absolute", None),
            ("absolute/passwd", None),
            ("up", None),
            ("up/x", None),
            ("../outside", None),
            ("/etc", None),
        ] {
            let got = open_inside(&volume, Path::new(path)).ok().map(|fd| real(&fd));
            assert_eq!(got, want.map(|want| volume.join(want)), "{path}");
        }
        assert!(!root.join("outside/x").exists());
    }
}
