//! Makes an image archive from busybox and some files: a root file system, one layer, no daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Error;
use super::archive::{CONTAINERD_NAME, OCI_NAME, full_name};

/// What a sandbox waits with: it ends on SIGTERM at once and reaps what its namespace leaves behind.
pub const PAUSE_SCRIPT: &str = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait; done";

/// An image in the making. The same calls give the same bytes: no time and no owner of this machine is in it.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    name: String,
    entries: BTreeMap<PathBuf, Node>,
    config: BTreeMap<&'static str, Value>,
    env: Vec<String>,
}

#[derive(Clone, Debug)]
enum Node {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { to: PathBuf },
}

impl ImageBuilder {
    /// An image with nothing in it.
    pub fn empty(name: &str) -> Self {
        Self { name: full_name(name), entries: BTreeMap::new(), config: BTreeMap::new(), env: Vec::new() }
    }

    /// An image with the node's static busybox under `/bin`, a link for each applet, users root and 1000, and `/tmp`.
    pub fn busybox(name: &str) -> Result<Self, Error> {
        let program = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"]
            .into_iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or_else(|| Error::Busybox { reason: "no /bin/busybox".to_owned() })?;
        let content = std::fs::read(program).map_err(|source| Error::Read { path: program.to_owned(), source })?;
        let listed = Command::new(program)
            .arg("--list")
            .output()
            .map_err(|error| Error::Busybox { reason: format!("{} --list: {error}", program.display()) })?;
        let mut image = Self::empty(name)
            .file("bin/busybox", 0o755, content)
            .folder("tmp", 0o1777)
            .file("etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n")
            .file("etc/group", 0o644, "root:x:0:\nweb:x:1000:\n")
            .env("PATH", "/usr/bin:/bin");
        for folder in ["dev", "proc", "sys", "usr/bin", "var"] {
            image = image.folder(folder, 0o755);
        }
        for applet in String::from_utf8_lossy(&listed.stdout).lines().filter(|applet| *applet != "busybox") {
            image = image.link(format!("bin/{applet}"), "busybox");
        }
        Ok(image)
    }

    /// The sandbox image: busybox that waits.
    pub fn pause(name: &str) -> Result<Self, Error> {
        Ok(Self::busybox(name)?.entrypoint(["/bin/sh", "-c", PAUSE_SCRIPT]))
    }

    /// Adds a file; the folders above it come by themselves.
    pub fn file(mut self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.entries.insert(inside(path.as_ref()), Node::File { mode, content: content.into() });
        self
    }

    /// Adds a folder.
    pub fn folder(mut self, path: impl AsRef<Path>, mode: u32) -> Self {
        self.entries.insert(inside(path.as_ref()), Node::Folder { mode });
        self
    }

    /// Adds a symbolic link.
    pub fn link(mut self, path: impl AsRef<Path>, to: impl Into<PathBuf>) -> Self {
        self.entries.insert(inside(path.as_ref()), Node::Link { to: to.into() });
        self
    }

    pub fn entrypoint<I: IntoIterator<Item = S>, S: Into<String>>(self, command: I) -> Self {
        self.set("Entrypoint", strings(command))
    }

    pub fn cmd<I: IntoIterator<Item = S>, S: Into<String>>(self, command: I) -> Self {
        self.set("Cmd", strings(command))
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// `USER`, `UID` or `UID:GID`.
    pub fn user(self, user: &str) -> Self {
        self.set("User", user.into())
    }

    pub fn working_dir(self, path: &str) -> Self {
        self.set("WorkingDir", path.into())
    }

    /// Such as `SIGINT`.
    pub fn stop_signal(self, signal: &str) -> Self {
        self.set("StopSignal", signal.into())
    }

    fn set(mut self, key: &'static str, value: Value) -> Self {
        self.config.insert(key, value);
        self
    }

    /// The image's full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the archive, an OCI layout in a tar file.
    pub fn write(&self, out: impl Write) -> Result<(), Error> {
        self.write_layout(out).map_err(|source| Error::Write { source })
    }

    /// Writes the archive to a file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let file = std::fs::File::create(path).map_err(|source| Error::Write { source })?;
        self.write(std::io::BufWriter::new(file))
    }

    fn write_layout(&self, out: impl Write) -> std::io::Result<()> {
        let layer = self.layer()?;
        let diff = digest(&layer);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&layer)?;
        let layer = Blob::new(gzip.finish()?, "application/vnd.oci.image.layer.v1.tar+gzip");

        let mut settings = json!(self.config);
        settings["Env"] = json!(self.env);
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        });
        let config = Blob::new(config.to_string().into_bytes(), "application/vnd.oci.image.config.v1+json");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = Blob::new(manifest.to_string().into_bytes(), "application/vnd.oci.image.manifest.v1+json");
        let mut named = manifest.descriptor();
        named["platform"] = json!({"architecture": architecture(), "os": "linux"});
        // containerd takes the whole name from its own annotation, other tools from the standard one.
        named["annotations"] = json!({CONTAINERD_NAME: self.name, OCI_NAME: self.name});
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [named],
        });

        let mut tar = tar::Builder::new(out);
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", index.to_string().as_bytes())?;
        for blob in [&manifest, &config, &layer] {
            append(&mut tar, &format!("blobs/sha256/{}", blob.digest.trim_start_matches("sha256:")), &blob.content)?;
        }
        tar.into_inner()?.flush()
    }

    fn layer(&self) -> std::io::Result<Vec<u8>> {
        let mut nodes = self.entries.clone();
        let parents: BTreeSet<PathBuf> =
            nodes.keys().flat_map(|path| path.ancestors().skip(1)).map(PathBuf::from).collect();
        for parent in parents.into_iter().filter(|parent| !parent.as_os_str().is_empty()) {
            nodes.entry(parent).or_insert(Node::Folder { mode: 0o755 });
        }
        let mut tar = tar::Builder::new(Vec::new());
        for (path, node) in &nodes {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match node {
                Node::Folder { mode } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    tar.append_data(&mut header, path, std::io::empty())?;
                }
                Node::File { mode, content } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                Node::Link { to } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        tar.into_inner()
    }
}

struct Blob {
    content: Vec<u8>,
    digest: String,
    media_type: &'static str,
}

impl Blob {
    fn new(content: Vec<u8>, media_type: &'static str) -> Self {
        Self { digest: digest(&content), content, media_type }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.content.len()})
    }
}

fn digest(content: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(content) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, content: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, path, content)
}

/// A path relative to the image's root.
fn inside(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect()
}

fn strings<I: IntoIterator<Item = S>, S: Into<String>>(list: I) -> Value {
    list.into_iter().map(|text| Value::String(text.into())).collect()
}

/// This machine's architecture in the words of Go, which OCI uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive::{Format, inspect};
    use super::*;

    fn image() -> ImageBuilder {
        ImageBuilder::empty("kubernel.local/a:1")
            .file("/usr/share/x/file", 0o640, "text")
            .link("bin/sh", "busybox")
            .entrypoint(["/bin/sh"])
            .cmd(["-c", "true"])
            .user("1000:1000")
            .env("A", "b")
    }

    #[test]
    fn the_same_calls_give_the_same_bytes_and_a_readable_archive() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        image().write(&mut first).expect("an archive");
        image().write(&mut second).expect("an archive");
        assert!(first == second);
        let file = tempfile::NamedTempFile::new().expect("a file");
        image().save(file.path()).expect("an archive");
        let summary = inspect(file.path()).expect("an image");
        assert_eq!(
            (summary.format, summary.gzip, summary.names),
            (Format::Oci, false, vec!["kubernel.local/a:1".into()])
        );
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let layer = image().layer().expect("a layer");
        let mut tar = tar::Archive::new(layer.as_slice());
        let got: Vec<_> = tar
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let mode = entry.header().mode().expect("a mode");
                (entry.path().expect("a path").display().to_string(), mode, entry.size())
            })
            .collect();
        let want = [
            ("bin", 0o755, 0),
            ("bin/sh", 0o777, 0),
            ("usr", 0o755, 0),
            ("usr/share", 0o755, 0),
            ("usr/share/x", 0o755, 0),
            ("usr/share/x/file", 0o640, 4),
        ];
        assert_eq!(got, want.map(|(path, mode, size)| (path.to_owned(), mode, size)));
    }

    #[test]
    fn no_path_leaves_the_image() {
        for (path, want) in [("/etc/x", "etc/x"), ("../../etc/x", "etc/x"), ("./a/../b", "a/b")] {
            assert_eq!(inside(Path::new(path)), Path::new(want));
        }
    }
}
