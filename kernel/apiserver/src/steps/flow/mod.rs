//! A seat for the request: priority and fairness. How many may be in work at once, by priority level, and who waits.
//! Source: KEP-1040.
//!
//! A stream holds its seat until it has started. What a request asks for in process while it holds a seat rides along:
//! if it waited for a second one, requests that all wait for their second would wait for ever.

mod demand;
mod dispatcher;
mod follow;
mod level;
mod matching;
mod metrics;
mod queues;
mod shuffle;
mod watchers;
mod work;

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName};
use sdk_api::Status;
use sdk_client::Subject;

pub use dispatcher::{Dispatcher, Schema};
pub use follow::follow;
pub use level::Seat;
pub use metrics::FlowMetrics;
pub use watchers::{Watched, Watchers};
pub use work::Listing;

use crate::info::RequestInfo;
use crate::server::ApiServer;

/// Seconds after which a refused client may come back.
const RETRY_AFTER: u32 = 1;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

tokio::task_local! {
    static SEATED: ();
}

/// What a request is taken for, once that is known.
#[derive(Default)]
pub struct Classified(OnceLock<Arc<Schema>>);

impl Classified {
    /// Tells the client by which objects it was treated.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let Some(schema) = self.0.get() else { return };
        let (schema, level) = schema.uids.clone();
        headers.insert(SCHEMA_UID, schema);
        headers.insert(LEVEL_UID, level);
    }
}

/// Takes a seat, waits for one, or refuses. `None` for who needs none.
pub async fn seat(
    server: &ApiServer,
    user: &Subject,
    info: &RequestInfo,
    listing: Listing,
    classified: &Classified,
) -> Result<Option<Seat>, Status> {
    // Streams to a node last as long as people look at them, and are bounded there.
    let is_stream = matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy");
    if is_stream || is_seated() {
        return Ok(None);
    }
    let Some(schema) = server.flow.classify(user, info) else { return Ok(None) };
    let work = work::estimate(server, info, listing, &schema);
    let seat = server.flow.seat(&schema, user, info, work).await;
    let _ = classified.0.set(schema);
    match seat {
        Ok(seat) => Ok(Some(seat)),
        Err(_) => Err(Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER)),
    }
}

fn is_seated() -> bool {
    SEATED.try_with(|()| ()).is_ok()
}

/// Runs the work of a request that holds a seat.
pub async fn seated<F: Future>(work: F) -> F::Output {
    SEATED.scope((), work).await
}
