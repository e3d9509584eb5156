//! Is the node well? Its runtime, its network, its memory and disk.

use std::sync::{Arc, PoisonError};

use crate::running::{Health, Node};
use crate::settings::Settings;

/// What presses on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) memory: bool,
    pub(crate) disk: bool,
    pub(crate) pids: bool,
}

impl Node {
    /// Asks the runtime how it is. A network that has become ready wakes the pods that wait for it.
    pub(crate) async fn look_at_health(self: &Arc<Self>) {
        let health = match self.runtime().health().await {
            Ok(health) => {
                let why = |fallback: &str| {
                    let message = health.message.trim();
                    if message.is_empty() { fallback.to_owned() } else { message.to_owned() }
                };
                Health {
                    runtime: Some(if health.runtime_ready {
                        Ok(())
                    } else {
                        Err(why("container runtime is not ready"))
                    }),
                    network: Some(if health.network_ready { Ok(()) } else { Err(why("cni plugin not initialized")) }),
                }
            }
            Err(error) => {
                let text = format!("container runtime is down: {error}");
                Health { runtime: Some(Err(text.clone())), network: Some(Err(text)) }
            }
        };
        let became_ready = {
            let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            let became = known.network != Some(Ok(())) && health.network == Some(Ok(()));
            *known = health;
            became
        };
        if became_ready {
            self.slots().iter().for_each(|slot| self.kick(slot));
        }
    }
}

/// What the machine says; simulated nodes are under none.
pub(crate) async fn pressure(settings: &Settings) -> Pressure {
    if !settings.on_host() {
        return Pressure::default();
    }
    let (dir, hard) = (settings.root_dir.clone(), settings.limits.eviction_hard);
    tokio::task::spawn_blocking(move || {
        let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
        let disk = rustix::fs::statvfs(&dir).is_ok_and(|stat| {
            let below = |free: u64, all: u64, percent: u64| all > 0 && free.saturating_mul(100) / all < percent;
            below(stat.f_bavail, stat.f_blocks, hard.disk_percent)
                || below(stat.f_favail, stat.f_files, hard.inodes_percent)
        });
        Pressure { memory: memory.is_some_and(|bytes| bytes < hard.memory_bytes), disk, pids: false }
    })
    .await
    .unwrap_or_default()
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       100 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available(text), Some(2 << 20));
        assert_eq!(available("nothing"), None);
    }
}
