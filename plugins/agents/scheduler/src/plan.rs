//! One scheduling cycle: a pod and the cluster in, a node or the reasons against each node out. No I/O, no clock.

use std::collections::{HashMap, HashSet};

use crate::class::Class;
use crate::cluster::{ClassRef, Cluster, NodeIx, Placed};
use crate::diagnosis::Diagnosis;
use crate::framework::{Candidates, Filter, NodeFilter, Scope, Score, Verdict};
use crate::pod::Pod;
use crate::random::Random;

/// Classes whose results are kept; each takes about 20 bytes a node.
const CLASSES_KEPT_MAX: usize = 64;
/// Where fewer nodes are candidates, results are not worth keeping.
const CANDIDATES_FEW: usize = 16;

/// A node's place in the kept verdicts: it fits, or which filter rejects it.
const FITS: u8 = 0;
const ABSENT: u8 = 0x7f;
const UNRESOLVABLE: u8 = 0x80;

/// The plugins of a cycle, and what it remembers from cycle to cycle.
pub struct Planner {
    filters: Vec<Box<dyn Filter>>,
    scores: Vec<(Box<dyn Score>, i64)>,
    kept: HashMap<u32, Kept>,
    cycle: u64,
    random: Random,
}

/// Results for one class on every node, as of a position of the change log.
#[derive(Default)]
struct Kept {
    seen: u64,
    used: u64,
    epochs: Vec<u64>,
    /// By node slot.
    verdicts: Vec<u8>,
    /// Raw scores by plugin and node slot; none for plugins of another scope or without an opinion.
    scores: Vec<Option<Vec<i64>>>,
    /// The diagnosis of a failure at `seen` that involved no other nodes.
    failure: Option<Diagnosis>,
}

impl Planner {
    /// At most 32 filters. `seed` decides among equally good nodes.
    pub fn new(filters: Vec<Box<dyn Filter>>, scores: Vec<(Box<dyn Score>, i64)>, seed: u64) -> Self {
        assert!(filters.len() <= 32, "filters are named by the bits of a u32");
        Self { filters, scores, kept: HashMap::new(), cycle: 0, random: Random::new(seed) }
    }

    /// The filters, in the order of the bits that name them.
    pub fn filters(&self) -> &[Box<dyn Filter>] {
        &self.filters
    }

    /// The best node for a pod. Every node is considered; among equals the seed decides.
    pub fn schedule(&mut self, pod: &Pod, class: &ClassRef, cluster: &mut Cluster) -> Result<NodeIx, Diagnosis> {
        self.cycle += 1;
        cluster.prepare(class);
        let total = cluster.nodes.live().len();
        if total == 0 {
            return Err(Diagnosis::default());
        }
        let narrowed = self.candidates(class, cluster)?;
        let few = narrowed.as_ref().is_some_and(|narrowed| narrowed.nodes.len() <= CANDIDATES_FEW);
        if !few {
            self.refresh(class, cluster);
            let known = self.kept.get(&class.id).and_then(|kept| kept.failure.as_ref());
            if let Some(failure) = known.filter(|_| narrowed.is_none()) {
                return Err(failure.clone());
            }
        }
        let looked_at = narrowed.as_ref().map(|narrowed| &narrowed.nodes[..]);
        let mut cycle = Cycle::new(self, class, cluster, !few);
        let mut feasible = cycle.filter(looked_at.unwrap_or(cluster.nodes.live()));
        if feasible.is_empty() {
            let failure = cycle.diagnose(narrowed.as_ref());
            let lasting = !few && narrowed.is_none() && !cycle.looks_at_other_nodes();
            drop(cycle);
            if let Some(kept) = self.kept.get_mut(&class.id).filter(|_| lasting) {
                kept.failure = Some(failure.clone());
            }
            return Err(failure);
        }
        drop(cycle);
        let crowded = self.make_way(pod, class, cluster, &mut feasible);
        if feasible.is_empty() {
            let mut cycle = Cycle::new(self, class, cluster, false);
            cycle.filter(looked_at.unwrap_or(cluster.nodes.live()));
            let mut failure = cycle.diagnose(narrowed.as_ref());
            for (reason, filter) in crowded {
                failure.count(&reason, 1);
                failure.rejected_by |= filter;
            }
            return Err(failure);
        }
        if let [only] = feasible[..] {
            return Ok(only);
        }
        let scores = self.total_scores(class, cluster, &feasible, !few);
        Ok(feasible[self.choose(&scores)])
    }

    /// Whether a pod fits one node as things are; the reasons if not.
    pub fn fits(&self, class: &Class, cluster: &Cluster, node: NodeIx) -> Result<(), Vec<(String, u32)>> {
        for (place, filter) in self.filters.iter().enumerate() {
            let Some(prepared) = filter.prepare(class, cluster) else { continue };
            let mut verdict = [Verdict::Fits];
            prepared.filter(&[node], &mut verdict);
            if verdict[0] != Verdict::Fits {
                let mut reasons = Vec::new();
                prepared.explain(node, &mut |reason| reasons.push((reason.to_owned(), 1 << place)));
                return Err(reasons);
            }
        }
        Ok(())
    }

    /// What plugins narrow the search to; `None` for all nodes.
    fn candidates(&self, class: &Class, cluster: &Cluster) -> Result<Option<Narrowed>, Diagnosis> {
        let mut narrowed: Option<Narrowed> = None;
        for (place, filter) in self.filters.iter().enumerate() {
            let names = match filter.candidates(class) {
                Candidates::All => continue,
                Candidates::Only(names) => names,
                Candidates::None(before) => {
                    let nodes = cluster.nodes.live().len();
                    return Err(Diagnosis { nodes, before, rejected_by: 1 << place, ..Diagnosis::default() });
                }
            };
            let live = |name: &String| cluster.nodes.find(name).filter(|ix| cluster.nodes.exists[*ix as usize]);
            let mut nodes: Vec<NodeIx> = names.iter().filter_map(live).collect();
            nodes.sort_unstable();
            let known = narrowed.get_or_insert_with(|| Narrowed { nodes: nodes.clone(), ..Narrowed::default() });
            known.nodes.retain(|node| nodes.binary_search(node).is_ok());
            known.plugins.push(filter.name());
            known.filters |= 1 << place;
        }
        Ok(narrowed)
    }

    /// Brings the kept results of a class up to date: only for nodes that changed since.
    fn refresh(&mut self, class: &ClassRef, cluster: &Cluster) {
        if self.kept.len() >= CLASSES_KEPT_MAX && !self.kept.contains_key(&class.id) {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id);
            oldest.map(|id| self.kept.remove(&id));
        }
        let kept = self.kept.entry(class.id).or_default();
        kept.used = self.cycle;
        let slots = cluster.nodes.slots();
        let epochs: Vec<u64> = self.scores.iter().map(|(score, _)| score.epoch(cluster)).collect();
        let changed: Option<Vec<NodeIx>> = if kept.epochs == epochs {
            cluster.changes.since(kept.seen).map(|changed| {
                let mut nodes: Vec<NodeIx> = changed.collect();
                nodes.sort_unstable();
                nodes.dedup();
                nodes
            })
        } else {
            None
        };
        kept.verdicts.resize(slots, ABSENT);
        let stale = match changed {
            Some(nodes) if nodes.is_empty() => return,
            Some(nodes) => nodes,
            None => {
                kept.scores = self.scores.iter().map(|_| None).collect();
                (0..slots as NodeIx).collect()
            }
        };
        kept.failure = None;
        kept.seen = cluster.changes.end();
        kept.epochs = epochs;
        let exists = |node: &NodeIx| cluster.nodes.exists[*node as usize];
        for node in &stale {
            kept.verdicts[*node as usize] = ABSENT;
        }
        let mut left: Vec<NodeIx> = stale.into_iter().filter(exists).collect();
        let mut verdicts = Vec::new();
        for (place, filter) in self.filters.iter().enumerate().filter(|(_, filter)| filter.scope() == Scope::Node) {
            let Some(prepared) = filter.prepare(class, cluster) else { continue };
            verdicts.clear();
            verdicts.resize(left.len(), Verdict::Fits);
            prepared.filter(&left, &mut verdicts);
            let mut at = 0;
            left.retain(|node| {
                let verdict = verdicts[at];
                at += 1;
                if verdict != Verdict::Fits {
                    kept.verdicts[*node as usize] = code(place, verdict);
                }
                verdict == Verdict::Fits
            });
        }
        for node in &left {
            kept.verdicts[*node as usize] = FITS;
        }
        let mut fresh = vec![0; left.len()];
        for ((score, _), column) in self.scores.iter().zip(&mut kept.scores) {
            if score.scope() != Scope::Node {
                continue;
            }
            let Some(prepared) = score.prepare(class, cluster) else { continue };
            let column = column.get_or_insert_default();
            column.resize(slots, 0);
            prepared.score(&left, &mut fresh);
            for (node, score) in left.iter().zip(&fresh) {
                column[*node as usize] = *score;
            }
        }
    }

    /// Takes out nodes that have no room once the pods nominated for them are there. The reasons, one for each.
    fn make_way(
        &self,
        pod: &Pod,
        class: &ClassRef,
        cluster: &mut Cluster,
        feasible: &mut Vec<NodeIx>,
    ) -> Vec<(String, u32)> {
        let awaiting: HashSet<NodeIx> =
            cluster.nominations().filter_map(|(_, nominated)| cluster.nodes.find(&nominated.node)).collect();
        if awaiting.is_empty() {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        feasible.retain(|node| {
            if !awaiting.contains(node) {
                return true;
            }
            let arriving = nominees(cluster, *node, pod, class);
            let uids: Vec<_> = arriving.iter().map(|pod| pod.uid.clone()).collect();
            for nominated in arriving {
                cluster.place(nominated);
            }
            let fits = self.fits(class, cluster, *node);
            for uid in uids {
                cluster.unplace(&uid);
            }
            match fits {
                Ok(()) => true,
                Err(why) => {
                    reasons.extend(why);
                    false
                }
            }
        });
        reasons
    }

    /// The weighed sum of all plugins' normalised scores, for each feasible node.
    fn total_scores(&self, class: &ClassRef, cluster: &Cluster, feasible: &[NodeIx], keep: bool) -> Vec<i64> {
        let mut total = vec![0; feasible.len()];
        let mut scores = vec![0; feasible.len()];
        let kept = self.kept.get(&class.id).filter(|_| keep);
        for (place, (score, weight)) in self.scores.iter().enumerate() {
            let column = kept.and_then(|kept| kept.scores.get(place)).and_then(Option::as_ref);
            if kept.is_some() && score.scope() == Scope::Node && column.is_none() {
                continue;
            }
            let Some(prepared) = score.prepare(class, cluster) else { continue };
            match column {
                Some(column) => {
                    for (node, score) in feasible.iter().zip(&mut scores) {
                        *score = column[*node as usize];
                    }
                }
                None => prepared.score(feasible, &mut scores),
            }
            prepared.normalise(&mut scores);
            for (sum, score) in total.iter_mut().zip(&scores) {
                *sum += weight * score;
            }
        }
        total
    }

    /// One of the highest, by the seed.
    fn choose(&mut self, scores: &[i64]) -> usize {
        let (mut best, mut ties) = (i64::MIN, 0);
        for score in scores {
            match score.cmp(&best) {
                std::cmp::Ordering::Greater => (best, ties) = (*score, 1),
                std::cmp::Ordering::Equal => ties += 1,
                std::cmp::Ordering::Less => {}
            }
        }
        let chosen = self.random.below(ties);
        let mut equals = scores.iter().enumerate().filter(|(_, score)| **score == best);
        equals.nth(chosen).map_or(0, |(at, _)| at)
    }
}

fn code(place: usize, verdict: Verdict) -> u8 {
    let place = place as u8 + 1;
    if verdict == Verdict::Unresolvable { place | UNRESOLVABLE } else { place }
}

/// The pods nominated for a node that have as much right to it as this one.
pub fn nominees(cluster: &Cluster, node: NodeIx, pod: &Pod, class: &Class) -> Vec<Placed> {
    let ahead = cluster.nominations().filter(|(uid, nominated)| {
        **uid != pod.uid
            && nominated.class.priority >= class.priority
            && cluster.pod(uid).is_none()
            && nominated.node == cluster.nodes.name[node as usize]
    });
    let placed = ahead.map(|(uid, nominated)| Placed {
        key: nominated.key.clone(),
        uid: uid.clone(),
        class: nominated.class.clone(),
        node,
        deleting: false,
        assumed: true,
        started: None,
    });
    placed.collect()
}

/// The nodes that are worth looking at, and who says so.
#[derive(Default)]
struct Narrowed {
    nodes: Vec<NodeIx>,
    plugins: Vec<&'static str>,
    /// The plugins' bits.
    filters: u32,
}

/// The filters of one cycle, made ready, with the nodes they took out.
struct Cycle<'a> {
    cluster: &'a Cluster,
    prepared: Vec<Option<Box<dyn NodeFilter + 'a>>>,
    scopes: Vec<Scope>,
    kept: Option<&'a Kept>,
    rejected: Vec<(NodeIx, u8)>,
}

impl<'a> Cycle<'a> {
    fn new(planner: &'a Planner, class: &'a ClassRef, cluster: &'a Cluster, keep: bool) -> Self {
        Self {
            cluster,
            prepared: planner.filters.iter().map(|filter| filter.prepare(class, cluster)).collect(),
            scopes: planner.filters.iter().map(|filter| filter.scope()).collect(),
            kept: planner.kept.get(&class.id).filter(|_| keep),
            rejected: Vec::new(),
        }
    }

    fn looks_at_other_nodes(&self) -> bool {
        self.prepared.iter().zip(&self.scopes).any(|(prepared, scope)| prepared.is_some() && *scope == Scope::Cluster)
    }

    /// The nodes of these that fit.
    fn filter(&mut self, nodes: &[NodeIx]) -> Vec<NodeIx> {
        let mut left = match self.kept {
            None => nodes.to_vec(),
            Some(kept) => {
                let fits = |node: &NodeIx| kept.verdicts[*node as usize] == FITS;
                nodes.iter().copied().filter(fits).collect()
            }
        };
        let mut verdicts = Vec::new();
        for (place, prepared) in self.prepared.iter().enumerate() {
            let known = self.kept.is_some() && self.scopes[place] == Scope::Node;
            let Some(prepared) = prepared.as_ref().filter(|_| !known) else { continue };
            verdicts.clear();
            verdicts.resize(left.len(), Verdict::Fits);
            prepared.filter(&left, &mut verdicts);
            let mut at = 0;
            let rejected = &mut self.rejected;
            left.retain(|node| {
                let verdict = verdicts[at];
                at += 1;
                if verdict != Verdict::Fits {
                    rejected.push((*node, code(place, verdict)));
                }
                verdict == Verdict::Fits
            });
        }
        left
    }

    /// Counts the reasons of all nodes.
    fn diagnose(&self, narrowed: Option<&Narrowed>) -> Diagnosis {
        let live = self.cluster.nodes.live();
        let mut diagnosis = Diagnosis { nodes: live.len(), ..Diagnosis::default() };
        if let Some(narrowed) = narrowed.filter(|narrowed| narrowed.nodes.len() < live.len()) {
            let reason = format!("node(s) didn't satisfy plugin(s) [{}]", narrowed.plugins.join(" "));
            diagnosis.count(&reason, live.len() - narrowed.nodes.len());
            diagnosis.rejected_by |= narrowed.filters;
        }
        if let Some(kept) = self.kept {
            for node in narrowed.map_or(live, |narrowed| &narrowed.nodes) {
                self.explain(*node, kept.verdicts[*node as usize], &mut diagnosis);
            }
        }
        for (node, code) in &self.rejected {
            self.explain(*node, *code, &mut diagnosis);
        }
        diagnosis
    }

    fn explain(&self, node: NodeIx, code: u8, diagnosis: &mut Diagnosis) {
        if code == FITS || code == ABSENT {
            return;
        }
        let place = usize::from(code & !UNRESOLVABLE) - 1;
        diagnosis.rejected_by |= 1 << place;
        if code & UNRESOLVABLE == 0 {
            diagnosis.resolvable.push(node);
        }
        if let Some(prepared) = &self.prepared[place] {
            prepared.explain(node, &mut |reason| diagnosis.count(reason, 1));
        }
    }
}

#[cfg(test)]
mod tests;
