//! The extension points of a scheduling cycle.
//!
//! They have the order and meaning of the Kubernetes scheduling framework, in batches: a plugin is asked once a cycle and
//! answers for all nodes. What upstream keeps in a `CycleState` is the object that `prepare` returns.

use crate::class::Class;
use crate::cluster::{Cluster, NodeIx};
use crate::event::ClusterEvent;

/// The highest score a node can get from one plugin, after normalising.
pub const SCORE_MAX: i64 = 100;

/// What a plugin's answer for a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The pod's class and that node alone (and the plugin's epoch): the answer is kept until the node changes.
    Node,
    /// Other nodes too: asked in every cycle, for every node that is left, in one call.
    Cluster,
}

/// Whether a node can take the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    #[default]
    Fits,
    /// Not as things are; fewer pods on the node could change it.
    Rejected,
    /// Whatever pods leave the node.
    Unresolvable,
}

/// The nodes that are worth looking at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    All,
    /// Only these, which need not exist.
    Only(Vec<String>),
    /// None, for a reason that belongs to no node.
    None(String),
}

/// Decides where a pod can go.
pub trait Filter: Send + Sync {
    fn name(&self) -> &'static str;

    fn scope(&self) -> Scope {
        Scope::Node
    }

    /// Narrows the search before any node is looked at.
    fn candidates(&self, _pod: &Class) -> Candidates {
        Candidates::All
    }

    /// Makes ready for one cycle. `None` where the plugin has nothing against any node.
    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>>;

    /// Whether `event` could make a pod fit that this plugin rejected. The queueing hint of KEP-4247.
    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool;
}

/// A filter in one cycle.
pub trait NodeFilter {
    /// Sets the verdict of each of `nodes`; they come in as `Fits`.
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]);
    /// Tells the reasons why a node was rejected, in upstream's words.
    fn explain(&self, node: NodeIx, tell: &mut dyn FnMut(&str));
}

/// Decides where a pod goes best.
pub trait Score: Send + Sync {
    fn name(&self) -> &'static str;

    fn scope(&self) -> Scope {
        Scope::Node
    }

    /// Scores of scope `Node` are kept as long as this stays.
    fn epoch(&self, _cluster: &Cluster) -> u64 {
        0
    }

    /// Makes ready for one cycle. `None` where all nodes are alike to the plugin.
    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>>;
}

/// A score in one cycle.
pub trait NodeScore {
    /// Writes the raw score of each of `nodes`.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]);
    /// Brings the raw scores of all feasible nodes to 0..=100.
    fn normalise(&self, _scores: &mut [i64]) {}
}

/// `part` hundredths of `all`, rounded down, for `0 <= part` and `0 < all`.
///
/// Floating point divides several times as fast as integers do, which counts for thousands of nodes, and it is exact: below
/// 2^53 a quotient that is no whole number is further from the next one than the rounding error.
pub fn percent(part: i64, all: i64) -> i64 {
    const EXACT_MAX: i64 = 1 << 53;
    match part.checked_mul(SCORE_MAX) {
        Some(scaled) if scaled < EXACT_MAX && all < EXACT_MAX => (scaled as f64 / all as f64) as i64,
        Some(scaled) => scaled / all,
        None => part / (all / SCORE_MAX).max(1),
    }
}

/// Scales so that the highest becomes 100; `reverse` turns it round, so that the lowest is best.
pub fn normalise_by_highest(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    if highest == 0 {
        if reverse {
            scores.fill(SCORE_MAX);
        }
        return;
    }
    for score in scores {
        let scaled = percent(*score, highest);
        *score = if reverse { SCORE_MAX - scaled } else { scaled };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        let mut random = crate::random::Random::new(5);
        for _ in 0..100_000 {
            let bits = random.below(47);
            let all = 1 + random.below(1 << bits) as i64;
            let part = random.below(all as usize + 1) as i64;
            assert_eq!(percent(part, all), part * SCORE_MAX / all, "{part} of {all}");
        }
        assert_eq!(percent(i64::MAX / 2, i64::MAX), 50);
    }

    #[test]
    fn scores_are_normalised_by_the_highest() {
        for (case, scores, reverse, normal) in [
            ("scaled", vec![1, 2, 4], false, vec![25, 50, 100]),
            ("reversed", vec![1, 2, 4], true, vec![75, 50, 0]),
            ("all zero", vec![0, 0], false, vec![0, 0]),
            ("all zero, reversed", vec![0, 0], true, vec![100, 100]),
        ] {
            let mut scores = scores;
            normalise_by_highest(&mut scores, reverse);
            assert_eq!(scores, normal, "{case}");
        }
    }
}
