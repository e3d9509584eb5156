//! The whole state under the prefix at one revision, read in pages.

use std::sync::Arc;

use kernel_store::EventKind;
use kernel_store::index::{Index, Version};
use sdk_api::{Clock, Object};
use tonic::{Code, Status};
use tracing::warn;

use crate::connection::Connection;
use crate::layout::Layout;
use crate::proto::{self, KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::value;

/// How many objects one page has.
const PAGE: i64 = 1_000;

/// What is in etcd at a revision.
pub struct Snapshot {
    pub revision: u64,
    /// Which etcd answered.
    pub cluster: u64,
    pub versions: Vec<Version>,
}

/// Whether a revision that was asked for is gone.
pub fn is_compacted(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("compacted")
}

/// What the one key `last-commit` says, read from the majority.
pub struct Tip {
    pub cluster: u64,
    /// etcd's own.
    pub revision: u64,
    /// The newest that was committed under the prefix; 0 if nothing ever was.
    pub committed: u64,
}

/// Reads the tip: whatever was acknowledged before the call lies at or below it.
pub async fn tip(connection: &Connection, layout: &Layout) -> Result<Tip, Status> {
    let request = RangeRequest { key: layout.last_commit.clone(), keys_only: true, ..RangeRequest::default() };
    let answer: RangeResponse = connection.read(proto::RANGE, request).await?;
    let header = header(answer.header)?;
    let committed = answer.kvs.first().map_or(0, |kv| unsigned(kv.mod_revision));
    Ok(Tip { cluster: header.cluster_id, revision: unsigned(header.revision), committed })
}

/// Reads all objects at `at`, or the newest. States that `known` has already are taken from there.
pub async fn load(
    connection: &Connection,
    layout: &Layout,
    clock: &dyn Clock,
    known: &Index,
    at: Option<u64>,
) -> Result<Snapshot, Status> {
    let (mut key, range_end) = layout.range();
    let mut snapshot: Option<Snapshot> = None;
    loop {
        // The first page tells the revision of all, if none was asked for.
        let revision = snapshot.as_ref().map(|snapshot| snapshot.revision).or(at).unwrap_or(0);
        let (key_now, range_end) = (key.clone(), range_end.clone());
        let request =
            RangeRequest { key: key_now, range_end, limit: PAGE, revision: signed(revision), keys_only: false };
        let page: RangeResponse = connection.read(proto::RANGE, request).await?;
        let header = header(page.header)?;
        let snapshot = snapshot.get_or_insert_with(|| Snapshot {
            revision: at.unwrap_or(unsigned(header.revision)),
            cluster: header.cluster_id,
            versions: Vec::new(),
        });
        let last = page.kvs.last().map(|kv| kv.key.clone());
        snapshot.versions.extend(page.kvs.iter().filter_map(|kv| version(layout, clock, known, kv)));
        match last {
            Some(last) if page.more => key = [&*last, &[0]].concat().into(),
            _ => break,
        }
    }
    snapshot.ok_or_else(|| Status::internal("no page was read"))
}

/// An object as it stands in etcd. Who wrote it is not known any more.
fn version(layout: &Layout, clock: &dyn Clock, known: &Index, kv: &KeyValue) -> Option<Version> {
    if kv.key == layout.last_commit {
        return None;
    }
    let key = layout.key(&kv.key)?;
    let revision = unsigned(kv.mod_revision);
    if let Some(same) = known.version(&key).filter(|version| version.revision() == revision) {
        return Some(same);
    }
    let Some(hole) = value::open(&kv.value) else {
        warn!(%key, "What stands in etcd is no JSON object.");
        return None;
    };
    let object = Arc::new(Object::new(key, revision, hole.fill(revision)));
    // When a later state was written nobody knows, so it is as young as it can be.
    let created = (kv.version == 1).then(|| object.meta().creation_timestamp).flatten();
    Some(Version {
        object,
        kind: if kv.version > 1 { EventKind::Updated } else { EventKind::Created },
        time: created.unwrap_or_else(|| clock.now()),
        author: "".into(),
        hole: u32::try_from(hole.head.len()).ok()?,
    })
}

pub fn header(header: Option<ResponseHeader>) -> Result<ResponseHeader, Status> {
    header.ok_or_else(|| Status::internal("an answer without a header"))
}

/// Revisions are signed in etcd's messages, and never negative.
pub fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

pub fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
