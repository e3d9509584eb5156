//! Where the dispatcher's configuration comes from: the API's own objects, followed by informers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sdk_api::k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use sdk_api::{GroupResource, Object, Typed};
use sdk_controller::Informers;

use crate::server::ApiServer;

/// What is configured, by name.
#[derive(Default)]
struct Configured {
    schemas: BTreeMap<String, Arc<FlowSchema>>,
    levels: BTreeMap<String, Arc<PriorityLevelConfiguration>>,
}

/// Keeps the server's dispatcher up to date. Call it once, where both kinds are served.
pub fn follow(server: &Arc<ApiServer>, informers: &Informers) {
    let configured = Arc::new(Mutex::new(Configured::default()));
    follow_kind::<FlowSchema>(server, informers, &configured, |configured| &mut configured.schemas);
    follow_kind::<PriorityLevelConfiguration>(server, informers, &configured, |configured| &mut configured.levels);
}

fn follow_kind<T: Typed>(
    server: &Arc<ApiServer>,
    informers: &Informers,
    configured: &Arc<Mutex<Configured>>,
    of: fn(&mut Configured) -> &mut BTreeMap<String, Arc<T>>,
) {
    let (server, configured) = (Arc::downgrade(server), configured.clone());
    informers.open(&GroupResource::of::<T>()).subscribe(Arc::new(move |old, new| {
        let Some(server) = server.upgrade() else { return };
        let mut configured = configured.lock().unwrap_or_else(PoisonError::into_inner);
        // A status says nothing that the dispatcher wants to know.
        let spec = |object: Option<&Arc<Object>>| object.map(|object| (object.uid().to_owned(), object.tree()["spec"].clone()));
        let is_same = spec(old) == spec(new);
        if let Some(object) = old.filter(|_| new.is_none()) {
            of(&mut configured).remove(object.name());
        }
        if let Some(object) = new {
            match object.typed::<T>() {
                Ok(typed) => drop(of(&mut configured).insert(object.name().to_owned(), typed)),
                Err(error) => tracing::warn!(key = %object.key(), %error, "A configuration of flow control does not fit its type."),
            }
        }
        if !is_same {
            let schemas: Vec<_> = configured.schemas.values().cloned().collect();
            let levels: Vec<_> = configured.levels.values().cloned().collect();
            server.flow.configure(&schemas, &levels);
        }
    }));
}
