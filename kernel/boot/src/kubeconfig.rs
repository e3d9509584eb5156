//! The admin's entry in a kubeconfig: merged into the user's own file, which keeps everything else it says.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel_wire::{ContentType, decode, to_yaml};
use serde_json::{Value, json};

use crate::data_dir::check_writable;
use crate::pki::{Pair, client_config_of_pem, write_private};

/// What to do about a file that cannot be used.
const ADVICE: &str = "correct it, or name another file with --kubeconfig";

/// How a client reaches the cluster.
pub struct Entry<'a> {
    /// Of the cluster, the context and, with `-admin`, the user.
    pub name: &'a str,
    pub server: String,
    pub authority: &'a str,
    pub admin: &'a Pair,
}

/// The user's kubeconfig: the first file of `KUBECONFIG`, or the default one.
pub fn default_path() -> Result<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    if let Some(first) = named.and_then(|list| std::env::split_paths(&list).find(|path| !path.as_os_str().is_empty())) {
        return Ok(first);
    }
    let home =
        std::env::home_dir().context("there is no home folder for the kubeconfig; name a file with --kubeconfig")?;
    Ok(home.join(".kube").join("config"))
}

/// Writes the entry into the file and makes its context the current one.
pub fn merge(path: &Path, entry: &Entry<'_>) -> Result<()> {
    let mut config = load(path)?;
    let user = format!("{}-admin", entry.name);
    let encoded = |text: &str| STANDARD.encode(text);
    let items = [
        (
            "clusters",
            entry.name,
            "cluster",
            json!({
                "server": entry.server, "certificate-authority-data": encoded(entry.authority),
            }),
        ),
        (
            "users",
            user.as_str(),
            "user",
            json!({
                "client-certificate-data": encoded(&entry.admin.certificate), "client-key-data": encoded(&entry.admin.key),
            }),
        ),
        ("contexts", entry.name, "context", json!({"cluster": entry.name, "user": user})),
    ];
    for (list, name, field, value) in items {
        let item = json!({"name": name, field: value});
        let list = &mut config[list];
        if !list.is_array() {
            *list = json!([]);
        }
        let list = list.as_array_mut().expect("just made an array");
        match list.iter_mut().find(|known| known["name"] == name) {
            Some(known) => *known = item,
            None => list.push(item),
        }
    }
    config["current-context"] = entry.name.into();
    save(path, &config)
}

/// Takes the entry out of the file again, and the file away if nothing else is in it. Says whether there was one.
///
/// `authority` tells our entry from another's of the same name; `None` trusts the name.
pub fn remove(path: &Path, name: &str, authority: Option<&str>) -> Result<bool> {
    if !is_in(path, name, authority)? {
        return Ok(false);
    }
    let mut config = load(path)?;
    let user = format!("{name}-admin");
    for (list, name) in [("clusters", name), ("users", user.as_str()), ("contexts", name)] {
        if let Some(list) = config.get_mut(list).and_then(Value::as_array_mut) {
            list.retain(|item| item["name"] != name);
        }
    }
    if config["current-context"] == name {
        config["current-context"] = "".into();
    }
    let mut nothing = empty();
    nothing["current-context"] = "".into();
    if config == nothing && !path.is_symlink() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    } else {
        save(path, &config)?;
    }
    Ok(true)
}

/// Whether the file has the cluster, under this authority if one is given.
pub fn is_in(path: &Path, name: &str, authority: Option<&str>) -> Result<bool> {
    let config = load(path)?;
    let mut clusters = config["clusters"].as_array().into_iter().flatten().filter(|item| item["name"] == name);
    let wanted = authority.map(|authority| STANDARD.encode(authority));
    Ok(clusters
        .any(|item| wanted.as_ref().is_none_or(|wanted| item["cluster"]["certificate-authority-data"] == **wanted)))
}

/// Whether an entry can be written, before anything is started.
pub fn check(path: &Path) -> Result<()> {
    load(path)?;
    check_writable(path, ADVICE)
}

fn empty() -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "preferences": {}, "clusters": [], "users": [], "contexts": []})
}

fn load(path: &Path) -> Result<Value> {
    match fs::read(path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(empty()),
        Ok(bytes) => {
            let config = decode(&bytes, ContentType::Yaml)
                .map_err(|error| anyhow!("{} is no kubeconfig: {error}; {ADVICE}", path.display()))?
                .value;
            if !config.is_object() {
                bail!("{} is no kubeconfig; {ADVICE}", path.display());
            }
            Ok(config)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(empty()),
        Err(error) => Err(anyhow!("cannot read {}: {error}; {ADVICE}", path.display())),
    }
}

/// The file stays where a link leads to, and its owner's, who may have called us by sudo.
fn save(path: &Path, config: &Value) -> Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let owner = fs::metadata(&path).ok().map(|known| (known.uid(), known.gid()));
    let yaml = to_yaml(config);
    write_private(&path, &String::from_utf8_lossy(&yaml))?;
    if let Some((user, group)) = owner.filter(|_| rustix::process::geteuid().is_root()) {
        chown(&path, Some(user), Some(group))
            .with_context(|| format!("cannot give {} to its owner", path.display()))?;
    }
    Ok(())
}

/// What a client needs of an entry, read back.
pub struct Access {
    pub server: String,
    pub tls: std::sync::Arc<rustls::ClientConfig>,
}

/// Reads the entry of a cluster.
pub fn access(path: &Path, name: &str) -> Result<Access> {
    let config = load(path)?;
    let find = |list: &str, name: &str, field: &str| {
        let items = config[list].as_array().into_iter().flatten();
        items.clone().find(|item| item["name"] == name).map(|item| item[field].clone())
    };
    let cluster =
        find("clusters", name, "cluster").with_context(|| format!("{} has no cluster {name:?}", path.display()))?;
    let user = find("users", &format!("{name}-admin"), "user")
        .with_context(|| format!("{} has no admin of {name:?}", path.display()))?;
    let pem = |value: &Value| -> Result<String> {
        let bytes =
            STANDARD.decode(value.as_str().unwrap_or_default()).context("the kubeconfig holds broken base64")?;
        Ok(String::from_utf8(bytes)?)
    };
    let pair = Pair { certificate: pem(&user["client-certificate-data"])?, key: pem(&user["client-key-data"])? };
    let tls = client_config_of_pem(&pair, &pem(&cluster["certificate-authority-data"])?, &["http/1.1"])?;
    Ok(Access { server: cluster["server"].as_str().unwrap_or_default().to_owned(), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_and_goes_beside_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kube").join("config");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "apiVersion: v1\nkind: Config\nextensions: [1]\nclusters:\n- name: other\n  cluster: {server: x}\ncurrent-context: other\n").unwrap();
        let pair = Pair { certificate: "c".into(), key: "k".into() };
        let entry = Entry { name: "mine", server: "https://127.0.0.1:1".into(), authority: "a", admin: &pair };
        merge(&path, &entry).unwrap();
        merge(&path, &entry).unwrap();
        let config = load(&path).unwrap();
        assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(config["extensions"], json!([1]));
        assert_eq!(config["current-context"], "mine");
        assert!(!remove(&path, "mine", Some("another authority")).unwrap());
        assert!(remove(&path, "mine", Some("a")).unwrap());
        assert!(!remove(&path, "mine", None).unwrap());
        let config = load(&path).unwrap();
        assert_eq!(config["clusters"].as_array().unwrap().len(), 1);
        assert_eq!(config["extensions"], json!([1]));
        assert_eq!(config["current-context"], "");
    }

    #[test]
    fn a_file_of_ours_alone_goes_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("config"), dir.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        fs::write(&target, "").unwrap();
        let pair = Pair { certificate: "c".into(), key: "k".into() };
        let entry = Entry { name: "mine", server: String::new(), authority: "a", admin: &pair };
        merge(&link, &entry).unwrap();
        assert!(link.is_symlink() && is_in(&target, "mine", Some("a")).unwrap());
        assert!(remove(&link, "mine", Some("a")).unwrap());
        assert!(link.is_symlink() && target.exists());
        merge(&target, &entry).unwrap();
        assert!(remove(&target, "mine", Some("a")).unwrap());
        assert!(!target.exists() && !remove(&target, "mine", Some("a")).unwrap());
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "a: [").unwrap();
        let pair = Pair { certificate: "c".into(), key: "k".into() };
        let entry = Entry { name: "mine", server: String::new(), authority: "a", admin: &pair };
        assert!(merge(&path, &entry).unwrap_err().to_string().contains("no kubeconfig"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a: [");
    }
}
