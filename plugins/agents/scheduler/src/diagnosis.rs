//! Why a pod has no node, in upstream's words.

use std::collections::BTreeMap;
use std::fmt;

use crate::cluster::NodeIx;

/// What a failed cycle found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    pub nodes: usize,
    /// No node could have been looked at, for this reason.
    pub before: String,
    /// How many nodes gave each reason.
    pub reasons: BTreeMap<String, usize>,
    /// Bits of the filters that rejected the pod, by their place in the profile.
    pub rejected_by: u32,
    /// Nodes on which the pod might fit if others left.
    pub resolvable: Vec<NodeIx>,
    /// What preemption adds.
    pub preemption: String,
}

impl Diagnosis {
    /// Adds nodes to those that gave a reason.
    pub fn count(&mut self, reason: &str, nodes: usize) {
        match self.reasons.get_mut(reason) {
            Some(count) => *count += nodes,
            None => drop(self.reasons.insert(reason.to_owned(), nodes)),
        }
    }
}

/// The message of the event `FailedScheduling` and of the condition.
///
/// Source: `FitError` of the scheduling framework.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if !self.before.is_empty() {
            write!(f, " {}.", self.before)?;
        } else if !self.reasons.is_empty() {
            let mut reasons: Vec<String> = self.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            reasons.sort();
            write!(f, " {}.", reasons.join(", "))?;
        }
        if !self.preemption.is_empty() {
            write!(f, " preemption: {}", self.preemption)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_upstream_writes_them() {
        let mut some = Diagnosis { nodes: 3, ..Diagnosis::default() };
        some.count("Insufficient cpu", 1);
        some.count("node(s) had untolerated taint(s)", 2);
        let text = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).";
        assert_eq!(some.to_string(), text);
        some.preemption = "0/3 nodes are available: 3 Preemption is not helpful for scheduling.".into();
        assert_eq!(some.to_string(), format!("{text} preemption: {}", some.preemption));
        assert_eq!(Diagnosis::default().to_string(), "no nodes available to schedule pods");
        let before = Diagnosis { nodes: 2, before: "pod affinity terms conflict".into(), ..Diagnosis::default() };
        assert_eq!(before.to_string(), "0/2 nodes are available: pod affinity terms conflict.");
    }
}
