//! A seat for the request: how many may be in work at once. Streams give theirs back when they have started.

use sdk_api::Status;
use tokio::sync::OwnedSemaphorePermit;

use crate::info::RequestInfo;
use crate::server::ApiServer;

/// Seconds after which a refused client may come back.
const RETRY_AFTER: u32 = 1;

/// Takes a seat, or refuses at once: who waits here holds a connection and its memory.
///
/// Health is always answered, so that a busy server is not taken for a dead one.
pub fn seat(server: &ApiServer, info: &RequestInfo) -> Result<Option<OwnedSemaphorePermit>, Status> {
    if !info.is_resource || info.verb == "watch" {
        return Ok(None);
    }
    match server.seats.clone().try_acquire_owned() {
        Ok(seat) => Ok(Some(seat)),
        Err(_) => Err(Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER)),
    }
}
