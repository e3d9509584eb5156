//! Rewriting an object for a subresource that is posted to, such as a binding.

use std::sync::Arc;

use kernel_store::{Commit, Error, Precondition, Put, Write};
use sdk_api::{Key, Object, Status, Violations};
use sdk_plugin::{Operation, Rewrite};
use serde_json::Value;

use crate::options::Caller;
use crate::registry::{Registry, store_status};
use crate::{admit, document, meta};

/// How often a rewrite starts over because somebody came between.
const TRIES_MAX: usize = 100;

impl Registry {
    /// Lets `change` work on the newest state and writes the result, validated and admitted, until nobody comes between.
    pub async fn rewrite(
        &self,
        caller: &Caller<'_>,
        key: &Key,
        subresource: &str,
        change: &mut Rewrite<'_>,
    ) -> Result<Arc<Object>, Status> {
        let kind = self.table().stored(&key.resource).cloned().ok_or_else(Status::no_such_path)?;
        self.settle(None).await?;
        for _ in 0..TRIES_MAX {
            let old = self.store.get(key).ok_or_else(|| Status::not_found(&key.resource, &key.name))?;
            let mut new = Value::clone(&old.document());
            change(&mut new)?;
            if new == *old.document() {
                return Ok(old);
            }
            // No generation is counted: upstream's bindings do not, and clients expect a pod that was never changed to
            // be of generation 1.
            // Nor are managed fields, which stay as they are.
            meta::keep_system_fields(&mut new, &old.document());
            let place = (&*key.namespace, &*key.name, subresource);
            let request = admit::request(caller, &kind, Operation::Update, place, new, Some(old.clone()));
            let mut found: Violations = meta::validate(&request.object, &kind);
            found.extend(meta::validate_update(&request.object, &old.document()));
            if !found.is_empty() {
                return Err(Status::invalid(&kind.group_kind(), &key.name, &found));
            }
            admit::validate(&self.admission, &request, caller).await?;
            if caller.dry_run {
                return Ok(Arc::new(Object::new(key.clone(), old.revision(), request.object.to_string().into())));
            }
            let write = Write {
                key: key.clone(),
                precondition: Precondition::Revision(old.revision()),
                put: Some(Put { value: document::with_hole(&request.object) }),
                last: None,
                author: caller.user.name.as_str().into(),
            };
            match self.store.commit(Commit { writes: vec![write] }).await {
                Ok(done) => return done.objects.into_iter().next().ok_or_else(|| Status::internal("an empty commit")),
                Err(Error::Precondition { .. }) => {}
                Err(error) => return Err(store_status(error)),
            }
        }
        Err(Status::modified(&key.resource, &key.name))
    }
}
