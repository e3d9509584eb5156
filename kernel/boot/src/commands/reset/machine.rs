//! What a node leaves in the kernel and in the network's folders: control groups, rules, the bridge, leases.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use providers_network_cni::{CniNetwork, Settings};

use super::{Item, call, files};

/// Where control groups are: one hierarchy, or one in each folder (v1).
pub const CGROUPS: &str = "/sys/fs/cgroup";
/// The control groups of classes, below that of all pods.
const CLASSES: [&str; 2] = ["besteffort", "burstable"];

/// The control groups of our pods, and those above if nobody else has anything in them. A group with processes in it cannot
/// be removed: the kernel refuses.
pub fn cgroups(mount: &Path, pods: &str, uids: &BTreeSet<String>) -> Vec<Item> {
    let mut hierarchies = folders(mount);
    hierarchies.push(mount.to_owned());
    let mut items = Vec::new();
    for hierarchy in hierarchies {
        let root = hierarchy.join(pods.trim_start_matches('/'));
        let classes: Vec<PathBuf> = CLASSES.iter().map(|class| root.join(class)).filter(|dir| dir.is_dir()).collect();
        let mut ours = BTreeSet::new();
        for parent in classes.iter().chain([&root]) {
            let mut all = true;
            for group in folders(parent) {
                let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.strip_prefix("pod").is_some_and(|uid| uids.contains(uid)) {
                    items.push(Item::Cgroup(group));
                } else {
                    all &= ours.contains(&group);
                }
            }
            if all && parent.is_dir() {
                ours.insert(parent.clone());
                items.push(Item::Cgroup(parent.clone()));
            }
        }
    }
    items
}

/// From the inside out: what a container that is gone may have left goes with its pod's.
pub fn remove_cgroup(group: &Path) -> std::io::Result<()> {
    folders(group).iter().try_for_each(|inner| remove_cgroup(inner))?;
    fs::remove_dir(group)
}

/// The folders in a folder, without links: v1 links `cpu` to `cpu,cpuacct`.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

/// The service proxy's tables. Without the program `nft` there was never a proxy.
pub fn rules(table: &str) -> Result<Vec<Item>> {
    let listed = call("nft", &["list", "tables"]);
    let no_program = |error: &anyhow::Error| {
        let cause = error.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
    };
    match listed {
        Ok(text) => Ok(tables(&text, table)),
        Err(error) if no_program(&error) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

fn tables(text: &str, ours: &str) -> Vec<Item> {
    let table = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["table", family @ ("ip" | "ip6"), name] if name == ours => {
            Some(Item::Rules { family: family.into(), table: name.into() })
        }
        _ => None,
    };
    text.lines().filter_map(table).collect()
}

/// The bridge, the configuration that the runtime reads, and the addresses that were given out.
pub fn network(settings: Settings) -> Result<Vec<Item>> {
    let name = settings.name.clone();
    let network = CniNetwork::new(settings)?;
    let (paths, links) = network.belongings();
    let exists = |link: &String| Path::new("/sys/class/net").join(link).exists();
    let mut items: Vec<Item> = links.into_iter().filter(exists).map(Item::Link).collect();
    for path in paths.iter().filter(|path| **path != network.conflist() || is_of_network(path, &name)) {
        files::tree(path, &[], &mut items)?;
    }
    Ok(items)
}

/// The file has the same name for every cluster, and the last one that started has written it.
fn is_of_network(conflist: &Path, name: &str) -> bool {
    let text = fs::read(conflist).unwrap_or_default();
    serde_json::from_slice(&text).is_ok_and(|list: serde_json::Value| list["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_above_stay_while_others_use_them() {
        let uids = BTreeSet::from(["u1".to_owned(), "u2".to_owned()]);
        for (case, made, wanted) in [
            ("none", vec![], vec![]),
            (
                "all ours",
                vec!["kubepods/burstable/podu1/c1", "kubepods/podu2"],
                vec!["burstable/podu1", "burstable", "podu2", ""],
            ),
            (
                "another's pod beside",
                vec!["kubepods/burstable/podu1", "kubepods/besteffort/podx", "kubepods/besteffort/podu2"],
                vec!["besteffort/podu2", "burstable/podu1", "burstable"],
            ),
            ("another's alone", vec!["kubepods/podx"], vec![]),
        ] {
            for hierarchy in ["", "cpu"] {
                let temp = tempfile::tempdir().unwrap();
                let root = temp.path().join(hierarchy);
                for path in &made {
                    fs::create_dir_all(root.join(path)).unwrap();
                }
                let found: Vec<_> = cgroups(temp.path(), "/kubepods", &uids).iter().map(Item::to_string).collect();
                let line = |path: &&str| Item::Cgroup(root.join("kubepods").join(path)).to_string();
                let wanted: Vec<_> = wanted.iter().map(line).collect();
                let bare =
                    |lines: Vec<String>| lines.iter().map(|l| l.trim_end_matches('/').to_owned()).collect::<Vec<_>>();
                assert_eq!(bare(found), bare(wanted), "{case} in {hierarchy:?}");
            }
        }
    }

    #[test]
    fn only_our_tables() {
        let text = "table ip kubernel\ntable ip6 kubernel\ntable inet kubernel\ntable ip kubernel2\ntable ip nat\n";
        let found: Vec<_> = tables(text, "kubernel").iter().map(Item::to_string).collect();
        assert_eq!(found, ["rules     nftables table ip kubernel", "rules     nftables table ip6 kubernel"]);
    }

    #[test]
    fn the_configuration_of_another_cluster_stays() {
        let temp = tempfile::tempdir().unwrap();
        let settings = |name: &str| Settings {
            conf_dir: temp.path().join("net.d"),
            data_dir: temp.path().join("leases"),
            bridge: "no-such-link".into(),
            name: name.into(),
            ..Settings::default()
        };
        let conflist = CniNetwork::new(settings("a")).unwrap().conflist();
        fs::create_dir_all(conflist.parent().unwrap()).unwrap();
        fs::create_dir_all(temp.path().join("leases/b")).unwrap();
        fs::write(&conflist, r#"{"name": "a"}"#).unwrap();
        for (name, wanted) in [("a", conflist.as_path()), ("b", &temp.path().join("leases/b"))] {
            let found = network(settings(name)).unwrap();
            assert!(matches!(&found[..], [Item::File(path) | Item::Folder(path)] if path == wanted), "{name}");
        }
    }
}
