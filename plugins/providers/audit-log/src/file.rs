//! The file, and its predecessors: when it has grown, it is renamed with the time and a new one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sdk_api::Timestamp;

/// When a file is full, and how many full ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// In bytes, 100 MiB by default. 0 never rotates.
    pub file_bytes_max: u64,
    /// 10 by default. 0 keeps all.
    pub kept_files_max: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { file_bytes_max: 100 << 20, kept_files_max: 10 }
    }
}

/// An open log.
pub struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    rotation: Rotation,
}

impl LogFile {
    /// Opens or makes the file, readable by its owner alone.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, rotation })
    }

    /// Writes whole lines. They stay in one file, so a file may be larger than its limit by one batch.
    pub fn write(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        let limit = self.rotation.file_bytes_max;
        if limit > 0 && self.bytes > 0 && self.bytes.saturating_add(lines.len() as u64) > limit {
            self.rotate(now)?;
        }
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// What was written is on the disk afterwards.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let (stem, extension) = self.names();
        let stamp = now.strftime("%Y-%m-%dT%H-%M-%S.%6f");
        // Two rotations in one microsecond take different names, since a rename would replace the first.
        let names = (0..).map(|n| match n {
            0 => format!("{stem}-{stamp}{extension}"),
            n => format!("{stem}-{stamp}.{n}{extension}"),
        });
        let free = names.map(|name| self.path.with_file_name(name)).find(|path| !path.exists());
        if let Some(free) = free {
            fs::rename(&self.path, free)?;
        }
        *self = Self::open(&self.path, self.rotation)?;
        self.drop_oldest()
    }

    fn names(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
        let extension = text(self.path.extension()).map(|extension| format!(".{extension}")).unwrap_or_default();
        (text(self.path.file_stem()).unwrap_or_default(), extension)
    }

    fn drop_oldest(&self) -> io::Result<()> {
        let (stem, extension) = self.names();
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut kept: Vec<_> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                // A year follows, so that the log of a neighbour of a longer name is left alone.
                let dated = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.as_bytes().first());
                dated.is_some_and(u8::is_ascii_digit) && name.ends_with(&extension)
            })
            .collect();
        kept.sort();
        let limit = self.rotation.kept_files_max;
        let excess = if limit == 0 { 0 } else { kept.len().saturating_sub(limit) };
        kept[..excess].iter().try_for_each(fs::remove_file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn full_files_are_put_aside_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("audit-other.log"), "mine").unwrap();
        let path = folder.path().join("audit.log");
        let mut log = LogFile::open(&path, Rotation { file_bytes_max: 10, kept_files_max: 2 }).unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (line, files_after) in [
            ("12345\n", vec!["audit-other.log", "audit.log"]),
            ("abcdef\n", vec!["audit-2026-01-01T00-00-00.000000.log", "audit-other.log", "audit.log"]),
            (
                "a line longer than a file\n",
                vec![
                    "audit-2026-01-01T00-00-00.000000.1.log",
                    "audit-2026-01-01T00-00-00.000000.log",
                    "audit-other.log",
                    "audit.log",
                ],
            ),
        ] {
            log.write(line.as_bytes(), now).unwrap();
            assert_eq!(files(folder.path()), files_after);
        }
        let later: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        log.write(b"x\n", later).unwrap();
        assert_eq!(files(folder.path()).len(), 4);
        assert!(files(folder.path()).contains(&"audit-2026-01-02T00-00-00.000000.log".to_owned()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_existing_file_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/audit.log");
        for line in ["one\n", "two\n"] {
            let mut log = LogFile::open(&path, Rotation::default()).unwrap();
            log.write(line.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
            log.sync().unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
