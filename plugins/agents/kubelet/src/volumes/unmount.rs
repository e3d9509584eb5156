//! Takes a pod's volumes down: unmounts what is mounted below its directory, then removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

/// Parts of a pod's directory that hold volumes.
const PARTS: [&str; 2] = ["volume-subpaths", "volumes"];

/// Mount points at or below a directory, the innermost first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = points(&table).filter(|point| point.starts_with(dir)).collect();
    found.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    found
}

/// The mount points of a `mountinfo` table. Source: `proc(5)`; blanks are written in octal.
fn points(table: &str) -> impl Iterator<Item = PathBuf> + '_ {
    let unescape =
        |text: &str| text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    table.lines().filter_map(move |line| line.split(' ').nth(4).map(|point| PathBuf::from(unescape(point))))
}

pub(crate) fn is_mounted(dir: &Path) -> bool {
    mounts_below(dir).iter().any(|point| point == dir)
}

/// Unmounts one path; one that is no mount point is fine.
pub(crate) fn unmount_one(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        // Still in use by a process that is about to end: it goes away with its last user.
        Err(rustix::io::Errno::BUSY) => {
            unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).map_err(io::Error::from)
        }
        Err(error) => Err(error.into()),
    }
}

/// Nothing is removed while something is still mounted: a bind mount leads to data that is not the pod's.
pub(crate) fn tear_down(pod_dir: &Path) -> Result<(), String> {
    for part in PARTS.map(|part| pod_dir.join(part)) {
        if !part.exists() {
            continue;
        }
        for point in mounts_below(&part) {
            unmount_one(&point).map_err(|error| format!("cannot unmount {}: {error}", point.display()))?;
        }
        if let Some(point) = mounts_below(&part).first() {
            return Err(format!("{} is still mounted", point.display()));
        }
        fs::remove_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_tables_are_read() {
        let table = "36 35 98:0 /mnt1 /mnt/with\\040blank rw,noatime master:1 - ext3 /dev/root rw\n22 1 0:5 / / rw - ext4 x y\n";
        assert_eq!(points(table).collect::<Vec<_>>(), [PathBuf::from("/mnt/with blank"), PathBuf::from("/")]);
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
    }

    #[test]
    fn volumes_go_and_the_rest_stays() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("volumes/kubernetes.io~empty-dir/a")).unwrap();
        fs::write(temp.path().join("etc-hosts"), "").unwrap();
        tear_down(temp.path()).unwrap();
        tear_down(temp.path()).unwrap();
        assert!(!temp.path().join("volumes").exists() && temp.path().join("etc-hosts").exists());
    }
}
