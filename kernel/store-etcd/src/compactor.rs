//! Lets etcd forget the past, once in a while, by one of all servers.
//!
//! The key and the rule are the Kubernetes API server's own (`compact_rev_key`): whoever raises the key's version compacts
//! to the revision that stood there one interval ago. So every event can be read for an interval at least, whichever
//! servers and clusters share the etcd.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use tracing::{debug, info, warn};

use crate::connection::Unwritten;
use crate::error::reason;
use crate::load::{header, is_compacted, signed, tip, unsigned};
use crate::proto::{self, Compare, Compared, PutRequest, RangeRequest, Request, TxnRequest, TxnResponse};
use crate::record::Record;
use crate::store::Shared;

const KEY: Bytes = Bytes::from_static(b"compact_rev_key");

/// What is remembered between two rounds.
#[derive(Default)]
pub struct Compactor {
    /// The version of the key when it was last seen.
    version: i64,
    /// etcd's revision then; 0 before the first round.
    revision: u64,
}

impl Compactor {
    /// A round every interval, until the store is closed.
    pub async fn run(mut self, shared: Arc<Shared>, interval: Duration) {
        let closed = shared.closed.clone();
        while closed.run_until_cancelled(shared.clock.sleep(interval)).await.is_some() {
            match closed.run_until_cancelled(self.round(&shared)).await {
                Some(Err(status)) => warn!(why = reason(&status), "Cannot compact etcd; trying again later."),
                Some(Ok(_)) => {}
                None => return,
            }
        }
    }

    /// One round; gives the revision that it compacted to, if it was this server's turn.
    pub async fn round(&mut self, shared: &Shared) -> Result<Option<u64>, Status> {
        keep_up(shared).await?;
        let request = TxnRequest {
            compare: vec![Compare::equal(KEY, Compared::Version(self.version))],
            success: vec![Request::Put(PutRequest { key: KEY, value: self.revision.to_string().into() }).into()],
            failure: vec![Request::Range(RangeRequest { key: KEY, ..RangeRequest::default() }).into()],
        };
        let answer: TxnResponse = shared.connection.write(proto::TXN, request).await.map_err(status)?;
        let now = unsigned(header(answer.header)?.revision);
        let due = std::mem::replace(&mut self.revision, now);
        if !answer.succeeded {
            let found = answer.responses.into_iter().next().and_then(|response| response.range);
            self.version = found.and_then(|range| range.kvs.first().map(|kv| kv.version)).unwrap_or(0);
            debug!(version = self.version, "Another server compacts etcd.");
            return Ok(None);
        }
        self.version += 1;
        if due == 0 {
            return Ok(None);
        }
        let request = proto::CompactionRequest { revision: signed(due) };
        match shared.connection.read::<_, proto::CompactionResponse>(proto::COMPACT, request).await {
            Ok(_) => info!(revision = due, "Compacted etcd."),
            Err(status) if is_compacted(&status) => {}
            Err(status) => return Err(status),
        }
        Ok(Some(due))
    }
}

/// Writes a record of nothing if the rest of etcd moved on without us: a watch that has seen nothing for long would find
/// its place compacted when it has to go on, though nothing happened.
async fn keep_up(shared: &Shared) -> Result<(), Status> {
    let tip = tip(&shared.connection, &shared.layout).await?;
    if tip.revision <= shared.index.revision() {
        return Ok(());
    }
    let key = shared.layout.last_commit.clone();
    let record = Record { time: shared.clock.now(), ..Record::default() };
    let request = TxnRequest {
        compare: vec![Compare::equal(key.clone(), Compared::ModRevision(signed(tip.committed)))],
        success: vec![Request::Put(PutRequest { key, value: record.encode() }).into()],
        failure: Vec::new(),
    };
    shared.connection.write::<_, TxnResponse>(proto::TXN, request).await.map(drop).map_err(status)
}

fn status(unwritten: Unwritten) -> Status {
    match unwritten {
        Unwritten::Refused(status) | Unwritten::Unknown(status) => status,
    }
}
