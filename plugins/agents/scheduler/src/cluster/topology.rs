//! Topology keys: which domain each node is in, as numbers.

use std::collections::{BTreeMap, HashMap};

/// The node has no such label.
pub const NO_DOMAIN: u32 = u32::MAX;

/// One topology key over all nodes.
#[derive(Default)]
pub struct Topology {
    domains: HashMap<String, u32>,
    /// The domain of each node slot, or `NO_DOMAIN`.
    pub of: Vec<u32>,
}

impl Topology {
    /// Domain numbers are below this.
    pub fn size(&self) -> usize {
        self.domains.len()
    }

    fn set(&mut self, at: usize, value: Option<&String>) {
        if self.of.len() <= at {
            self.of.resize(at + 1, NO_DOMAIN);
        }
        self.of[at] = match value {
            None => NO_DOMAIN,
            Some(value) => match self.domains.get(value) {
                Some(domain) => *domain,
                None => {
                    let domain = u32::try_from(self.domains.len()).expect("fewer than 2^32 domains");
                    self.domains.insert(value.clone(), domain);
                    domain
                }
            },
        };
    }
}

/// The topology keys that pods have used, learnt as they are met.
#[derive(Default)]
pub struct Topologies {
    by_key: HashMap<String, Topology>,
}

impl Topologies {
    /// `None` for a key that was never learnt: no node is in a domain of it.
    pub fn get(&self, key: &str) -> Option<&Topology> {
        self.by_key.get(key)
    }

    /// Keeps a key from now on.
    pub fn learn(&mut self, key: &str, labels: &[BTreeMap<String, String>]) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.to_owned(), read(key, labels));
        }
    }

    /// The labels of one node changed.
    pub fn update(&mut self, at: usize, labels: &[BTreeMap<String, String>]) {
        for (key, topology) in &mut self.by_key {
            topology.set(at, labels[at].get(key));
            // Values of nodes that are gone (each has a host name) are not kept for ever.
            if topology.size() > 2 * labels.len() + 64 {
                *topology = read(key, labels);
            }
        }
    }
}

fn read(key: &str, labels: &[BTreeMap<String, String>]) -> Topology {
    let mut topology = Topology::default();
    for (at, labels) in labels.iter().enumerate() {
        topology.set(at, labels.get(key));
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_follow_labels() {
        let zone = |value: &str| BTreeMap::from([("zone".to_owned(), value.to_owned())]);
        let mut labels = vec![zone("a"), zone("b"), zone("a"), BTreeMap::new()];
        let mut topologies = Topologies::default();
        topologies.learn("zone", &labels);
        assert_eq!(topologies.get("zone").unwrap().of, [0, 1, 0, NO_DOMAIN]);
        labels[3] = zone("b");
        topologies.update(3, &labels);
        assert_eq!(topologies.get("zone").unwrap().of, [0, 1, 0, 1]);
        for n in 0..200 {
            labels[0] = zone(&n.to_string());
            topologies.update(0, &labels);
        }
        assert!(topologies.get("zone").unwrap().size() < 80, "old values go");
        assert!(topologies.get("host").is_none());
    }
}
