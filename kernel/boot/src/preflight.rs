//! What can be known to fail before a cluster starts, told in one line with what to do, while nothing is touched yet.

use anyhow::{Result, anyhow, bail};
use providers_runtime_cri::RuntimeInfo;

use crate::data_dir::DataDir;
use crate::kubeconfig;
use crate::options::{Runtime, Up};

/// The programs that a node with real containers calls, and the Debian packages they are in.
const PROGRAMS: [(&str, &str); 2] = [("nft", "nftables"), ("conntrack", "conntrack")];

/// Looks at the flags, the data directory, the kubeconfig and, for real containers, at the machine.
pub fn check(up: &Up) -> Result<DataDir> {
    up.check().map_err(|wrong| anyhow!(wrong))?;
    let dir = DataDir::of(&up.place)?;
    if up.runtime == Runtime::Cri {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "--runtime cri needs root, to talk to the container runtime, mount volumes and write network rules: \
                 start it with sudo, or try simulated nodes with --runtime sim"
            );
        }
        if let Some((program, package)) = PROGRAMS.iter().find(|(program, _)| !is_on_path(program)) {
            bail!("the program {program} is not on the PATH: install the package {package}, or run ./setup packages");
        }
    }
    dir.check()?;
    match &up.kubeconfig {
        Some(path) => kubeconfig::check(path)?,
        None => kubeconfig::check(&kubeconfig::default_path()?)?,
    }
    Ok(dir)
}

/// Refuses a runtime whose cgroup parents are slices of systemd: the node's are plain folders.
pub fn check_runtime(info: &RuntimeInfo, endpoint: &str) -> Result<()> {
    if info.systemd_cgroup == Some(true) {
        bail!(
            "the container runtime on {endpoint} uses the systemd cgroup driver: set SystemdCgroup = false in its \
             configuration (mostly /etc/containerd/config.toml) and restart it, or start another one beside it with \
             ./setup --socket PATH and name that with --runtime-endpoint"
        );
    }
    Ok(())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_with_the_wrong_driver_is_refused() {
        for (systemd_cgroup, refused) in [(None, false), (Some(false), false), (Some(true), true)] {
            let info = RuntimeInfo { systemd_cgroup, ..RuntimeInfo::default() };
            assert_eq!(check_runtime(&info, "/run/c.sock").is_err(), refused, "{systemd_cgroup:?}");
        }
        assert!(is_on_path("sh") && !is_on_path("no-such-program"));
    }
}
