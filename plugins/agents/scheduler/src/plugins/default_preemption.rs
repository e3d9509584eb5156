//! `DefaultPreemption`: makes room for a pod by ending pods of lower priority, as few and as unimportant as can be.
//!
//! Source: Kubernetes documentation, "Pod Priority and Preemption".

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::Key;

use crate::cluster::{ClassRef, Cluster, NodeIx, Placed};
use crate::diagnosis::Diagnosis;
use crate::plan::{Planner, nominees};
use crate::pod::Pod;
use crate::random::Random;

/// Candidates looked for: this share of the nodes, and at least `CANDIDATES_MIN`. Source: `DefaultPreemptionArgs`.
const CANDIDATES_PERCENT: usize = 10;
const CANDIDATES_MIN: usize = 100;

/// A pod that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    pub key: Key,
    pub uid: Arc<str>,
}

/// The node to make room on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    pub node: NodeIx,
    /// Pods that are not being deleted yet.
    pub victims: Vec<Victim>,
}

/// The order in which candidates are preferred, the smallest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    budgets_violated: usize,
    highest_priority: i32,
    sum_of_priorities: i64,
    victims: usize,
    /// Of the most important victims; who ran shortest goes first.
    earliest_start: Reverse<Option<Timestamp>>,
}

struct Candidate {
    cost: Cost,
    preemption: Preemption,
}

/// Looks for room that lower priorities take. The message says why there is none.
pub fn preempt(
    planner: &Planner,
    pod: &Pod,
    class: &ClassRef,
    cluster: &mut Cluster,
    diagnosis: &Diagnosis,
    random: &mut Random,
) -> Result<Preemption, String> {
    if class.never_preempts {
        return Err("not eligible due to preemptionPolicy=Never.".into());
    }
    if waits_for_victims(pod, class, cluster) {
        return Err("not eligible due to a terminating pod on the nominated node.".into());
    }
    let mut why = Diagnosis { nodes: cluster.nodes.live().len(), ..Diagnosis::default() };
    let unhelpful = why.nodes - diagnosis.resolvable.len();
    if unhelpful > 0 {
        why.count("Preemption is not helpful for scheduling", unhelpful);
    }
    if cluster.lowest_priority().is_none_or(|lowest| lowest >= class.priority) {
        if !diagnosis.resolvable.is_empty() {
            why.count("No preemption victims found for incoming pod", diagnosis.resolvable.len());
        }
        return Err(why.to_string());
    }
    let enough = (why.nodes * CANDIDATES_PERCENT / 100).max(CANDIDATES_MIN);
    let nodes = &diagnosis.resolvable;
    let start = random.below(nodes.len());
    let mut candidates = Vec::new();
    for node in nodes[start..].iter().chain(&nodes[..start]) {
        match try_node(planner, pod, class, cluster, *node) {
            Ok(candidate) => candidates.push(candidate),
            Err(reasons) => reasons.iter().for_each(|reason| why.count(reason, 1)),
        }
        if candidates.len() >= enough {
            break;
        }
    }
    let best = candidates.into_iter().min_by(|a, b| a.cost.cmp(&b.cost));
    best.map(|candidate| candidate.preemption).ok_or_else(|| why.to_string())
}

/// Whether it made room before, and the victims are still leaving.
fn waits_for_victims(pod: &Pod, class: &ClassRef, cluster: &Cluster) -> bool {
    let nominated = cluster.nominations().find(|(uid, _)| **uid == pod.uid).map(|(_, nominated)| &nominated.node);
    let Some(node) = nominated.and_then(|node| cluster.nodes.find(node)) else { return false };
    cluster.pods_on(node).any(|other| other.deleting && other.class.priority < class.priority)
}

/// Takes every less important pod off a node, then lets back whom the pod does not need gone.
fn try_node(
    planner: &Planner,
    pod: &Pod,
    class: &ClassRef,
    cluster: &mut Cluster,
    node: NodeIx,
) -> Result<Candidate, Vec<String>> {
    let mut lower: Vec<Placed> = cluster.pods_on(node).filter(|p| p.class.priority < class.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".into()]);
    }
    // The most important first: of higher priority, or running longer.
    lower.sort_by_key(|p| (Reverse(p.class.priority), p.started, p.uid.clone()));
    let arriving = nominees(cluster, node, pod, class);
    for placed in &lower {
        cluster.unplace(&placed.uid);
    }
    for placed in &arriving {
        cluster.place(placed.clone());
    }
    let fits = planner.fits(class, cluster, node);
    let mut victims = Vec::new();
    let mut budgets_violated = 0;
    if fits.is_ok() {
        let (violating, others) = by_budget(cluster, lower.clone());
        for (placed, violates) in
            violating.into_iter().map(|placed| (placed, true)).chain(others.into_iter().map(|placed| (placed, false)))
        {
            cluster.place(placed.clone());
            if planner.fits(class, cluster, node).is_err() {
                cluster.unplace(&placed.uid);
                budgets_violated += usize::from(violates);
                victims.push(placed);
            }
        }
    }
    for placed in arriving {
        cluster.unplace(&placed.uid);
    }
    for placed in lower {
        cluster.place(placed);
    }
    if let Err(reasons) = fits {
        return Err(reasons.into_iter().map(|(reason, _)| reason).collect());
    }
    let highest_priority = victims.iter().map(|p| p.class.priority).max().unwrap_or(i32::MIN);
    let important = victims.iter().filter(|p| p.class.priority == highest_priority);
    let cost = Cost {
        budgets_violated,
        highest_priority,
        // Each counts, even one of negative priority.
        sum_of_priorities: victims.iter().map(|p| i64::from(p.class.priority) + i64::from(i32::MAX) + 1).sum(),
        victims: victims.len(),
        earliest_start: Reverse(important.filter_map(|p| p.started).min()),
    };
    let victims = victims.into_iter().filter(|p| !p.deleting).map(|p| Victim { key: p.key, uid: p.uid }).collect();
    Ok(Candidate { cost, preemption: Preemption { node, victims } })
}

/// Parts the pods whose end a PodDisruptionBudget does not allow from the others. Both keep their order.
fn by_budget(cluster: &Cluster, pods: Vec<Placed>) -> (Vec<Placed>, Vec<Placed>) {
    let mut allowed = std::collections::HashMap::new();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (name, budget) in cluster.budgets(&pod.class.namespace) {
            if budget.selector.is_everything() || !budget.selector.matches(&pod.class.labels) {
                continue;
            }
            let left = allowed.entry((pod.class.namespace.clone(), name.clone())).or_insert(budget.disruptions_allowed);
            *left -= 1;
            violates |= *left < 0;
        }
        violates
    })
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::*;
    use crate::cluster::Budget;
    use crate::plugins::{self, testing};

    fn pod(name: &str, cpu: &str, priority: i64) -> Build {
        let requests = json!({"cpu": cpu});
        Build::pod("n", name)
            .set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
            .set("spec.priority", json!(priority))
    }

    /// The node and the victims' names, or the message.
    fn run(cluster: &mut Cluster, build: Build) -> Result<(String, Vec<String>), String> {
        let pod = Pod::read(&build.object()).unwrap();
        let class = cluster.intern(pod.class.clone());
        let mut planner = Planner::new(plugins::filters(), plugins::scores(), 1);
        let diagnosis = planner.schedule(&pod, &class, cluster).expect_err("there is no room");
        let found = preempt(&planner, &pod, &class, cluster, &diagnosis, &mut Random::new(1))?;
        let mut victims: Vec<String> = found.victims.iter().map(|victim| victim.key.name.to_string()).collect();
        victims.sort();
        Ok((cluster.nodes.name[found.node as usize].to_string(), victims))
    }

    #[test]
    fn the_cheapest_room_is_made() {
        let victims =
            |node: &str, names: &[&str]| Ok((node.to_owned(), names.iter().map(|n| (*n).to_owned()).collect()));
        let two = || vec![Build::node("a"), Build::node("b")];
        for (case, nodes, placed, wanted, answer) in [
            (
                "lower priority victims first",
                two(),
                vec![("x", "4", 5, "a"), ("y", "4", 1, "b")],
                pod("p", "2", 10),
                victims("b", &["y"]),
            ),
            (
                "fewer victims",
                two(),
                vec![("x1", "2", 1, "a"), ("x2", "2", 1, "a"), ("y", "4", 1, "b")],
                pod("p", "4", 10),
                victims("b", &["y"]),
            ),
            (
                "no more than needed",
                vec![Build::node("a")],
                vec![("small", "1", 1, "a"), ("large", "3", 2, "a")],
                pod("p", "1", 10),
                victims("a", &["small"]),
            ),
            (
                "equals are left alone",
                two(),
                vec![("x", "4", 10, "a"), ("y", "4", 10, "b")],
                pod("p", "2", 10),
                Err("0/2 nodes are available: 2 No preemption victims found for incoming pod.".to_owned()),
            ),
            (
                "not every node can be helped",
                vec![Build::node("a"), Build::node("b").set("spec.unschedulable", json!(true))],
                vec![("x", "4", 10, "a"), ("old", "1", 1, "b")],
                pod("p", "2", 10),
                Err("0/2 nodes are available: 1 No preemption victims found for incoming pod, \
                     1 Preemption is not helpful for scheduling."
                    .to_owned()),
            ),
            (
                "who never preempts",
                vec![Build::node("a")],
                vec![("x", "4", 1, "a")],
                pod("p", "2", 10).set("spec.preemptionPolicy", json!("Never")),
                Err("not eligible due to preemptionPolicy=Never.".to_owned()),
            ),
        ] {
            let mut cluster = testing::cluster(nodes);
            for (name, cpu, priority, node) in placed {
                testing::place(&mut cluster, pod(name, cpu, priority).on_node(node));
            }
            let used = cluster.nodes.cpu.used.clone();
            assert_eq!(run(&mut cluster, wanted), answer, "{case}");
            assert_eq!(cluster.nodes.cpu.used, used, "{case}: looking changes nothing");
        }
    }

    #[test]
    fn budgets_are_spared_where_possible() {
        let mut cluster = testing::cluster([Build::node("a"), Build::node("b")]);
        testing::place(&mut cluster, pod("guarded", "4", 1).label("app", "db").on_node("a"));
        testing::place(&mut cluster, pod("dear", "4", 5).on_node("b"));
        let selector = sdk_api::LabelSelector::parse("app=db").unwrap();
        cluster.set_budget("n", "db", Some(Budget { selector, disruptions_allowed: 0 }));
        assert_eq!(run(&mut cluster, pod("p", "2", 10)), Ok(("b".into(), vec!["dear".into()])));
    }

    #[test]
    fn victims_that_leave_already_are_waited_for() {
        let mut cluster = testing::cluster([Build::node("a")]);
        testing::place(&mut cluster, pod("leaving", "4", 1).deleting("2026-01-01T00:00:00Z").on_node("a"));
        let waiting = Pod::read(&pod("p", "2", 10).object()).unwrap();
        let class = cluster.intern(waiting.class.clone());
        let nominated = crate::cluster::Nominated { key: waiting.key.clone(), class, node: "a".into() };
        cluster.nominate(&waiting.uid, Some(nominated));
        let answer = run(&mut cluster, pod("p", "2", 10));
        assert_eq!(answer, Err("not eligible due to a terminating pod on the nominated node.".into()));
    }
}
