//! What a token says, as JSON Web Token claims.

use sdk_plugin::TokenClaims;
use serde::{Deserialize, Serialize};

/// Something that has a name and an incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    pub name: String,
    #[serde(default)]
    pub uid: String,
}

/// The claims that are Kubernetes' own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    pub namespace: String,
    pub serviceaccount: Ref,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    /// The node that the token is bound to, or on which its pod runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    /// When the holder should have fetched a new one: seconds since 1970. Source: KEP-1205, safe rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// All claims. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    #[serde(default)]
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Private,
    #[serde(default)]
    pub nbf: i64,
    pub sub: String,
}

/// RFC 7519 lets a single audience stand alone.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    })
}

impl Claims {
    /// The user name that the token gives.
    pub fn user(namespace: &str, name: &str) -> String {
        format!("system:serviceaccount:{namespace}:{name}")
    }
}

impl Private {
    /// Whom the token is for, and what it is bound to.
    pub fn of(asked: &TokenClaims) -> Self {
        let reference = |(name, uid): &(String, String)| Ref { name: name.clone(), uid: uid.clone() };
        let mut private = Self {
            namespace: asked.namespace.clone(),
            serviceaccount: Ref { name: asked.service_account.clone(), uid: asked.service_account_uid.clone() },
            node: asked.node.as_ref().map(reference),
            ..Self::default()
        };
        if let Some((kind, name, uid)) = &asked.bound_to {
            let bound = Some(Ref { name: name.clone(), uid: uid.clone() });
            match kind.as_str() {
                "Pod" => private.pod = bound,
                "Secret" => private.secret = bound,
                _ => private.node = bound,
            }
        }
        private
    }
}
