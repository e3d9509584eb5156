//! The kubectls of this machine.

use std::path::{Path, PathBuf};

/// Every kubectl that can be found, by version (`1.27`); the one on the path stands under `default`.
///
/// Other versions are looked for beside it as `kubectl.1.27` and the like, and in the folders of `KERNEL_CLIENTS`.
pub fn all() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let default = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file());
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(default) = default {
        if let Some(folder) = std::fs::canonicalize(&default).ok().as_deref().and_then(Path::parent) {
            folders.push(folder.to_owned());
        }
        found.push(("default".to_owned(), default));
    }
    folders.extend(std::env::split_paths(&std::env::var_os("KERNEL_CLIENTS").unwrap_or_default()));
    for folder in folders {
        let mut versions: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.strip_prefix("kubectl.")?.to_owned();
                Some((version, entry.path()))
            })
            .collect();
        versions.sort();
        found.extend(versions);
    }
    found
}
