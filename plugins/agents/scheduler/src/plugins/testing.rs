//! A small cluster for the tables of the plugins' tests.

use std::collections::BTreeMap;

use sdk_testkit::Build;

use crate::class::Class;
use crate::cluster::{Cluster, NodeIx, Placed};
use crate::framework::{Filter, Score, Verdict};
use crate::node::Node;
use crate::pod::Pod;

/// A cluster of these nodes, in this order.
pub fn cluster(nodes: impl IntoIterator<Item = Build>) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(Node::read(&node.object()).unwrap());
    }
    cluster
}

/// Puts a pod on the node it names.
pub fn place(cluster: &mut Cluster, pod: Build) {
    let pod = Pod::read(&pod.object()).unwrap();
    let class = cluster.intern(pod.class.clone());
    let node = cluster.nodes.slot(pod.node.as_deref().expect("a placed pod names its node"));
    cluster.place(Placed {
        key: pod.key,
        uid: pod.uid,
        class,
        node,
        deleting: pod.deleting,
        assumed: false,
        started: pod.started,
    });
}

pub fn class(pod: Build) -> Class {
    Pod::read(&pod.object()).unwrap().class
}

fn all(cluster: &Cluster) -> Vec<NodeIx> {
    cluster.nodes.live().to_vec()
}

/// The verdict and the reasons for every node, by name; fitting nodes are left out.
pub fn rejected(filter: &dyn Filter, cluster: &mut Cluster, class: &Class) -> BTreeMap<String, (Verdict, Vec<String>)> {
    cluster.intern(class.clone());
    cluster.prepare(class);
    let nodes = all(cluster);
    let Some(prepared) = filter.prepare(class, cluster) else { return BTreeMap::new() };
    let mut verdicts = vec![Verdict::Fits; nodes.len()];
    prepared.filter(&nodes, &mut verdicts);
    let mut out = BTreeMap::new();
    for (node, verdict) in nodes.iter().zip(verdicts) {
        if verdict != Verdict::Fits {
            let mut reasons = Vec::new();
            prepared.explain(*node, &mut |reason| reasons.push(reason.to_owned()));
            out.insert(cluster.nodes.name[*node as usize].to_string(), (verdict, reasons));
        }
    }
    out
}

/// Names of the nodes that fit.
pub fn fitting(filter: &dyn Filter, cluster: &mut Cluster, class: &Class) -> Vec<String> {
    let rejected = rejected(filter, cluster, class);
    let names = all(cluster).into_iter().map(|node| cluster.nodes.name[node as usize].to_string());
    names.filter(|name| !rejected.contains_key(name)).collect()
}

/// Normalised scores of all nodes, in order; `None` where the plugin has no opinion.
pub fn scores(score: &dyn Score, cluster: &mut Cluster, class: &Class) -> Option<Vec<i64>> {
    cluster.intern(class.clone());
    cluster.prepare(class);
    let nodes = all(cluster);
    let prepared = score.prepare(class, cluster)?;
    let mut scores = vec![0; nodes.len()];
    prepared.score(&nodes, &mut scores);
    prepared.normalise(&mut scores);
    Some(scores)
}
