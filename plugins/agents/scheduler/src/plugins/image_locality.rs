//! `ImageLocality`: prefers nodes that already hold the pod's images, the more so the larger and the more common they are.

use crate::class::Class;
use crate::cluster::{Cluster, NodeIx};
use crate::framework::{NodeScore, SCORE_MAX, Score};

/// Below this many bytes an image is pulled so fast that it does not matter.
const BYTES_MIN: i64 = 23 << 20;
/// Above this many bytes for each container more makes no difference.
const BYTES_MAX: i64 = 1000 << 20;

/// Scores by images.
pub struct ImageLocality;

impl Score for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    /// How common an image is depends on all nodes, and seldom changes.
    fn epoch(&self, cluster: &Cluster) -> u64 {
        cluster.image_epoch()
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        let known: Vec<(&str, f64)> = pod
            .images
            .iter()
            .filter_map(|name| match cluster.nodes_with_image(name) {
                0 => None,
                nodes => Some((name.as_str(), f64::from(nodes) / cluster.nodes.live().len().max(1) as f64)),
            })
            .collect();
        let containers = pod.images.len() as i64;
        (!known.is_empty()).then(|| Box::new(Prepared { known, containers, cluster }) as Box<dyn NodeScore>)
    }
}

struct Prepared<'a> {
    /// Images that some node holds, with the share of nodes that do, so that not all pods run to one node.
    known: Vec<(&'a str, f64)>,
    containers: i64,
    cluster: &'a Cluster,
}

impl NodeScore for Prepared<'_> {
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        let most = BYTES_MAX * self.containers;
        for (node, score) in nodes.iter().zip(scores) {
            let held = &self.cluster.nodes.images[*node as usize];
            let bytes = |(name, share): &(&str, f64)| held.get(*name).map_or(0, |size| (*size as f64 * share) as i64);
            let sum: i64 = self.known.iter().map(bytes).sum();
            *score = SCORE_MAX * (sum.clamp(BYTES_MIN, most) - BYTES_MIN) / (most - BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn nodes_with_the_image_score_higher() {
        let holding = |name: &str, bytes: i64| {
            Build::node(name).set("status.images", json!([{"names": ["busybox"], "sizeBytes": bytes}]))
        };
        let mut cluster = testing::cluster([holding("a", 2000 << 20), holding("b", 1 << 20), Build::node("c")]);
        let class = testing::class(Build::pod("n", "p"));
        assert_eq!(testing::scores(&ImageLocality, &mut cluster, &class), Some(vec![100, 0, 0]));
        let other = Build::pod("n", "p").set("spec.containers", json!([{"name": "c", "image": "other"}]));
        assert_eq!(testing::scores(&ImageLocality, &mut cluster, &testing::class(other)), None);
    }
}
