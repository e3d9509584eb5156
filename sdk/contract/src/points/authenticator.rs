//! Authenticator: a plugin finds out who sent a request. What it cannot answer authenticates nobody.

use serde::{Deserialize, Serialize};

use super::UserInfo;

/// What a request brought. The secret part is blob 0: the token's text, or the certificate in DER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Credential {
    pub kind: CredentialKind,
    /// Whom the caller must be meant for; empty is the API server's own audience.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// A bearer token.
    #[default]
    Token,
    /// A client certificate whose chain was verified.
    Certificate,
}

/// Who it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Authn {
    User {
        user: UserInfo,
        /// How long the answer may be remembered, at most 120 s.
        #[serde(default, rename = "ttlSeconds")]
        ttl_seconds: u32,
    },
    /// Not this plugin's kind of credential; others are asked.
    #[default]
    NotMine,
    /// This plugin's kind, and wrong.
    Rejected { message: String },
}

crate::extension_point! {
    /// Finds out who sent a request.
    pub trait Authenticator: 1, "authenticator", versions 1..=1, vectors "../../vectors/authenticator.json" {
        /// Judges one credential.
        1 idempotent authenticate(Credential) -> Authn;
    }
}
