//! What a watch wants to see, and what it sees when an object enters or leaves its selection.

use std::sync::Arc;

use kernel_store::{Event, EventKind};
use sdk_api::Object;

use crate::cursor::Item;

/// Selectors, as a question to an object.
pub type Selects = Arc<dyn Fn(&Object) -> bool + Send + Sync>;

/// Chooses objects of one collection.
#[derive(Clone, Default)]
pub struct Filter {
    /// One namespace; `None` is all.
    pub namespace: Option<Arc<str>>,
    /// One name; `None` is all.
    pub name: Option<Arc<str>>,
    /// Label and field selectors; `None` selects everything.
    pub selects: Option<Selects>,
}

impl Filter {
    pub fn matches(&self, object: &Object) -> bool {
        self.covers(object) && self.selects.as_ref().is_none_or(|selects| selects(object))
    }

    /// Whether the object's key is in the watched scope at all.
    fn covers(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object.namespace() == namespace)
            && self.name.as_deref().is_none_or(|name| object.name() == name)
    }

    /// What the watch tells of an event: entering is ADDED, staying MODIFIED, leaving DELETED with the previous content
    /// and the new revision, and outside is nothing.
    pub(crate) fn see(&self, event: &Event) -> Option<Item> {
        if !self.covers(&event.object) {
            return None;
        }
        let selects = |object: &Object| self.selects.as_ref().is_none_or(|selects| selects(object));
        let was_in = || event.previous.as_ref().is_some_and(|previous| selects(previous));
        match event.kind {
            EventKind::Created => selects(&event.object).then(|| Item::Added(event.object.clone())),
            EventKind::Deleted => was_in().then(|| Item::Deleted(event.object.clone())),
            EventKind::Updated => match (was_in(), selects(&event.object)) {
                (true, true) => Some(Item::Modified(event.object.clone())),
                (false, true) => Some(Item::Added(event.object.clone())),
                (true, false) => {
                    let previous = event.previous.as_ref().expect("was_in() saw it");
                    Some(Item::Deleted(Arc::new(with_revision(previous, event.revision()))))
                }
                (false, false) => None,
            },
        }
    }
}

/// The same content under another `resourceVersion`.
pub fn with_revision(object: &Object, revision: u64) -> Object {
    let mut tree = serde_json::Value::clone(&object.document());
    tree["metadata"]["resourceVersion"] = revision.to_string().into();
    Object::new(object.key().clone(), revision, tree.to_string().into())
}
