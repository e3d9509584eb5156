//! Consistent reads: what is the newest that anybody was told is written, and does the index have it?
//!
//! All who ask while one question to etcd is under way share the next one.

use std::sync::Arc;
use std::time::Duration;

use kernel_store::Error;
use tokio::sync::{mpsc, oneshot};

use crate::error::reason;
use crate::load::tip;
use crate::store::Shared;

/// How many may wait for the next question.
pub const WAITING_MAX: usize = 10_000;
/// How far the watch may lag before it is opened anew, perhaps elsewhere.
const LAG_MAX: Duration = Duration::from_secs(2);
/// How long a consistent read waits for the watch.
const WAIT_MAX: Duration = Duration::from_secs(10);

pub type Question = oneshot::Sender<Result<u64, String>>;

/// Asks etcd for those who wait, until the store is gone.
pub async fn run(shared: Arc<Shared>, mut questions: mpsc::Receiver<Question>) {
    while let Some(first) = questions.recv().await {
        let mut all = vec![first];
        while let Ok(another) = questions.try_recv() {
            all.push(another);
        }
        let answer = tip(&shared.connection, &shared.layout).await;
        let answer =
            answer.map(|tip| tip.committed).map_err(|status| format!("etcd does not answer: {}", reason(&status)));
        for question in all {
            // Whoever has gone away is not owed an answer.
            let _ = question.send(answer.clone());
        }
    }
}

/// Returns once the index shows all that was acknowledged before the call.
pub async fn wait(shared: &Shared, questions: &mpsc::Sender<Question>) -> Result<u64, Error> {
    shared.usable()?;
    let (question, answer) = oneshot::channel();
    let unavailable = |why: String| Error::Unavailable { why };
    let closed = |_| unavailable("the store is closed".into());
    questions.send(question).await.map_err(|_| unavailable("the store is closed".into()))?;
    let committed = answer.await.map_err(closed)?.map_err(unavailable)?;
    shown(shared, committed).await?;
    Ok(shared.index.revision())
}

/// Returns once the index shows a revision that etcd has.
pub async fn shown(shared: &Shared, revision: u64) -> Result<(), Error> {
    let start = tokio::time::Instant::now();
    let passed = shared.index.passed(revision);
    tokio::pin!(passed);
    loop {
        tokio::select! {
            biased;
            () = &mut passed => return Ok(()),
            () = shared.closed.cancelled() => return Err(Error::Unavailable { why: "the store is closed".into() }),
            () = tokio::time::sleep(LAG_MAX) => shared.suspect.notify_waiters(),
        }
        if start.elapsed() >= WAIT_MAX {
            let why = format!("the watch of etcd lags behind: it has not shown revision {revision} yet");
            return Err(Error::Unavailable { why });
        }
    }
}
