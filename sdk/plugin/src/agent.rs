//! Long-running workers: the scheduler, the node agent, the service proxy, and controllers that do not fit `plan`.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::Clock;
use sdk_client::{Client, Clients, Subject};
use tokio_util::sync::CancellationToken;

/// What the host gives to whatever it starts.
#[derive(Clone)]
pub struct Context {
    /// The client of this worker's own identity.
    pub client: Client,
    /// For workers that act as several identities (a process of simulated nodes). Restricted by grants later.
    pub clients: Arc<dyn Clients>,
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the worker must stop; it then ends by itself, soon.
    pub stop: CancellationToken,
}

/// A long-running worker.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// Who it is towards the API.
    fn identity(&self) -> Subject;
    /// Whether one in the whole cluster does: where several servers share a store, it runs in the leader alone.
    fn is_single(&self) -> bool {
        false
    }
    /// Runs until `context.stop`. An error is logged and the worker started again, after a pause that grows.
    async fn run(&self, context: Context) -> Result<(), String>;
}
