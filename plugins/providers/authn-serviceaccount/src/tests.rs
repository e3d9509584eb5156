//! Tokens from issue to refusal, against an API in memory and a clock that stands still.

use std::time::Duration;

use sdk_api::Key;
use sdk_api::k8s_openapi::api::core::v1::{Pod, ServiceAccount as Account};
use sdk_client::Subject;
use sdk_plugin::{Authenticator, Context, Credentials, TokenClaims, TokenIssuer};
use sdk_testkit::{Build, FakeApi, ManualClock};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn new_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

fn settings(keys: &[&str]) -> Settings {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Settings { issuer: ISSUER.into(), audiences: vec![], keys, extend_expiration: false }
}

struct World {
    clock: Arc<ManualClock>,
    api: FakeApi,
    tokens: ServiceAccountTokens,
    claims: TokenClaims,
}

async fn world(settings: Settings) -> World {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let account = api.seed(Build::of::<Account>("blue", "bot"));
    let pod = api.seed(Build::of::<Pod>("blue", "web"));
    let tokens = ServiceAccountTokens::new(settings, clock.clone()).unwrap();
    let context =
        Context { client: api.admin(), clients: api.clients(), clock: clock.clone(), stop: CancellationToken::new() };
    tokens.start(context).await.unwrap();
    let claims = TokenClaims {
        namespace: "blue".into(),
        service_account: "bot".into(),
        service_account_uid: account.uid().into(),
        expiration_seconds: 3607,
        bound_to: Some(("Pod".into(), "web".into(), pod.uid().into())),
        node: Some(("n1".into(), "node-uid".into())),
        ..TokenClaims::default()
    };
    World { clock, api, tokens, claims }
}

impl World {
    async fn who(&self, token: &str, audiences: &[&str]) -> Result<Option<Subject>, u16> {
        let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        let credentials = Credentials { bearer: Some(token.into()), audiences, ..Credentials::default() };
        self.tokens.authenticate(&credentials).await.map_err(|status| status.code)
    }

    fn issue(&self) -> String {
        self.tokens.issue(&self.claims).unwrap().0
    }
}

#[tokio::test]
async fn a_token_names_its_account_its_pod_and_its_node() {
    let world = world(settings(&[&new_key()])).await;
    let user = world.who(&world.issue(), &[]).await.unwrap().unwrap();
    assert_eq!(user.name, "system:serviceaccount:blue:bot");
    assert_eq!(user.uid, world.claims.service_account_uid);
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:blue", "system:authenticated"]);
    let extra = |key: &str| user.extra[&format!("authentication.kubernetes.io/{key}")][0].clone();
    assert_eq!((extra("pod-name").as_str(), extra("node-name").as_str()), ("web", "n1"));
    assert!(extra("credential-id").starts_with("JTI="));
}

#[tokio::test]
async fn what_is_not_ours_is_left_to_others_and_what_is_wrong_is_refused() {
    let (key, stranger) = (new_key(), new_key());
    let world = world(settings(&[&key])).await;
    let good = world.issue();
    let other_key = ServiceAccountTokens::new(settings(&[&stranger]), world.clock.clone()).unwrap();
    let mut other_settings = settings(&[&key]);
    other_settings.issuer = "https://example.com".into();
    let other_issuer = ServiceAccountTokens::new(other_settings, world.clock.clone()).unwrap();
    let vault = TokenClaims { audiences: vec!["vault".into()], ..world.claims.clone() };
    let for_vault = world.tokens.issue(&vault).unwrap().0;
    let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
    parts[2].replace_range(..4, "AAAA");
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    for (case, token, audiences, known) in [
        ("good", good.as_str(), vec![], Ok(true)),
        ("for the API by name", &good, vec![ISSUER], Ok(true)),
        ("not for the vault", &good, vec!["vault"], Err(401)),
        ("for the vault", &for_vault, vec!["vault", "other"], Ok(true)),
        ("the vault's at the API", &for_vault, vec![], Err(401)),
        ("another signature", &parts.join("."), vec![], Err(401)),
        ("no signature", &unsigned, vec![], Err(401)),
        ("another key", &other_key.issue(&world.claims).unwrap().0, vec![], Err(401)),
        ("another issuer", &other_issuer.issue(&world.claims).unwrap().0, vec![], Ok(false)),
        ("a password", "secret", vec![], Ok(false)),
        ("dots", "..", vec![], Ok(false)),
        ("nothing", "", vec![], Ok(false)),
    ] {
        let found = world.who(token, &audiences).await.map(|user| user.is_some());
        assert_eq!(found, known, "{case}");
    }
}

#[tokio::test]
async fn tokens_end_with_time() {
    let world = world(settings(&[&new_key()])).await;
    let (token, expires) = world.tokens.issue(&world.claims).unwrap();
    assert_eq!(expires.as_second() - sdk_api::Clock::now(&*world.clock).as_second(), 3607);
    world.clock.advance(Duration::from_secs(3600));
    assert!(world.who(&token, &[]).await.is_ok());
    world.clock.advance(Duration::from_secs(70));
    assert_eq!(world.who(&token, &[]).await, Err(401));
}

#[tokio::test]
async fn tokens_end_with_what_they_are_bound_to() {
    for (case, key, kind) in [
        ("the pod", Key::of::<Pod>("blue", "web"), "Pod"),
        ("the account", Key::of::<Account>("blue", "bot"), "ServiceAccount"),
    ] {
        let world = world(settings(&[&new_key()])).await;
        let token = world.issue();
        assert!(world.who(&token, &[]).await.is_ok(), "{case}");
        world.api.remove(&key);
        assert_eq!(world.who(&token, &[]).await, Err(401), "{case} is gone");
        world.api.seed(Build::new("v1", kind, "blue", &key.name).set("metadata.uid", json!("successor")));
        assert_eq!(world.who(&token, &[]).await, Err(401), "{case} has a successor");
    }
}

#[tokio::test]
async fn old_keys_still_check() {
    let (old, new) = (new_key(), new_key());
    let before = world(settings(&[&old])).await;
    let token = before.issue();
    let after = ServiceAccountTokens::new(settings(&[&new, &old]), before.clock.clone()).unwrap();
    assert_eq!(after.jwks()["keys"].as_array().unwrap().len(), 2);
    let context = Context {
        client: before.api.admin(),
        clients: before.api.clients(),
        clock: before.clock.clone(),
        stop: CancellationToken::new(),
    };
    after.start(context).await.unwrap();
    let after = World { tokens: after, ..before };
    assert!(after.who(&token, &[]).await.unwrap().is_some());
    assert!(after.who(&after.issue(), &[]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_pods_token_may_live_on_with_a_warning() {
    let extended = Settings { extend_expiration: true, ..settings(&[&new_key()]) };
    let world = world(extended).await;
    let (token, expires) = world.tokens.issue(&world.claims).unwrap();
    assert_eq!(expires.as_second() - sdk_api::Clock::now(&*world.clock).as_second(), 3607);
    world.clock.advance(Duration::from_secs(100 * 24 * 3600));
    assert!(world.who(&token, &[]).await.unwrap().is_some());
}

#[test]
fn keys_are_refused_with_a_reason() {
    let clock = ManualClock::new();
    for (keys, wrong) in
        [(vec![], "no key is given"), (vec!["x"], "the first key must be a private one, since it signs")]
    {
        let error = ServiceAccountTokens::new(settings(&keys), clock.clone()).err().unwrap();
        assert_eq!(error.to_string(), wrong);
    }
}

#[tokio::test]
async fn rsa_keys_sign_and_check() {
    // Made for this test; nothing else knows it.
    let (private, public) = (include_str!("../testdata/rsa.pem"), include_str!("../testdata/rsa.pub"));
    let world = world(settings(&[private])).await;
    let token = world.issue();
    assert!(world.who(&token, &[]).await.unwrap().is_some());
    let new = new_key();
    let checks = ServiceAccountTokens::new(settings(&[&new, public]), world.clock.clone()).unwrap();
    assert_eq!(checks.configuration("x")["id_token_signing_alg_values_supported"], json!(["ES256", "RS256"]));
    let context = Context {
        client: world.api.admin(),
        clients: world.api.clients(),
        clock: world.clock.clone(),
        stop: CancellationToken::new(),
    };
    checks.start(context).await.unwrap();
    let world = World { tokens: checks, ..world };
    assert!(world.who(&token, &[]).await.unwrap().is_some());
    assert_eq!(world.tokens.jwks()["keys"][1]["kty"], "RSA");
}
