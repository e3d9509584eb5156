//! What the machine is: its kernel, its system, its identifiers, its size.

use std::fs;
use std::path::Path;

use crate::settings::Capacity;

/// Facts about a machine that do not change while it is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
    /// `linux`
    pub operating_system: String,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: String,
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn architecture() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
    .into()
}

impl Machine {
    /// Reads the machine this runs on. What it does not tell stays empty.
    pub fn read() -> Self {
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let machine_id = line("/etc/machine-id");
        let system_uuid = line("/sys/class/dmi/id/product_uuid");
        Self {
            system_uuid: if system_uuid.is_empty() { machine_id.clone() } else { system_uuid },
            machine_id,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel_version: line("/proc/sys/kernel/osrelease"),
            os_image: pretty_name(&os),
            operating_system: std::env::consts::OS.into(),
            architecture: architecture(),
        }
    }

    /// A machine that does not exist.
    pub fn simulated() -> Self {
        Self {
            kernel_version: "simulated".into(),
            os_image: "Kubernel simulated node".into(),
            operating_system: "linux".into(),
            architecture: architecture(),
            ..Self::default()
        }
    }

    /// What this machine has; the disk is the one that `dir`, or the nearest directory above it, is on.
    pub fn capacity(dir: &Path) -> Capacity {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
        let mut dir = Some(dir);
        while let Some(missing) = dir.filter(|dir| !dir.exists()) {
            dir = missing.parent();
        }
        let disk = dir.and_then(|dir| rustix::fs::statvfs(dir).ok()).map(|stat| stat.f_blocks * stat.f_frsize);
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Capacity {
            cpu_milli: i64::try_from(cpus).unwrap_or(i64::MAX / 1000) * 1000,
            memory_bytes: signed(memory.unwrap_or(0)),
            ephemeral_bytes: signed(disk.unwrap_or(0)),
            pods: 110,
        }
    }
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `PRETTY_NAME` of `os-release(5)`.
fn pretty_name(os_release: &str) -> String {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    value.map_or_else(|| "Linux".into(), |value| value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_of_itself() {
        let machine = Machine::read();
        assert!(!machine.kernel_version.is_empty() && !machine.boot_id.is_empty(), "{machine:?}");
        let capacity = Machine::capacity(Path::new("/tmp/not/there/yet"));
        assert!(
            capacity.cpu_milli >= 1000 && capacity.memory_bytes > 0 && capacity.ephemeral_bytes > 0,
            "{capacity:?}"
        );
        assert_eq!(
            pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(pretty_name(""), "Linux");
    }
}
