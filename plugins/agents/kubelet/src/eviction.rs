//! When a node is under pressure: `--eviction-hard`, of which the conditions are served; nothing is evicted yet.

use std::str::FromStr;

use sdk_api::Quantity;

/// Below these the node is under pressure and takes no further pods; zero never is. The defaults are upstream's.
/// Source: Kubernetes documentation, "Node-pressure Eviction", hard eviction thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionHard {
    /// `memory.available`, in bytes. 100 MiB.
    pub memory_bytes: u64,
    /// `nodefs.available`, in percent of the file system. 10.
    pub disk_percent: u64,
    /// `nodefs.inodesFree`, in percent. 5.
    pub inodes_percent: u64,
}

impl Default for EvictionHard {
    fn default() -> Self {
        Self { memory_bytes: 100 << 20, disk_percent: 10, inodes_percent: 5 }
    }
}

impl FromStr for EvictionHard {
    type Err = String;

    /// As upstream's flag: `memory.available<100Mi,nodefs.available<10%`. A signal that is not named is not looked at.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut hard = Self { memory_bytes: 0, disk_percent: 0, inodes_percent: 0 };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (signal, value) = part.split_once('<').ok_or_else(|| format!("{part:?} must be SIGNAL<VALUE"))?;
            match signal {
                "memory.available" => hard.memory_bytes = bytes(signal, value)?,
                "nodefs.available" => hard.disk_percent = percent(signal, value)?,
                "nodefs.inodesFree" => hard.inodes_percent = percent(signal, value)?,
                _ => {
                    return Err(format!(
                        "{signal:?} is not looked at; memory.available, nodefs.available and nodefs.inodesFree are"
                    ));
                }
            }
        }
        Ok(hard)
    }
}

fn bytes(signal: &str, value: &str) -> Result<u64, String> {
    let quantity: Option<Quantity> = value.parse().ok();
    quantity
        .and_then(|quantity| u64::try_from(quantity.units()).ok())
        .ok_or_else(|| format!("{signal}: {value:?} must be a size, such as 100Mi"))
}

fn percent(signal: &str, value: &str) -> Result<u64, String> {
    let number = value.strip_suffix('%').and_then(|number| number.parse().ok());
    number
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("{signal}: {value:?} must be a percentage, 0% to 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_names_what_is_looked_at() {
        for (text, memory_bytes, disk_percent, inodes_percent) in [
            ("", 0, 0, 0),
            ("memory.available<100Mi", 100 << 20, 0, 0),
            ("memory.available<1Gi, nodefs.available<15%,nodefs.inodesFree<0%", 1 << 30, 15, 0),
        ] {
            assert_eq!(text.parse(), Ok(EvictionHard { memory_bytes, disk_percent, inodes_percent }), "{text}");
        }
        for (text, word) in [
            ("memory.available", "SIGNAL<VALUE"),
            ("memory.available<10%", "must be a size"),
            ("memory.available<-1", "must be a size"),
            ("nodefs.available<1Gi", "must be a percentage"),
            ("nodefs.available<101%", "0% to 100%"),
            ("imagefs.available<15%", "is not looked at"),
        ] {
            let wrong = text.parse::<EvictionHard>().unwrap_err();
            assert!(wrong.contains(word), "{text}: {wrong}");
        }
    }
}
