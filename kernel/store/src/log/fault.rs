//! `FaultDisk`: a disk in memory that loses its power.
//!
//! Each file has the bytes that are durable and the writes since its last sync; each directory change waits for the
//! directory's sync. When the power goes, every waiting write is kept, lost, or torn at any byte, on its own and in
//! any order, and every waiting change of a name is kept or lost: the worst that a disk with a write cache may do.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::disk::{Disk, DiskFile};
use crate::seeded::Seeded;

/// Cloning shares the disk.
#[derive(Clone, Default)]
pub struct FaultDisk {
    shared: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// What a running system sees.
    names: BTreeMap<PathBuf, usize>,
    /// What is durable.
    durable_names: BTreeMap<PathBuf, usize>,
    renames: Vec<NameChange>,
    files: Vec<FileState>,
    locks: BTreeMap<PathBuf, Weak<()>>,
    operations: u64,
    fails_at: Option<Failure>,
    off: bool,
}

#[derive(Clone, Copy)]
enum Failure {
    /// The power goes, from this operation on.
    Power { at: u64 },
    /// This write or sync, and all later ones, fail; reads go on.
    Errors { at: u64 },
}

enum NameChange {
    Set(PathBuf, usize),
    Unset(PathBuf),
    /// Both names change together or not at all.
    Move(PathBuf, PathBuf, usize),
}

#[derive(Default)]
struct FileState {
    /// What a running system reads.
    bytes: Vec<u8>,
    durable: Vec<u8>,
    waiting: Vec<FileChange>,
}

enum FileChange {
    Write(u64, Vec<u8>),
    Size(u64),
}

impl FileChange {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => write(to, *offset, bytes),
            Self::Size(size) => to.resize(*size as usize, 0),
        }
    }
}

fn write(to: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, end) = (offset as usize, offset as usize + bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    to[from..end].copy_from_slice(bytes);
}

impl FaultDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().expect("nothing panics under this lock")
    }

    /// How many writes, syncs and changes of names there were.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Lets the power go when that many more operations were done; from then on every call fails.
    pub fn cut_power_in(&self, operations: u64) {
        let mut inner = self.inner();
        inner.fails_at = Some(Failure::Power { at: inner.operations + operations });
    }

    /// Lets every write and sync fail when that many more operations were done, as a broken or full disk does.
    pub fn break_in(&self, operations: u64) {
        let mut inner = self.inner();
        inner.fails_at = Some(Failure::Errors { at: inner.operations + operations });
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.inner().off
    }

    /// The disk as the next start finds it: what was not synced is kept, lost or torn as `seed` has it.
    ///
    /// Files that are still open go on to write to the old disk.
    pub fn reboot(&self, seed: u64) -> FaultDisk {
        let mut random = Seeded::new(seed);
        let inner = self.inner();
        let mut names = inner.durable_names.clone();
        for change in &inner.renames {
            if random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let survive = |file: &FileState, random: &mut Seeded| {
            let mut bytes = file.durable.clone();
            // Half of the failures keep everything up to one place, as a journal would; the others follow no order.
            let (ordered, upto) = (random.below(2) == 0, random.below(file.waiting.len() as u64 + 1));
            for (place, change) in file.waiting.iter().enumerate() {
                let fate = if ordered { (place as u64).cmp(&upto) as i64 + 1 } else { random.below(3) as i64 };
                match (fate, change) {
                    (0, change) => change.apply(&mut bytes),
                    (1, FileChange::Write(offset, data)) => tear(&mut bytes, *offset, data, random),
                    _ => {}
                }
            }
            FileState { durable: bytes.clone(), bytes, waiting: Vec::new() }
        };
        let files = inner.files.iter().map(|file| survive(file, &mut random)).collect();
        let after = Inner { durable_names: names.clone(), names, files, ..Inner::default() };
        FaultDisk { shared: Arc::new(Mutex::new(after)) }
    }

    /// The disk as the next process finds it on a machine that went on running: everything written is there, and what
    /// was not synced is still not durable.
    pub fn revive(&self) -> FaultDisk {
        let mut inner = self.inner();
        inner.fails_at = None;
        inner.off = false;
        drop(inner);
        self.clone()
    }

    /// Changes one byte of a file, as an old disk may.
    pub fn rot(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let file = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let state = &mut inner.files[file];
        for bytes in [&mut state.bytes, &mut state.durable] {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 0x40;
            }
        }
        Ok(())
    }
}

/// Part of a write: up to a byte, from a byte on, or some of its sectors.
fn tear(to: &mut Vec<u8>, offset: u64, data: &[u8], random: &mut Seeded) {
    const SECTOR: u64 = 512;
    let cut = random.below(data.len() as u64 + 1) as usize;
    match random.below(3) {
        0 => write(to, offset, &data[..cut]),
        1 => write(to, offset + cut as u64, &data[cut..]),
        _ => {
            let mut from = 0;
            while from < data.len() {
                let room = SECTOR - (offset + from as u64) % SECTOR;
                let end = data.len().min(from + room as usize);
                if random.below(2) == 0 {
                    write(to, offset + from as u64, &data[from..end]);
                }
                from = end;
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Set(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unset(path) => drop(names.remove(path)),
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Set(path, _) | Self::Unset(path) | Self::Move(path, _, _)) = self;
        path.parent() == Some(dir)
    }
}

impl Inner {
    /// Counts an operation that changes something, or refuses it.
    fn operate(&mut self) -> io::Result<()> {
        self.powered()?;
        self.operations += 1;
        match self.fails_at {
            Some(Failure::Power { at }) if self.operations > at => {
                self.off = true;
                self.powered()
            }
            Some(Failure::Errors { at }) if self.operations > at => Err(io::Error::other("the disk is broken")),
            _ => Ok(()),
        }
    }

    fn powered(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.inner().powered()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.powered()?;
        let inside = inner.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.operate()?;
        if let Some(file) = inner.names.get(path).copied() {
            inner.files[file].bytes.clear();
            inner.files[file].waiting.push(FileChange::Size(0));
            return Ok(Box::new(FaultFile { shared: self.shared.clone(), file }));
        }
        let file = inner.files.len();
        inner.files.push(FileState::default());
        inner.rename(NameChange::Set(path.to_owned(), file));
        Ok(Box::new(FaultFile { shared: self.shared.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.inner();
        inner.powered()?;
        let file = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultFile { shared: self.shared.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let file = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.rename(NameChange::Move(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        inner.rename(NameChange::Unset(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let (synced, waiting) = std::mem::take(&mut inner.renames).into_iter().partition(|change| change.is_in(dir));
        inner.renames = waiting;
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(&mut inner.durable_names);
        }
        Ok(())
    }

    fn lock(&self, path: &Path, _: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut inner = self.inner();
        inner.powered()?;
        if inner.locks.get(path).is_some_and(|held| held.strong_count() > 0) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let held = Arc::new(());
        inner.locks.insert(path.to_owned(), Arc::downgrade(&held));
        Ok(Box::new(held))
    }
}

struct FaultFile {
    shared: Arc<Mutex<Inner>>,
    file: usize,
}

impl FaultFile {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().expect("nothing panics under this lock")
    }

    /// A change that reaches the disk only with the next sync; the one in which the power goes may be there in part.
    fn change(&self, change: FileChange) -> io::Result<()> {
        let mut inner = self.inner();
        inner.powered()?;
        let outcome = inner.operate();
        if outcome.is_ok() || inner.off {
            let file = &mut inner.files[self.file];
            change.apply(&mut file.bytes);
            file.waiting.push(change);
        }
        outcome
    }
}

impl DiskFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        let inner = self.inner();
        inner.powered()?;
        Ok(inner.files[self.file].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inner = self.inner();
        inner.powered()?;
        let bytes = &inner.files[self.file].bytes;
        let from = bytes.len().min(offset as usize);
        let count = into.len().min(bytes.len() - from);
        into[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(FileChange::Write(offset, bytes.to_vec()))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(FileChange::Size(size))
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let file = &mut inner.files[self.file];
        file.durable.clone_from(&file.bytes);
        file.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(disk: &FaultDisk, path: &str) -> Option<String> {
        let file = disk.open(Path::new(path)).ok()?;
        let mut bytes = vec![0; file.size().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        Some(String::from_utf8(bytes).unwrap())
    }

    /// Every outcome that 64 failures have.
    fn outcomes(disk: &FaultDisk, path: &str) -> std::collections::BTreeSet<Option<String>> {
        (0..64).map(|seed| text(&disk.reboot(seed), path)).collect()
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_go() {
        let disk = FaultDisk::new();
        let file = disk.create(Path::new("d/a")).unwrap();
        file.write_at(0, b"one").unwrap();
        file.sync().unwrap();
        assert!(outcomes(&disk, "d/a").contains(&None), "a name that was not synced may be lost");
        disk.sync_dir(Path::new("d")).unwrap();
        assert_eq!(outcomes(&disk, "d/a"), [Some("one".into())].into());

        file.write_at(0, b"two").unwrap();
        let torn = outcomes(&disk, "d/a");
        for wanted in ["one", "two", "tne"] {
            assert!(torn.contains(&Some(wanted.into())), "{wanted} among {torn:?}");
        }
        assert_eq!(text(&disk, "d/a").as_deref(), Some("two"));
    }

    #[test]
    fn a_rename_happens_or_not() {
        let disk = FaultDisk::new();
        for (path, content) in [("d/a", "new"), ("d/b", "old")] {
            let file = disk.create(Path::new(path)).unwrap();
            file.write_at(0, content.as_bytes()).unwrap();
            file.sync().unwrap();
        }
        disk.sync_dir(Path::new("d")).unwrap();
        disk.rename(Path::new("d/a"), Path::new("d/b")).unwrap();
        assert_eq!(outcomes(&disk, "d/b"), [Some("new".into()), Some("old".into())].into());
        disk.sync_dir(Path::new("d")).unwrap();
        assert_eq!(outcomes(&disk, "d/b"), [Some("new".into())].into());
        assert_eq!(outcomes(&disk, "d/a"), [None].into());
    }

    #[test]
    fn without_power_nothing_works() {
        let disk = FaultDisk::new();
        disk.cut_power_in(2);
        let file = disk.create(Path::new("d/a")).unwrap();
        file.write_at(0, b"x").unwrap();
        assert!(file.sync().is_err() && disk.is_off());
        assert!(disk.open(Path::new("d/a")).is_err());
    }
}
