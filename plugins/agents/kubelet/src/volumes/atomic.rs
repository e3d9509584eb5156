//! Writes the files of a volume so that readers see all of the old or all of the new.
//!
//! The files live in a directory with a timestamp; `..data` is a symlink to it, and each visible name a symlink into
//! `..data`. An update writes a new directory and renames a new `..data` over the old one.
//! Source: `pkg/volume/util/atomic_writer.go`, whose layout applications have come to know.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sdk_api::Timestamp;

use crate::volumes::ownership;
use crate::volumes::payload::Payload;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes `dir` show the payload. True if anything had to change.
pub(crate) fn write(dir: &Path, payload: &Payload, fs_group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    let old = current(dir)?;
    if let Some(old) = &old
        && is_same(old, payload)?
    {
        return Ok(false);
    }
    let new = make_dir(dir, now)?;
    for (path, file) in payload {
        let target = new.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.data)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
        if file.owner.is_some() {
            std::os::unix::fs::chown(&target, file.owner, None)?;
        }
    }
    if let Some(group) = fs_group {
        ownership::give(&new, group, true)?;
    }
    let new_name = new.file_name().map(PathBuf::from).unwrap_or_default();
    match fs::remove_file(dir.join(DATA_NEW)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&new_name, dir.join(DATA_NEW))?;
    fs::rename(dir.join(DATA_NEW), dir.join(DATA))?;
    show(dir, payload)?;
    remove_old(dir, &new_name)?;
    Ok(true)
}

/// The directory that `..data` points to.
fn current(dir: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(dir.join(DATA)) {
        Ok(target) => Ok(Some(dir.join(target))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same(old: &Path, payload: &Payload) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    if collect(old, Path::new(""), &mut found).is_err() {
        // Half of an older directory: write anew.
        return Ok(false);
    }
    if found.len() != payload.len() {
        return Ok(false);
    }
    for (path, file) in payload {
        let path = old.join(path);
        match fs::read(&path) {
            Ok(data) if data == file.data => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        // A group may have been given more rights than the file says, never fewer.
        if fs::metadata(&path)?.permissions().mode() & file.mode != file.mode {
            return Ok(false);
        }
    }
    Ok(true)
}

fn collect(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn make_dir(dir: &Path, now: Timestamp) -> io::Result<PathBuf> {
    for salt in 0u32.. {
        let name = format!("..{}.{salt}", now.strftime("%Y_%m_%d_%H_%M_%S.%9f"));
        match fs::create_dir(dir.join(&name)) {
            Ok(()) => {
                fs::set_permissions(dir.join(&name), fs::Permissions::from_mode(0o755))?;
                return Ok(dir.join(name));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Shows the first part of every path as a symlink into `..data`, and nothing else.
fn show(dir: &Path, payload: &Payload) -> io::Result<()> {
    let names: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = entry.file_type()?.is_symlink()
            && fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(DATA).join(&name));
        if is_ours && !name.to_str().is_some_and(|name| names.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_old(dir: &Path, new: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_old = entry.file_name().to_str().is_some_and(|name| name.starts_with("..2"));
        if is_old && entry.file_type()?.is_dir() && entry.file_name() != new.as_os_str() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::payload::File;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |text: &str| File { data: text.into(), mode: 0o640, owner: None };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn visible(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..2")).collect();
        names.sort();
        names
    }

    #[test]
    fn updates_swap_all_files_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(write(dir, &payload(&[("a", "1"), ("d/x", "2"), ("d/y", "3")]), None, now).unwrap());
        assert_eq!(visible(dir), ["..data", "a", "d"]);
        assert_eq!(fs::read_to_string(dir.join("d/y")).unwrap(), "3");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!write(dir, &payload(&[("a", "1"), ("d/x", "2"), ("d/y", "3")]), None, now).unwrap(), "the same again");

        let held = fs::File::open(dir.join("a")).unwrap();
        assert!(write(dir, &payload(&[("a", "9"), ("b", "4")]), None, now).unwrap(), "in the same second");
        assert_eq!(visible(dir), ["..data", "a", "b"]);
        assert_eq!(io::read_to_string(held).unwrap(), "1", "an open file keeps its contents");
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "9");
        let dirs = fs::read_dir(dir).unwrap().filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir()).count();
        assert_eq!(dirs, 1, "the old directory is gone");
        assert!(write(dir, &Payload::new(), None, now).unwrap());
        assert_eq!(visible(dir), ["..data"]);
    }

    #[test]
    fn what_a_crash_left_behind_is_no_obstacle() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        symlink("..2020_gone", dir.join(DATA)).unwrap();
        symlink("nowhere", dir.join(DATA_NEW)).unwrap();
        fs::create_dir(dir.join("..2019_half")).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(write(dir, &payload(&[("a", "1")]), None, now).unwrap());
        assert_eq!(
            (visible(dir), fs::read_to_string(dir.join("a")).unwrap()),
            (vec!["..data".into(), "a".into()], "1".into())
        );
        assert!(!dir.join("..2019_half").exists());
    }
}
