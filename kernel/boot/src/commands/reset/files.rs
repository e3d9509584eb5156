//! The files of the data directory, and what the kubelet mounted among them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::Item;
use crate::data_dir::{DataDir, OWN};

/// What is mounted in volumes, innermost first. Refuses other mounts in the data directory: their files are not ours.
pub fn mounts(dir: &DataDir) -> Result<Vec<Item>> {
    let all = mount_points()?;
    let kubelet = dir.kubelet();
    let within = |path: &&PathBuf| path.starts_with(&dir.root) && **path != dir.root;
    if let Some(foreign) = all.iter().filter(within).find(|path| !path.starts_with(&kubelet) || **path == kubelet) {
        bail!("{} is a mount that is not ours; unmount it first", foreign.display());
    }
    Ok(all.iter().filter(within).rev().cloned().map(Item::Mount).collect())
}

/// Unmounts, and where something still uses it, when that ends.
pub fn unmount(path: &Path) -> Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?,
        done => done?,
    }
    Ok(())
}

/// Everything of ours in the data directory, and what else lies there.
pub fn data(dir: &DataDir) -> Result<(Vec<Item>, Vec<PathBuf>)> {
    let mut items = Vec::new();
    let mut foreign = Vec::new();
    for entry in fs::read_dir(&dir.root).with_context(|| format!("cannot read {}", dir.root.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_draft(name) {
            items.push(Item::File(path));
        } else if !OWN.contains(&name) {
            foreign.push(path);
        }
    }
    let mounts = mount_points()?;
    for name in OWN {
        tree(&dir.root.join(name), &mounts, &mut items)?;
    }
    if foreign.is_empty() && !mounts.contains(&dir.root) {
        items.push(Item::Folder(dir.root.clone()));
    }
    Ok((items, foreign))
}

/// What a killed process left of a file that it was about to write: `.state.json.4711`.
fn is_draft(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, pid)| OWN.contains(&name) && pid.parse::<u32>().is_ok())
}

/// A file, or a folder after all that is in it. Links are not followed; what is not there is left out. What is in a mount
/// goes with it, or is not ours.
pub fn tree(path: &Path, mounts: &[PathBuf], items: &mut Vec<Item>) -> Result<()> {
    let failed = || format!("cannot read {}", path.display());
    let kind = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(failed),
    };
    if !kind.is_dir() {
        items.push(Item::File(path.to_owned()));
        return Ok(());
    }
    if mounts.iter().any(|mount| mount == path) {
        items.push(Item::Folder(path.to_owned()));
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()).with_context(failed)?;
    let mut inside: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    inside.sort();
    for path in inside {
        tree(&path, mounts, items)?;
    }
    items.push(Item::Folder(path.to_owned()));
    Ok(())
}

fn mount_points() -> Result<Vec<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo").context("cannot read the mounts of this machine")?;
    Ok(parse(&text))
}

/// The fifth field of each line, in which blanks and the like are octal: `\040`. Source: proc_pid_mountinfo(5).
fn parse(text: &[u8]) -> Vec<PathBuf> {
    let field = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(unescape);
    text.split(|byte| *byte == b'\n').filter_map(field).map(|path| OsString::from_vec(path).into()).collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (out.push(byte), rest = &tail[3..]).1,
            None => (out.push(*first), rest = tail).1,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_of_any_name() {
        let text = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            90 27 0:5 / /a\\040b\\134c/d\\0 rw shared:1 - tmpfs tmpfs rw\n\nshort line\n";
        assert_eq!(parse(text), [PathBuf::from("/proc"), "/a b\\c/d\\0".into()]);
    }

    #[test]
    fn what_is_not_ours_stays_and_links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (root, theirs) = (temp.path().join("data"), temp.path().join("theirs"));
        for folder in [root.join("store"), root.join("kubelet/pods"), theirs.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(theirs.join("file"), "").unwrap();
        for file in ["store/lock", "state.json", ".state.json.17", ".state.json.x", "notes\nx"] {
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(&theirs, root.join("kubelet/pods/link")).unwrap();
        let dir = DataDir { root: root.clone() };
        let (items, mut foreign) = data(&dir).unwrap();
        let lines: Vec<_> = items.iter().map(|item| item.to_string().replace(root.to_str().unwrap(), "")).collect();
        let wanted = [
            "file      /.state.json.17",
            "file      /kubelet/pods/link",
            "folder    /kubelet/pods",
            "folder    /kubelet",
            "file      /store/lock",
            "folder    /store",
            "file      /state.json",
        ];
        assert_eq!(lines, wanted);
        foreign.sort();
        assert_eq!(foreign, [root.join(".state.json.x"), root.join("notes\nx")]);
        for path in foreign {
            fs::remove_file(path).unwrap();
        }
        assert_eq!(data(&dir).unwrap().0.last().unwrap().to_string(), format!("folder    {}", root.display()));
    }
}
