//! Whether what a token is bound to is still there.

use sdk_api::k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use sdk_api::{Key, Object, Status, Timestamp, Typed};
use sdk_client::Client;

use crate::claims::{Private, Ref};

/// How long after its deletion time an object's tokens still work, in seconds: what ends orderly may need them.
const DELETION_LEEWAY: i64 = 60;

/// Checks every object that the token names, in its incarnation. An error is the reason to refuse.
pub async fn bound(client: &Client, claims: &Private, now: Timestamp) -> Result<(), String> {
    let namespace = claims.namespace.as_str();
    exists::<ServiceAccount>(client, namespace, &claims.serviceaccount, now).await?;
    if let Some(secret) = &claims.secret {
        exists::<Secret>(client, namespace, secret, now).await?;
    }
    match (&claims.pod, &claims.node) {
        (Some(pod), _) => exists::<Pod>(client, namespace, pod, now).await,
        (None, Some(node)) => exists::<Node>(client, "", node, now).await,
        (None, None) => Ok(()),
    }
}

async fn exists<T: Typed>(client: &Client, namespace: &str, wanted: &Ref, now: Timestamp) -> Result<(), String> {
    let key = Key::of::<T>(namespace, &wanted.name);
    let found = client.find(&key).await.map_err(|error: Status| format!("cannot read {key}: {error}"))?;
    let object = found.ok_or_else(|| format!("{key} is gone"))?;
    if object.uid() != wanted.uid {
        return Err(format!("{key} is another one now"));
    }
    if is_past_deletion(&object, now) {
        return Err(format!("{key} has been deleted"));
    }
    Ok(())
}

fn is_past_deletion(object: &Object, now: Timestamp) -> bool {
    let deleted = object.meta().deletion_timestamp;
    deleted.is_some_and(|at| now.as_second() > at.as_second().saturating_add(DELETION_LEEWAY))
}
