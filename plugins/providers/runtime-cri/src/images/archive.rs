//! What an image archive holds: its format and the names of its images.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::Error;

/// The annotation from which containerd takes a whole name.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The standard annotation; a whole name or only a tag.
pub const OCI_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest `index.json` or `manifest.json` that is read: 4 MiB.
const TABLE_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An OCI image layout.
    Oci,
    /// What `docker save` writes.
    Docker,
}

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub format: Format,
    pub gzip: bool,
    /// Full names with tags, each once, in the archive's order.
    pub names: Vec<String>,
    /// The OCI index with containerd's annotation added, if the archive has none and containerd would make up names.
    pub(super) named_index: Option<Vec<u8>>,
}

/// Looks into an archive, which may be compressed by gzip.
pub fn inspect(path: &Path) -> Result<Summary, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let malformed = |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned() };
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let gzip = starts_with_gzip(&mut file).map_err(read)?;
    let tables = if gzip {
        Tables::collect(tar::Archive::new(GzDecoder::new(file)).entries().map_err(read)?)
    } else {
        Tables::collect(tar::Archive::new(file).entries_with_seek().map_err(read)?)
    };
    let tables = tables.map_err(|error| malformed(&format!("it cannot be read as a tar file ({error})")))?;

    // As containerd: an archive that is both, as newer docker versions write it, is taken as OCI.
    let (format, names, named_index) = if let (true, Some(index)) = (tables.oci_layout, &tables.index) {
        let mut index = json(index).ok_or_else(|| malformed("its index.json is not JSON"))?;
        let (names, added) = oci_names(&mut index);
        (Format::Oci, names, added.then(|| index.to_string().into_bytes()))
    } else if let Some(manifest) = &tables.manifest {
        let manifest = json(manifest).ok_or_else(|| malformed("its manifest.json is not JSON"))?;
        (Format::Docker, docker_names(&manifest), None)
    } else {
        return Err(Error::NotAnImage { path: path.to_owned() });
    };
    if names.is_empty() {
        return Err(Error::Nameless { path: path.to_owned() });
    }
    Ok(Summary { format, gzip, names, named_index })
}

/// Copies an archive, uncompressed, to `out`; with another `index.json` if one is given.
pub(super) fn copy(path: &Path, summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut plain: Box<dyn Read> = if summary.gzip {
        Box::new(GzDecoder::new(file))
    } else {
        file.seek(SeekFrom::Start(0))?;
        Box::new(file)
    };
    let Some(index) = &summary.named_index else { return std::io::copy(&mut plain, out).map(drop) };
    let mut archive = tar::Archive::new(plain);
    let mut copy = tar::Builder::new(out);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        let path = entry.path()?.into_owned();
        if name_of(&path) == Some("index.json") {
            header.set_size(index.len() as u64);
            copy.append_data(&mut header, &path, index.as_slice())?;
        } else if header.entry_type().is_file() {
            copy.append_data(&mut header, &path, &mut entry)?;
        } else {
            header.set_size(0);
            match entry.link_name()?.map(|link| link.into_owned()) {
                Some(link) => copy.append_link(&mut header, &path, link)?,
                None => copy.append_data(&mut header, &path, std::io::empty())?,
            }
        }
    }
    copy.into_inner()?.flush()
}

/// The files of an archive that name its images.
#[derive(Default)]
struct Tables {
    oci_layout: bool,
    index: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
}

impl Tables {
    fn collect<R: Read>(entries: tar::Entries<'_, R>) -> std::io::Result<Self> {
        let mut tables = Self::default();
        for entry in entries {
            let entry = entry?;
            let path = entry.path()?.into_owned();
            match name_of(&path) {
                Some("oci-layout") => tables.oci_layout = true,
                Some("index.json") => tables.index = Some(bounded(entry)?),
                Some("manifest.json") => tables.manifest = Some(bounded(entry)?),
                _ => {}
            }
        }
        Ok(tables)
    }
}

/// The name of a file at the archive's root.
fn name_of(path: &Path) -> Option<&str> {
    path.strip_prefix("./").unwrap_or(path).to_str()
}

fn bounded(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TABLE_BYTES_MAX {
        return Err(std::io::Error::other("a table of more than 4 MiB"));
    }
    Ok(bytes)
}

fn starts_with_gzip(file: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let mut magic = [0; 2];
    let got = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(got == 2 && magic == [0x1f, 0x8b])
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// The names of an index, and whether containerd's annotation had to be added for one of them.
fn oci_names(index: &mut Value) -> (Vec<String>, bool) {
    let mut names = Vec::new();
    let mut added = false;
    let Some(manifests) = index.get_mut("manifests").and_then(Value::as_array_mut) else { return (names, false) };
    for manifest in manifests {
        let Some(annotations) = manifest.get_mut("annotations").and_then(Value::as_object_mut) else { continue };
        let text = |key: &str| annotations.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = match (text(CONTAINERD_NAME), text(OCI_NAME)) {
            (Some(name), _) => name,
            // Only a tag is no name; containerd would put today's date before it.
            (None, Some(name)) if name.contains(['/', ':']) => {
                let name = full_name(&name);
                annotations.insert(CONTAINERD_NAME.to_owned(), name.clone().into());
                added = true;
                name
            }
            _ => continue,
        };
        push(&mut names, name);
    }
    (names, added)
}

fn docker_names(manifest: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for image in manifest.as_array().into_iter().flatten() {
        for tag in image.get("RepoTags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            push(&mut names, full_name(tag));
        }
    }
    names
}

fn push(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}

/// A short name in full, as docker and containerd read it: `web` is `docker.io/library/web:latest`.
pub fn full_name(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let tagged = path.contains(':') || path.contains('@');
    if tagged { format!("{host}/{path}") } else { format!("{host}/{path}:latest") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn archive(files: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut tar = tar::Builder::new(file.reopen().expect("the file"));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).expect("an entry");
        }
        tar.finish().expect("an archive");
        file
    }

    #[test]
    fn names_in_full() {
        for (name, want) in [
            ("web", "docker.io/library/web:latest"),
            ("web:1", "docker.io/library/web:1"),
            ("team/web:1", "docker.io/team/web:1"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/web:1", "localhost:5000/web:1"),
            ("kubernel.local/web:1", "kubernel.local/web:1"),
            ("example.com/a/b@sha256:00", "example.com/a/b@sha256:00"),
        ] {
            assert_eq!(full_name(name), want, "{name}");
        }
    }

    #[test]
    fn what_archives_hold() {
        let oci = |annotations: Value| json!({"manifests": [{"digest": "d", "annotations": annotations}]}).to_string();
        let named = oci(json!({CONTAINERD_NAME: "x.io/a:1", OCI_NAME: "1"}));
        let standard = oci(json!({OCI_NAME: "a:1"}));
        let tag_only = oci(json!({OCI_NAME: "1"}));
        let docker = json!([{"RepoTags": ["a:1", "b:2"]}, {"RepoTags": null}]).to_string();
        for (case, files, want) in [
            (
                "containerd's name",
                vec![("oci-layout", "{}"), ("index.json", &*named)],
                Ok((Format::Oci, "x.io/a:1", false)),
            ),
            (
                "the standard name",
                vec![("./oci-layout", "{}"), ("./index.json", &standard)],
                Ok((Format::Oci, "docker.io/library/a:1", true)),
            ),
            ("only a tag", vec![("oci-layout", "{}"), ("index.json", &tag_only)], Err("no full names")),
            (
                "docker",
                vec![("manifest.json", &docker)],
                Ok((Format::Docker, "docker.io/library/a:1 docker.io/library/b:2", false)),
            ),
            (
                "both",
                vec![("manifest.json", &docker), ("oci-layout", "{}"), ("index.json", &named)],
                Ok((Format::Oci, "x.io/a:1", false)),
            ),
            ("neither", vec![("file", "x")], Err("neither with an oci-layout")),
            ("broken", vec![("manifest.json", "{")], Err("is not JSON")),
        ] {
            let file = archive(&files);
            match (inspect(file.path()), want) {
                (Ok(summary), Ok((format, names, renamed))) => {
                    assert_eq!(summary.format, format, "{case}");
                    assert_eq!(summary.names.join(" "), names, "{case}");
                    assert_eq!(summary.named_index.is_some(), renamed, "{case}");
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{case}: {error}"),
                (got, want) => panic!("{case}: {got:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_archive() {
        let text = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(text.path(), "a".repeat(2000)).expect("text");
        assert!(matches!(inspect(text.path()), Err(Error::Malformed { .. })), "text");
        let empty = tempfile::NamedTempFile::new().expect("a file");
        assert!(matches!(inspect(empty.path()), Err(Error::NotAnImage { .. })), "empty");
        assert!(matches!(inspect(Path::new("/nowhere/at/all")), Err(Error::Read { .. })), "missing");
    }

    #[test]
    fn a_copy_gets_the_names() {
        let index = json!({"manifests": [{"digest": "d", "annotations": {OCI_NAME: "a:1"}}]}).to_string();
        let file = archive(&[("oci-layout", "{}"), ("index.json", &index), ("blobs/sha256/d", "content")]);
        let summary = inspect(file.path()).expect("an image");
        let copied = tempfile::NamedTempFile::new().expect("a file");
        copy(file.path(), &summary, &mut copied.reopen().expect("the file")).expect("a copy");
        let again = inspect(copied.path()).expect("an image");
        assert_eq!(again.names, ["docker.io/library/a:1"]);
        assert!(again.named_index.is_none());
        let mut tar = tar::Archive::new(copied.reopen().expect("the file"));
        let sizes: Vec<_> = tar.entries().expect("entries").map(|entry| entry.expect("an entry").size()).collect();
        assert_eq!(sizes[2], 7);
    }
}
