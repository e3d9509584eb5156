//! Our own commits that wait until the watch shows them, which is just before the index does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sdk_api::Object;
use tokio::sync::oneshot;

/// Who waits for which commit.
pub struct Pending {
    /// Tells our commits from those of other servers.
    instance: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Arc<Object>>>>,
}

/// The place of one commit, given up when it is dropped.
pub struct Ticket<'a> {
    pending: &'a Pending,
    number: u64,
    shown: oneshot::Receiver<Arc<Object>>,
}

impl Pending {
    pub fn new(instance: u64) -> Self {
        Self { instance: format!("{instance:016x}"), next: AtomicU64::new(1), waiting: Mutex::default() }
    }

    pub fn ticket(&self) -> Ticket<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, shown) = oneshot::channel();
        self.waiting.lock().expect("nothing panics under this lock").insert(number, sender);
        Ticket { pending: self, number, shown }
    }

    /// Tells whoever waits for the commit with this id, if it is ours, what it made.
    pub fn show(&self, id: &str, object: &Arc<Object>) {
        let number = id.strip_prefix(&*self.instance).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        let Some(number) = number else { return };
        let sender = self.waiting.lock().expect("nothing panics under this lock").remove(&number);
        // Whoever has gone away is not owed an answer.
        let _ = sender.map(|sender| sender.send(object.clone()));
    }
}

impl Ticket<'_> {
    pub fn id(&self) -> String {
        format!("{}-{}", self.pending.instance, self.number)
    }

    /// Resolves when the watch has shown the commit, which may be never. The index has it soon after.
    pub async fn shown(&mut self) -> Arc<Object> {
        match (&mut self.shown).await {
            Ok(object) => object,
            Err(_) => std::future::pending().await,
        }
    }

    /// What the watch has shown, if it has.
    pub fn take(mut self) -> Option<Arc<Object>> {
        self.shown.try_recv().ok()
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.pending.waiting.lock().expect("nothing panics under this lock").remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::{GroupResource, Key};

    use super::*;

    #[test]
    fn a_commit_is_shown_to_its_own_ticket_alone() {
        let pending = Pending::new(7);
        let object = Arc::new(Object::new(Key::new(&GroupResource::new("", "pods"), "", "x"), 3, "{}".into()));
        let (first, second) = (pending.ticket(), pending.ticket());
        for id in ["", "0000000000000008-1", "0000000000000007-9", "0000000000000007-x", &*second.id()] {
            pending.show(id, &object);
        }
        assert_eq!((first.take().is_some(), second.take().map(|object| object.revision())), (false, Some(3)));
        assert!(pending.waiting.lock().unwrap().is_empty());
    }
}
