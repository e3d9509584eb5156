//! What containerd tells about its own configuration, beyond the contract.

use std::path::PathBuf;

use serde_json::Value;

/// Where the runtime looks for network configurations, and what it makes sandboxes of.
///
/// Every field may be absent: CRI leaves the words to the runtime, and containerd changes them between versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeInfo {
    pub cni_conf_dir: Option<PathBuf>,
    pub cni_bin_dirs: Vec<PathBuf>,
    pub sandbox_image: Option<String>,
    pub snapshotter: Option<String>,
    /// containerd's `SystemdCgroup`: whether cgroup parents are slices of systemd.
    pub systemd_cgroup: Option<bool>,
}

impl RuntimeInfo {
    /// From the JSON under the key `config` of a verbose CRI status.
    pub fn parse(config: &str) -> Self {
        let config: Value = serde_json::from_str(config).unwrap_or_default();
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let runtime = text("/containerd/defaultRuntimeName").unwrap_or("runc");
        // containerd 1 has one `binDir`, 2 has `binDirs`.
        let mut bin_dirs: Vec<PathBuf> = text("/cni/binDir").map(PathBuf::from).into_iter().collect();
        if let Some(more) = config.pointer("/cni/binDirs").and_then(Value::as_array) {
            bin_dirs.extend(more.iter().filter_map(Value::as_str).map(PathBuf::from));
        }
        Self {
            cni_conf_dir: text("/cni/confDir").map(PathBuf::from),
            cni_bin_dirs: bin_dirs,
            sandbox_image: text("/sandboxImage").map(str::to_owned),
            snapshotter: text("/containerd/snapshotter").map(str::to_owned),
            systemd_cgroup: config
                .pointer(&format!("/containerd/runtimes/{runtime}/options/SystemdCgroup"))
                .and_then(Value::as_bool),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_there() {
        let full = r#"{"containerd":{"snapshotter":"overlayfs","defaultRuntimeName":"runc",
            "runtimes":{"runc":{"options":{"SystemdCgroup":true}}}},
            "cni":{"binDir":"/usr/lib/cni","confDir":"/etc/cni/net.d"},"sandboxImage":"pause:1"}"#;
        for (case, config, want) in [
            ("nothing", "", RuntimeInfo::default()),
            ("not an object", "[1]", RuntimeInfo::default()),
            ("wrong types", r#"{"cni":{"confDir":7,"binDirs":[1]}}"#, RuntimeInfo::default()),
            (
                "containerd 1.6",
                full,
                RuntimeInfo {
                    cni_conf_dir: Some("/etc/cni/net.d".into()),
                    cni_bin_dirs: vec!["/usr/lib/cni".into()],
                    sandbox_image: Some("pause:1".into()),
                    snapshotter: Some("overlayfs".into()),
                    systemd_cgroup: Some(true),
                },
            ),
            (
                "containerd 2",
                r#"{"cni":{"binDirs":["/a","/b"]}}"#,
                RuntimeInfo { cni_bin_dirs: vec!["/a".into(), "/b".into()], ..Default::default() },
            ),
        ] {
            assert_eq!(RuntimeInfo::parse(config), want, "{case}");
        }
    }
}
