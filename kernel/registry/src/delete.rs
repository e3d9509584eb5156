//! Deleting: at once, gracefully, or as far as finalizers let it.

use std::sync::Arc;

use kernel_store::{Error, Precondition};
use sdk_api::{Object, Status, Timestamp, time};
use sdk_client::Propagation;
use sdk_plugin::{Grace, Kind, Operation};
use serde_json::Value;

use crate::document::metadata;
use crate::options::{Caller, DeleteRequest, ListRequest};
use crate::registry::{Registry, store_status};
use crate::{admit, meta};

const TRIES_MAX: usize = 100;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion did.
pub struct Deletion {
    /// The object as the deletion left it.
    pub object: Arc<Object>,
    /// It is gone, not only marked.
    pub gone: bool,
}

impl Registry {
    /// Deletes an object, or marks it so that others finish what they have to do with it.
    pub async fn delete(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        namespace: &str,
        name: &str,
        request: &DeleteRequest,
    ) -> Result<Deletion, Status> {
        let hub = self.hub(kind);
        let key = self.key(kind, namespace, name);
        self.settle(None).await?;
        for _ in 0..TRIES_MAX {
            let old = self.store.get(&key).ok_or_else(|| Status::not_found(&kind.group_resource(), name))?;
            check_preconditions(kind, &old, request)?;
            let place = (namespace, name, "");
            let mut admission = admit::request(caller, &hub, Operation::Delete, place, Value::Null, Some(old.clone()));
            admit::mutate(&self.admission, &mut admission, |_| Ok(())).await?;
            admit::validate(&self.admission, &admission, caller).await?;

            let mut new = Value::clone(&old.document());
            let gone = self.mark(&hub, &mut new, request)?;
            let unchanged = !gone && new == *old.document();
            if caller.dry_run || unchanged {
                return Ok(Deletion { object: self.present(kind, &old), gone });
            }
            let done = if gone {
                let last = (new != *old.document()).then_some(&new);
                self.commit_delete(caller, &hub, &old, last).await
            } else {
                self.commit_put(caller, key.clone(), Precondition::Revision(old.revision()), &new, None).await
            };
            match done {
                Ok(object) => return Ok(Deletion { object: self.present(kind, &object), gone }),
                // With a revision as precondition the next round answers the conflict.
                Err(Error::Precondition { .. }) => {}
                Err(error) => return Err(store_status(error)),
            }
        }
        Err(Status::modified(&kind.group_resource(), name))
    }

    /// Deletes what a list chooses, one by one, and gives the list.
    pub async fn delete_collection(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        namespace: &str,
        list: &ListRequest,
        request: &DeleteRequest,
    ) -> Result<(u64, Vec<Arc<Object>>), Status> {
        let page = self.list(kind, namespace, list).await?;
        let mut deleted = Vec::with_capacity(page.objects.len());
        for object in &page.objects {
            match self.delete(caller, kind, object.namespace(), object.name(), request).await {
                Ok(deletion) => deleted.push(deletion.object),
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Ok((page.revision, deleted))
    }

    /// Marks `object` as deleting. Says whether it may go at once.
    fn mark(&self, hub: &Kind, object: &mut Value, request: &DeleteRequest) -> Result<bool, Status> {
        let grace = match hub.strategy.grace(object, request.grace_period_seconds) {
            Grace::None => 0,
            Grace::Seconds(seconds) => seconds.max(0),
        };
        set_finalizers(object, request.propagation.or_else(|| default_propagation(hub, object)));
        let now = self.clock.now();
        if meta::is_deleting(object) {
            shorten(object, grace);
        } else {
            hub.strategy.begin_deletion(object)?;
            let goes_now = grace == 0 && meta::finalizers(object).is_empty() && !hub.strategy.is_held(object);
            if !goes_now {
                let at = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
                let metadata = metadata(object);
                metadata.insert("deletionTimestamp".into(), time::rfc3339(at).into());
                metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
                if metadata.get("generation").and_then(Value::as_i64).is_some_and(|generation| generation > 0) {
                    meta::bump_generation(object);
                }
            }
            return Ok(goes_now);
        }
        Ok(self.may_go(hub, object))
    }
}

fn check_preconditions(kind: &Kind, old: &Object, request: &DeleteRequest) -> Result<(), Status> {
    let conflict = |what: &str, asked: &str, found: &str, perhaps: &str| {
        let why = format!(
            "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). The object might \
             have been {perhaps}"
        );
        Err(Status::conflict(&kind.group_resource(), old.name(), why))
    };
    if let Some(uid) = request.uid.as_deref().filter(|uid| *uid != old.uid()) {
        return conflict("UID", uid, old.uid(), "deleted and then recreated");
    }
    match request.revision {
        Some(revision) if revision != old.revision() => {
            conflict("ResourceVersion", &revision.to_string(), &old.revision().to_string(), "modified")
        }
        _ => Ok(()),
    }
}

/// A second deletion can only bring the end nearer.
fn shorten(object: &mut Value, grace: i64) {
    let current = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    if grace >= current {
        return;
    }
    let until: Option<Timestamp> = object["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse().ok());
    let metadata = metadata(object);
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
    let nearer = until.and_then(|until| until.checked_sub(jiff::SignedDuration::from_secs(current - grace)).ok());
    if let Some(nearer) = nearer {
        metadata.insert("deletionTimestamp".into(), time::rfc3339(nearer).into());
    }
}

/// What a deletion that does not say so does to dependents: what finalizers set earlier say, or the kind's default.
fn default_propagation(hub: &Kind, object: &Value) -> Option<Propagation> {
    let said = meta::finalizers(object).iter().any(|finalizer| [ORPHAN, FOREGROUND].contains(finalizer));
    (!said && hub.propagation != Propagation::Background).then_some(hub.propagation)
}

/// What the deletion is to do with dependents is written as a finalizer for the garbage collector. Without a wish,
/// finalizers that are there already stay. Source: `deletionFinalizersForGarbageCollection`.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let before: Vec<String> = meta::finalizers(object).into_iter().map(Into::into).collect();
    let mut after: Vec<String> = before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    match propagation {
        Propagation::Orphan => after.push(ORPHAN.into()),
        Propagation::Foreground => after.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    if after != before {
        if after.is_empty() {
            metadata(object).remove("finalizers");
        } else {
            metadata(object).insert("finalizers".into(), after.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn propagation_becomes_a_finalizer() {
        for (before, wish, after) in [
            (json!(["a/b"]), None, json!(["a/b"])),
            (json!(["orphan"]), None, json!(["orphan"])),
            (json!(["orphan"]), Some(Propagation::Foreground), json!(["foregroundDeletion"])),
            (json!(["a/b", "orphan"]), Some(Propagation::Background), json!(["a/b"])),
            (json!([]), Some(Propagation::Orphan), json!(["orphan"])),
        ] {
            let mut object = json!({"metadata": {"finalizers": before}});
            set_finalizers(&mut object, wish);
            assert_eq!(object["metadata"]["finalizers"], after);
        }
    }

    #[test]
    fn a_second_deletion_only_shortens() {
        let object =
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}});
        for (grace, until) in [(60, "2026-01-01T00:00:30Z"), (10, "2026-01-01T00:00:10Z"), (0, "2026-01-01T00:00:00Z")]
        {
            let mut object = object.clone();
            shorten(&mut object, grace);
            assert_eq!(object["metadata"]["deletionTimestamp"], until);
        }
    }
}
