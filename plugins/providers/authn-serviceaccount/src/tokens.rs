//! The issuer and the authenticator of service-account tokens.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sdk_api::{Clock, Status, Timestamp};
use sdk_client::Client;
use sdk_plugin::{Authenticator, Context, Credentials, Subject, TokenClaims, TokenIssuer};
use serde_json::{Value, json};

use crate::check;
use crate::claims::{Claims, Private};
use crate::keys::{Error, Keys};

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;
/// The life that the kubelet asks for the token every pod gets, in seconds; such tokens alone are extended.
const POD_TOKEN_SECONDS: i64 = 3607;
/// How long an extended token lives, in seconds.
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// What the tokens of a cluster are made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer that tokens name, and under whose URL its keys are found. Usually
    /// `https://kubernetes.default.svc.cluster.local`.
    pub issuer: String,
    /// Whom tokens are for that nobody said otherwise: the API server's own audiences. Empty is the issuer.
    pub audiences: Vec<String>,
    /// Keys in PEM, EC P-256 (ES256) or RSA (RS256). The first is private and signs; the others only check.
    pub keys: Vec<String>,
    /// Whether pods' tokens live for a year with a warning after their own hour, for clients that never read the file
    /// again. Off by default. Source: KEP-1205, `--service-account-extend-token-expiration`.
    pub extend_expiration: bool,
}

/// Issues and checks service-account tokens.
pub struct ServiceAccountTokens {
    issuer: String,
    audiences: Vec<String>,
    keys: Keys,
    extend_expiration: bool,
    clock: Arc<dyn Clock>,
    /// Reads what tokens are bound to.
    client: OnceLock<Client>,
}

impl ServiceAccountTokens {
    /// Fails where a key cannot be read.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let keys = Keys::new(&settings.keys)?;
        let Settings { issuer, mut audiences, extend_expiration, .. } = settings;
        if audiences.is_empty() {
            audiences.push(issuer.clone());
        }
        Ok(Self { issuer, audiences, keys, extend_expiration, clock, client: OnceLock::new() })
    }

    /// The public keys: the document of `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        self.keys.document()
    }

    /// The document of `/.well-known/openid-configuration`; `jwks_uri` is where the keys are.
    pub fn configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self.keys.algorithms(),
        })
    }

    /// Whether a token claims to be ours, before anything about it is believed.
    fn is_ours(&self, token: &str) -> bool {
        let claims: Result<Value, _> = jsonwebtoken::dangerous::insecure_decode_claims(token);
        claims.is_ok_and(|claims| claims["iss"] == self.issuer.as_str())
    }

    /// The claims of a token of ours, for one of these audiences, at this time. An error is the reason to refuse.
    fn verified(&self, token: &str, audiences: &[String], now: i64) -> Result<Claims, String> {
        let claims: Claims = self.keys.verify(token).ok_or("the signature or the form is wrong")?;
        let account = &claims.kubernetes.serviceaccount;
        if claims.iss != self.issuer {
            return Err("another issuer".into());
        }
        if now > claims.exp.saturating_add(LEEWAY) {
            return Err("service account token has expired".into());
        }
        if now < claims.nbf.saturating_sub(LEEWAY) || now < claims.iat.saturating_sub(LEEWAY) {
            return Err("service account token is not valid yet".into());
        }
        if claims.sub != Claims::user(&claims.kubernetes.namespace, &account.name) {
            return Err("the subject is not the service account".into());
        }
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        if !claims.aud.iter().any(|audience| wanted.contains(audience)) {
            return Err(format!("token audiences {:?} is invalid for the target audiences {wanted:?}", claims.aud));
        }
        Ok(claims)
    }
}

impl TokenIssuer for ServiceAccountTokens {
    fn issue(&self, asked: &TokenClaims) -> Result<(String, Timestamp), Status> {
        let now = self.clock.now().as_second();
        let end = |seconds: i64| {
            let end = Timestamp::from_second(now.saturating_add(seconds));
            end.map_err(|_| Status::bad_request("expirationSeconds is out of range"))
        };
        let expires = end(asked.expiration_seconds)?;
        let mut kubernetes = Private::of(asked);
        let audiences = if asked.audiences.is_empty() { self.audiences.clone() } else { asked.audiences.clone() };
        let is_for_us = audiences == self.audiences;
        let is_extended = self.extend_expiration
            && asked.expiration_seconds == POD_TOKEN_SECONDS
            && kubernetes.pod.is_some()
            && is_for_us;
        let exp = if is_extended {
            kubernetes.warnafter = Some(expires.as_second());
            end(EXTENDED_SECONDS)?.as_second()
        } else {
            expires.as_second()
        };
        let claims = Claims {
            aud: audiences,
            exp,
            iat: now,
            nbf: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            sub: Claims::user(&asked.namespace, &asked.service_account),
            kubernetes,
        };
        let token = self.keys.sign(&claims).map_err(|error| {
            tracing::error!(%error, "Cannot sign a service-account token.");
            Status::internal("cannot sign the token")
        })?;
        Ok((token, expires))
    }

    fn default_audiences(&self) -> Vec<String> {
        self.audiences.clone()
    }
}

#[async_trait]
impl Authenticator for ServiceAccountTokens {
    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    fn audiences(&self) -> Vec<String> {
        self.audiences.clone()
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.client.set(context.client).map_err(|_| "started twice".to_owned())
    }

    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status> {
        let Some(token) = credentials.bearer.as_deref().filter(|token| self.is_ours(token)) else { return Ok(None) };
        let refuse = |why: String| {
            tracing::debug!(reason = why, "Refused a service-account token.");
            Status::unauthorized()
        };
        let now = self.clock.now();
        let claims = self.verified(token, &credentials.audiences, now.as_second()).map_err(refuse)?;
        let Some(client) = self.client.get() else {
            return Err(refuse("the server has not started".into()));
        };
        check::bound(client, &claims.kubernetes, now).await.map_err(refuse)?;
        if claims.kubernetes.warnafter.is_some_and(|after| now.as_second() > after) {
            tracing::warn!(user = claims.sub, "A pod uses a token that it should have read anew.");
        }
        Ok(Some(subject(claims)))
    }
}

fn subject(claims: Claims) -> Subject {
    let Private { namespace, serviceaccount, pod, node, .. } = claims.kubernetes;
    let mut subject = Subject::service_account(&namespace, &serviceaccount.name);
    subject.uid = serviceaccount.uid;
    let mut add = |key: &str, value: String| {
        if !value.is_empty() {
            subject.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        }
    };
    if !claims.jti.is_empty() {
        add("credential-id", format!("JTI={}", claims.jti));
    }
    for (kind, reference) in [("pod", pod), ("node", node)] {
        if let Some(reference) = reference {
            add(&format!("{kind}-name"), reference.name);
            add(&format!("{kind}-uid"), reference.uid);
        }
    }
    subject
}
