//! Many kubelets in one agent: the simulated nodes of a process.

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use sdk_client::Subject;
use sdk_plugin::{Agent, Context};

use crate::kubelet;
use crate::settings::Settings;

/// Runs a kubelet for each of its nodes; each acts as itself.
pub struct Fleet {
    nodes: Vec<Settings>,
}

impl Fleet {
    /// One kubelet for each of `nodes`, whose names differ.
    pub fn new(nodes: Vec<Settings>) -> Self {
        Self { nodes }
    }
}

#[async_trait]
impl Agent for Fleet {
    fn name(&self) -> &'static str {
        "kubelet-fleet"
    }

    /// The fleet itself does nothing at the API.
    fn identity(&self) -> Subject {
        Subject::new("system:kubelet-fleet", &["system:authenticated"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let mut running: FuturesUnordered<_> = self
            .nodes
            .iter()
            .map(|settings| {
                let client = context.clients.client(&kubelet::identity(&settings.node_name));
                let (clock, stop) = (context.clock.clone(), context.stop.clone());
                Box::pin(kubelet::run(settings.clone(), client, clock, stop))
            })
            .collect();
        while running.next().await.is_some() {}
        Ok(())
    }
}
