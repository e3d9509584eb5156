//! What a server of this machine has used so far, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context, Result};

/// Source: `proc(5)`; both are the same on every machine that Linux runs on with the usual page size.
const TICK: Duration = Duration::from_millis(10);
const PAGE_BYTES: u64 = 4096;

/// A process by its id.
#[derive(Clone, Debug)]
pub struct Process(pub u32);

impl Process {
    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// User and system time, in steps of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name in parentheses may contain anything; the fields behind it are numbers.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        let (user, system) = (ticks(11).context("no user time")?, ticks(12).context("no system time")?);
        Ok(TICK * (user + system))
    }

    /// Resident memory.
    pub fn resident_bytes(&self) -> Result<u64> {
        let statm = self.read("statm")?;
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|field| field.parse().ok());
        Ok(pages.context("no resident pages")? * PAGE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = Process(std::process::id());
        assert!(own.resident_bytes().unwrap() > 1 << 20);
        let began = own.cpu().unwrap();
        let mut sum = 0_u64;
        while own.cpu().unwrap() == began {
            sum = sum.wrapping_add(1);
        }
        assert!(Process(u32::MAX).cpu().is_err());
    }
}
