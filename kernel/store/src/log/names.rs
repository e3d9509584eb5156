//! The names of the files in a data directory.

use std::path::{Path, PathBuf};

use super::frame::FileKind;

pub(crate) const FORMAT_FILE: &str = "FORMAT";
pub(crate) const LOCK_FILE: &str = "lock";
/// Files in the making; whatever has this ending at a start is left over.
pub(crate) const UNFINISHED: &str = ".tmp";

/// A file by its kind and number, named so that an ordinary listing shows the order.
pub(crate) fn name(kind: FileKind, number: u64) -> String {
    match kind {
        FileKind::Segment => format!("log-{number:020}"),
        FileKind::Checkpoint => format!("checkpoint-{number:020}"),
    }
}

pub(crate) fn path(dir: &Path, kind: FileKind, number: u64) -> PathBuf {
    dir.join(name(kind, number))
}

/// Back from a name.
pub(crate) fn parse(text: &str) -> Option<(FileKind, u64)> {
    let (kind, digits) = match text.split_once('-')? {
        ("log", digits) => (FileKind::Segment, digits),
        ("checkpoint", digits) => (FileKind::Checkpoint, digits),
        _ => return None,
    };
    let number = digits.parse().ok()?;
    (name(kind, number) == text).then_some((kind, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_left_alone() {
        for (kind, number) in [(FileKind::Segment, 1), (FileKind::Checkpoint, u64::MAX)] {
            assert_eq!(parse(&name(kind, number)), Some((kind, number)));
        }
        for other in ["FORMAT", "lock", "log-1", "log-00000000000000000001.tmp", "log-", "notes.txt"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
