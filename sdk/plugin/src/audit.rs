//! Audit: what was asked, by whom, and how it ended.

use async_trait::async_trait;
use serde_json::Value;

/// One `audit.k8s.io/v1` Event, as a document.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    pub document: Value,
}

/// Where audit events go. Must not block the request: it queues within bounds, and counts what it had to drop.
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn record(&self, event: AuditEvent);
    /// Writes out what is queued.
    async fn flush(&self);
}
