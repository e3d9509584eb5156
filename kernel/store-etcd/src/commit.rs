//! A commit: one transaction, guarded by the object's mod revision.
//!
//! etcd gives one revision to all that a transaction writes, and no two states of objects may share one: so a commit is
//! one write. It is answered once the watch has shown it, so that its writer reads what it wrote.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kernel_store::index::Version;
use kernel_store::{Commit, Committed, Error, Precondition, Write};
use sdk_api::{Key, Object};

use crate::barrier::shown;
use crate::connection::Unwritten;
use crate::error::reason;
use crate::load::{header, unsigned};
use crate::proto::{
    self, Compare, Compared, DeleteRangeRequest, PutRequest, RangeRequest, Request, TxnRequest, TxnResponse,
};
use crate::record::Record;
use crate::store::Shared;
use crate::value;

/// How long a commit whose answer was lost waits for the watch to show it.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);

/// Writes all or nothing, at most one object.
pub async fn commit(shared: &Shared, commit: Commit) -> Result<Committed, Error> {
    shared.usable()?;
    let mut writes = commit.writes;
    let Some(write) = writes.pop() else { return Ok(Committed { objects: Vec::new() }) };
    if !writes.is_empty() {
        let why = format!("a commit of {} writes: etcd has one revision for all of them", writes.len() + 1);
        return Err(Error::Unavailable { why });
    }
    let object = one(shared, write).await?;
    Ok(Committed { objects: vec![object] })
}

async fn one(shared: &Shared, write: Write) -> Result<Arc<Object>, Error> {
    let unavailable = |why: String| Error::Unavailable { why };
    let path = shared.layout.path(&write.key);
    let path = path.ok_or_else(|| unavailable(format!("{} cannot be a key of etcd", write.key)))?;
    let before = shared.index.version(&write.key);
    let mut ticket = shared.pending.ticket();
    let now = shared.clock.now();
    let time = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let record = Record::new(ticket.id(), time, write.author.clone(), write.last.as_ref());
    let record = record.map_err(|why| unavailable(format!("the last state of {} is no JSON: {why}", write.key)))?;
    let request = transaction(shared, &path, &write, &record);
    let answer: TxnResponse = match shared.connection.write(proto::TXN, request).await {
        Ok(answer) => answer,
        Err(Unwritten::Refused(status)) => return Err(unavailable(format!("etcd refuses: {}", reason(&status)))),
        Err(Unwritten::Unknown(status)) => {
            // The watch knows, if it comes back in time.
            let shown_later = tokio::time::timeout(UNKNOWN_WAIT, ticket.shown()).await;
            let unknown = |_| unavailable(format!("it may have been written, etcd did not say: {}", reason(&status)));
            let object = shown_later.map_err(unknown)?;
            shown(shared, object.revision()).await?;
            return Ok(object);
        }
    };
    if answer.succeeded {
        let header = header(answer.header).map_err(|status| unavailable(reason(&status)))?;
        let revision = unsigned(header.revision);
        shown(shared, revision).await?;
        // Where the state was loaded anew, the event was not seen.
        ticket.take().or_else(|| made(write, before, revision)).ok_or_else(|| unavailable("the watch missed it".into()))
    } else {
        Err(refused(shared, write.key, answer).await?)
    }
}

fn transaction(shared: &Shared, path: &Bytes, write: &Write, record: &Record) -> TxnRequest {
    // No key has a negative revision, so what compares with one never happens.
    const NEVER: Compared = Compared::ModRevision(-1);
    let compared = match write.precondition {
        Precondition::Absent if write.put.is_some() => Compared::CreateRevision(0),
        Precondition::Absent | Precondition::Revision(0) => NEVER,
        Precondition::Revision(revision) => i64::try_from(revision).map_or(NEVER, Compared::ModRevision),
    };
    let last_commit = shared.layout.last_commit.clone();
    let object = match &write.put {
        Some(put) => Request::Put(PutRequest { key: path.clone(), value: value::closed(&put.value) }),
        None => Request::DeleteRange(DeleteRangeRequest { key: path.clone() }),
    };
    let read = |key: Bytes, keys_only| Request::Range(RangeRequest { key, keys_only, ..RangeRequest::default() });
    TxnRequest {
        compare: vec![Compare::equal(path.clone(), compared)],
        // The record first: the watch tells them in this order.
        success: vec![
            Request::Put(PutRequest { key: last_commit.clone(), value: record.encode() }).into(),
            object.into(),
        ],
        failure: vec![read(path.clone(), false).into(), read(last_commit, true).into()],
    }
}

/// What a write made, without the watch's word.
fn made(write: Write, before: Option<Version>, revision: u64) -> Option<Arc<Object>> {
    let hole = match (write.put, write.last) {
        (Some(put), _) => put.value,
        (None, Some(last)) => last,
        (None, None) => before.filter(|before| write.precondition == Precondition::Revision(before.revision()))?.open(),
    };
    Some(Arc::new(Object::new(write.key, revision, hole.fill(revision))))
}

/// The failed precondition, once reads show what made it fail: whoever looks again must not find the state of before.
async fn refused(shared: &Shared, key: Key, answer: TxnResponse) -> Result<Error, Error> {
    let mut ranges = answer.responses.into_iter().map(|response| response.range.unwrap_or_default());
    let mut next = || ranges.next().and_then(|range| range.kvs.into_iter().next());
    let (object, last_commit) = (next(), next());
    let revision = |kv: &Option<proto::KeyValue>| kv.as_ref().map_or(0, |kv| unsigned(kv.mod_revision));
    shown(shared, revision(&object).max(revision(&last_commit))).await?;
    let current = object.and_then(|kv| {
        let revision = unsigned(kv.mod_revision);
        let known = shared.index.get(&key).filter(|known| known.revision() == revision);
        known.or_else(|| {
            let raw = value::open(&kv.value)?.fill(revision);
            Some(Arc::new(Object::new(key.clone(), revision, raw)))
        })
    });
    Ok(Error::Precondition { key, current })
}
