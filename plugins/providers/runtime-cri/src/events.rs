//! Events of containers as they happen, where the runtime has them (containerd from 1.7 on).

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sdk_plugin::node::RuntimeEvent;
use tonic::{Code, Streaming};

use crate::connection::Connection;
use crate::proto::{ContainerEventResponse, Empty};

const METHOD: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// How long the probe waits for a refusal. A runtime that knows the call answers with the first event, maybe never; one
/// that does not refuses at once.
const PROBE: Duration = Duration::from_millis(200);

/// Whether the runtime has events.
pub async fn offered(connection: &Connection) -> bool {
    let call = connection.stream::<Empty, ContainerEventResponse>(METHOD, Empty {});
    match tokio::time::timeout(PROBE, call).await {
        Err(_) | Ok(Ok(_)) => true,
        Ok(Err(status)) => {
            if status.code() != Code::Unimplemented {
                tracing::debug!(error = status.message(), "The runtime refused its events.");
            }
            false
        }
    }
}

/// The events from now on. Ends when the runtime goes away.
pub fn open(connection: Connection) -> BoxStream<'static, RuntimeEvent> {
    enum State {
        Closed(Connection),
        Open(Box<Streaming<ContainerEventResponse>>),
    }
    stream::unfold(State::Closed(connection), |state| async move {
        let mut events = match state {
            State::Open(events) => events,
            State::Closed(connection) => {
                match connection.stream::<Empty, ContainerEventResponse>(METHOD, Empty {}).await {
                    Ok(events) => Box::new(events),
                    Err(status) => {
                        tracing::debug!(error = status.message(), "The runtime's events ended.");
                        return None;
                    }
                }
            }
        };
        match events.message().await {
            Ok(Some(event)) => Some((convert(event), State::Open(events))),
            Ok(None) => None,
            Err(status) => {
                tracing::debug!(error = status.message(), "The runtime's events ended.");
                None
            }
        }
    })
    .boxed()
}

fn convert(event: ContainerEventResponse) -> RuntimeEvent {
    let metadata = event.pod_sandbox_status.and_then(|status| status.metadata).unwrap_or_default();
    RuntimeEvent { pod_uid: metadata.uid, container_id: event.container_id }
}
