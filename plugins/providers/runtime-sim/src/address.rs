//! Pod addresses: handed out of the node's pod network, in order, and taken back.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The addresses of one IPv4 network, without its first two (network, gateway) and its last (broadcast).
#[derive(Debug, Default)]
pub(crate) struct Pool {
    cidr: String,
    base: u32,
    /// How many addresses the network has.
    size: u32,
    used: BTreeSet<u32>,
    next: u32,
}

impl Pool {
    /// Fails where `cidr` is not an IPv4 network of at least 4 addresses.
    pub(crate) fn new(cidr: &str) -> Result<Self, String> {
        let wrong = || format!("{cidr:?} is not an IPv4 network with room for pods");
        let (address, bits) = cidr.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().ok().filter(|bits| (1..=30).contains(bits)).ok_or_else(wrong)?;
        let size = 1u32 << (32 - bits);
        Ok(Self { cidr: cidr.into(), base: u32::from(address) & !(size - 1), size, used: BTreeSet::new(), next: 2 })
    }

    pub(crate) fn cidr(&self) -> &str {
        &self.cidr
    }

    /// An address nobody has; the one that was free longest comes first.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let room = self.size.saturating_sub(3);
        for step in 0..room {
            let offset = 2 + (self.next - 2 + step) % room;
            if self.used.insert(offset) {
                self.next = 2 + (offset - 1) % room;
                return Some(Ipv4Addr::from(self.base + offset));
            }
        }
        None
    }

    pub(crate) fn give_back(&mut self, address: &str) {
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            self.used.remove(&u32::from(address).wrapping_sub(self.base));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_come_back() {
        let mut pool = Pool::new("10.1.2.0/29").unwrap();
        let all: Vec<_> = std::iter::from_fn(|| pool.take()).map(|ip| ip.to_string()).collect();
        assert_eq!(all, ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"]);
        pool.give_back("10.1.2.4");
        pool.give_back("not an address");
        assert_eq!(pool.take().map(|ip| ip.to_string()).as_deref(), Some("10.1.2.4"));
        assert_eq!(pool.take(), None);
        for wrong in ["", "10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "fd00::/64", "x/24"] {
            assert!(Pool::new(wrong).is_err(), "{wrong}");
        }
    }
}
