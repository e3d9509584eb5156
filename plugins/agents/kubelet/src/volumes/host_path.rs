//! `hostPath`: a path of the node, checked or made as its type says.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The path, once it is what `kind` asks for.
///
/// Source: Kubernetes documentation, "Volumes: hostPath volume types".
pub(crate) async fn check(path: &str, kind: &str) -> Result<PathBuf, String> {
    let (path, kind) = (PathBuf::from(path), kind.to_owned());
    tokio::task::spawn_blocking(move || check_now(&path, &kind).map(|()| path))
        .await
        .map_err(|error| error.to_string())?
}

fn check_now(path: &Path, kind: &str) -> Result<(), String> {
    let shown = path.display();
    if path.components().any(|part| part == std::path::Component::ParentDir) || !path.is_absolute() {
        return Err(format!("hostPath {shown:?} must be absolute and must not contain '..'"));
    }
    let meta = fs::metadata(path);
    match kind {
        "DirectoryOrCreate" if meta.is_err() => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            return made.map_err(|error| format!("{shown}: {error}"));
        }
        "FileOrCreate" if meta.is_err() => {
            let made = fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path);
            return made.map(drop).map_err(|error| format!("{shown}: {error}"));
        }
        _ => {}
    }
    if kind.is_empty() {
        // Unchecked; but a container cannot mount nothing, so a missing directory is made, as the runtimes do.
        if meta.is_err() {
            fs::create_dir_all(path).map_err(|error| format!("{shown}: {error}"))?;
        }
        return Ok(());
    }
    let found = meta.map(|meta| meta.file_type());
    let (what, fits) = match kind {
        "Directory" | "DirectoryOrCreate" => ("a directory", found.is_ok_and(|kind| kind.is_dir())),
        "File" | "FileOrCreate" => ("a file", found.is_ok_and(|kind| kind.is_file())),
        "Socket" => ("a socket file", found.is_ok_and(|kind| kind.is_socket())),
        "CharDevice" => ("a character device", found.is_ok_and(|kind| kind.is_char_device())),
        "BlockDevice" => ("a block device", found.is_ok_and(|kind| kind.is_block_device())),
        other => return Err(format!("{other:?} is an invalid volume type")),
    };
    if fits { Ok(()) } else { Err(format!("hostPath type check failed: {shown} is not {what}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let socket = temp.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (name, kind, fits) in [
            ("file", "File", true),
            ("file", "Directory", false),
            ("file", "FileOrCreate", true),
            ("", "Directory", true),
            ("socket", "Socket", true),
            ("socket", "File", false),
            ("none", "File", false),
            ("none", "Directory", false),
            ("made/deep", "DirectoryOrCreate", true),
            ("made/deep", "Directory", true),
            ("made/file", "FileOrCreate", true),
            ("made/file", "File", true),
            ("any", "", true),
            ("x/../y", "", false),
            ("file", "Strange", false),
        ] {
            assert_eq!(check_now(&temp.path().join(name), kind).is_ok(), fits, "{name} {kind}");
        }
        assert!(check_now(Path::new("/dev/null"), "CharDevice").is_ok());
        assert!(check_now(Path::new("relative"), "").is_err());
    }
}
