//! Why a store cannot be opened, each with what to do, and what opening one found.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has the directory.
    #[error(
        "the data directory {} is in use{}: stop that one first (`kubernel down`), or choose another directory with \
         --data-dir", dir.display(), .holder.as_ref().map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    InUse { dir: PathBuf, holder: Option<String> },
    /// Written by a later version of this program.
    #[error(
        "{} is of data format {found}, and this version reads formats up to {supported}: start the version of kubernel \
         that wrote it, or choose another directory with --data-dir", file.display()
    )]
    Newer { file: PathBuf, found: u32, supported: u32 },
    /// A file is not as it was written, and going on would lose acknowledged writes.
    #[error(
        "{} is damaged at byte {offset}: {why}; restore the data directory from a backup, or choose another directory \
         with --data-dir", file.display()
    )]
    Corrupt { file: PathBuf, offset: u64, why: String },
    /// A file that acknowledged writes are in is not there.
    #[error("{} is missing: restore the data directory from a backup, or choose another directory with --data-dir",
        file.display())]
    Missing { file: PathBuf },
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, why: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, why: why.into() }
    }
}

/// What opening a store found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The revision that reads show.
    pub revision: u64,
    /// The oldest revision that can still be read or watched from.
    pub floor: u64,
    /// How many objects there are.
    pub objects: usize,
    /// The revision of the checkpoint that was loaded, if there was one.
    pub checkpoint: Option<u64>,
    /// How many writes were replayed from the log.
    pub replayed: usize,
    /// The end of the log that a crash left half written, now cut off. No write in it was ever acknowledged.
    pub torn: Option<Torn>,
    /// Checkpoints that could not be read, with the reason. An older one and the log took their place.
    pub skipped: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A half written end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub file: PathBuf,
    /// Where the log was cut.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    pub why: String,
}
