//! Tokens of service accounts, bound to a pod and fetched anew before they run out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use sdk_api::{Clock, Key, Timestamp};
use sdk_client::Client;
use serde_json::json;

/// Source: the default of `expirationSeconds`.
const LIFE_SECONDS: i64 = 3600;
/// The share of a token's life after which it is replaced, in percent; and the longest that one is used.
const REFRESH_PERCENT: i64 = 80;
const REFRESH_MAX_SECONDS: i64 = 24 * 3600;

/// Pod uid, path in the volume and audience: enough to tell the tokens of a pod apart.
type Which = (String, String, String);

#[derive(Clone)]
struct Token {
    text: String,
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

pub(crate) struct Tokens {
    client: Client,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<Which, Token>>,
}

/// When a token of this life should be replaced.
fn refresh_at(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = (expires.as_second() - now.as_second()).max(0);
    let after = (life * REFRESH_PERCENT / 100).min(REFRESH_MAX_SECONDS);
    Timestamp::from_second(now.as_second() + after).unwrap_or(expires)
}

impl Tokens {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Which, Token>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token for a projection: the known one, or a new one if that is due.
    pub(crate) async fn get(&self, pod: &Pod, source: &ServiceAccountTokenProjection) -> Result<String, String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let audience = source.audience.clone().unwrap_or_default();
        let which = (uid, source.path.clone(), audience.clone());
        let now = self.clock.now();
        let known = self.known().get(&which).cloned();
        if let Some(known) = known.as_ref().filter(|known| now < known.refresh_at) {
            return Ok(known.text.clone());
        }
        match self.request(pod, source, &audience).await {
            Ok(token) => {
                let text = token.text.clone();
                self.known().insert(which, token);
                Ok(text)
            }
            // The old one still holds; the next look tries again.
            Err(error) => known.filter(|known| now < known.expires_at).map(|known| known.text).ok_or(error),
        }
    }

    async fn request(
        &self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
        audience: &str,
    ) -> Result<Token, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let audiences: Vec<&str> = if audience.is_empty() { vec![] } else { vec![audience] };
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": source.expiration_seconds.unwrap_or(LIFE_SECONDS),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid},
            },
        });
        let key = Key::of::<ServiceAccount>(namespace, account);
        let failed = |why: String| format!("failed to fetch token: {why}");
        let answer = self.client.post(&key, "token", body).await.map_err(|status| failed(status.message))?;
        let answer = answer.ok_or_else(|| failed("the server answered without a token".into()))?;
        let status = &answer.tree()["status"];
        let text = status["token"].as_str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| failed("the server answered without a token".into()))?;
        let now = self.clock.now();
        let expires = status["expirationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let expires_at: Timestamp = expires.unwrap_or(now + Duration::from_secs(LIFE_SECONDS.unsigned_abs()));
        Ok(Token { text: text.into(), refresh_at: refresh_at(now, expires_at), expires_at })
    }

    /// When the first token of a pod should be replaced.
    pub(crate) fn refresh_in(&self, pod_uid: &str, now: Timestamp) -> Option<Duration> {
        let known = self.known();
        let of_pod = known.iter().filter(|((uid, ..), _)| uid == pod_uid).map(|(_, token)| token.refresh_at);
        of_pod.min().map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }

    pub(crate) fn forget(&self, pod_uid: &str) {
        self.known().retain(|(uid, ..), _| uid != pod_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_at_four_fifths_of_their_life() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (life, after) in [(3600, 2880), (600, 480), (30 * 86_400, 86_400), (-5, 0)] {
            assert_eq!(refresh_at(at(1000), at(1000 + life)), at(1000 + after), "{life}");
        }
    }
}
