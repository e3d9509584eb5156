//! Audit: what was asked, by whom, and how it ended.

use async_trait::async_trait;
use bytes::Bytes;

/// One `audit.k8s.io/v1` Event.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Its JSON, in one line without its end. Encoded once, whatever the number of sinks.
    pub json: Bytes,
}

/// Where audit events go. Must not block the request: it queues within bounds, and counts what it had to drop.
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn record(&self, event: AuditEvent);
    /// Writes out what is queued.
    async fn flush(&self);
}
