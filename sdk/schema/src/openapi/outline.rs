//! The small documents beside those of groups and versions: what says which groups and versions there are.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::paths::{group_id, group_tag, responses};
use super::{META, REF, Source, reachable, written};
use crate::schemas::Schemas;

/// Which of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutlineOf {
    /// `/api/`
    Core,
    /// `/apis/`
    Groups,
    /// `/apis/GROUP/`
    Group(String),
    /// `/version/`
    Version,
    /// `/.well-known/openid-configuration/`
    Issuer,
    /// `/openid/v1/jwks/`
    Keys,
}

impl OutlineOf {
    /// The path that the document is listed under: `api`, `apis/apps`.
    pub fn path(&self) -> String {
        match self {
            Self::Core => "api".into(),
            Self::Groups => "apis".into(),
            Self::Group(group) => format!("apis/{group}"),
            Self::Version => "version".into(),
            Self::Issuer => ".well-known/openid-configuration".into(),
            Self::Keys => "openid/v1/jwks".into(),
        }
    }

    /// Words, operation id, tag, and the definition that is answered.
    fn operation(&self) -> (&'static str, String, String, Option<String>) {
        let meta = |name: &str| Some(format!("{META}{name}"));
        let versions = "get available API versions";
        match self {
            Self::Core => (versions, "getCoreAPIVersions".into(), "core".into(), meta("APIVersions")),
            Self::Groups => (versions, "getAPIVersions".into(), "apis".into(), meta("APIGroupList")),
            Self::Group(group) => (
                "get information of a group",
                format!("get{}APIGroup", group_id(group)),
                group_tag(group),
                meta("APIGroup"),
            ),
            Self::Version => (
                "get the version information for this server",
                "getCodeVersion".into(),
                "version".into(),
                Some("io.k8s.apimachinery.pkg.version.Info".into()),
            ),
            Self::Issuer => (
                "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
                "getServiceAccountIssuerOpenIDConfiguration".into(),
                "WellKnown".into(),
                None,
            ),
            Self::Keys => (
                "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
                "getServiceAccountIssuerOpenIDKeyset".into(),
                "openid".into(),
                None,
            ),
        }
    }

    fn produces(&self) -> &'static [&'static str] {
        match self {
            Self::Core | Self::Groups | Self::Group(_) => {
                &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
            }
            Self::Version | Self::Issuer => &["application/json"],
            Self::Keys => &["application/jwk-set+json"],
        }
    }
}

/// The document of one path, as JSON.
pub fn openapi_v3_outline(of: &OutlineOf) -> Vec<u8> {
    let (words, id, tag, answer) = of.operation();
    let schema = match &answer {
        Some(name) => json!({ "$ref": format!("{REF}{name}") }),
        None => json!({ "type": "string" }),
    };
    let operation = json!({
        "description": words,
        "operationId": id,
        "responses": responses(&[(200, "OK")], of.produces(), Some(&schema)),
        "tags": [tag],
    });
    let paths: Map<String, Value> = Map::from_iter([(format!("/{}/", of.path()), json!({ "get": operation }))]);
    let wanted: BTreeSet<String> = answer.into_iter().collect();
    let schemas =
        if wanted.is_empty() { Default::default() } else { reachable(&[Source::of(Schemas::builtin())], wanted) };
    written(paths, schemas)
}
