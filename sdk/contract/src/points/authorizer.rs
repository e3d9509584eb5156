//! Authorizer: a plugin says whether a request may go on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::UserInfo;
use super::shared::is_zero;

/// What a request wants to do. Source: `authorization.k8s.io/v1` ResourceAttributes and NonResourceAttributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attributes {
    pub user: UserInfo,
    pub verb: String,
    pub group: String,
    pub version: String,
    /// Empty for a path outside the resources.
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// The first authorizer that allows or denies decides; where all have no opinion the request is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Word {
    Allow,
    Deny,
    #[default]
    NoOpinion,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Decision {
    pub decision: Word,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How long the answer may be remembered: at most 300 s for an allowance and 30 s for a refusal; 0 is not at all.
    #[serde(skip_serializing_if = "is_zero")]
    pub ttl_seconds: u32,
}

/// Whose rules, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RulesQuery {
    pub user: UserInfo,
    pub namespace: String,
}

/// As the status of a SelfSubjectRulesReview.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    pub resource_rules: Vec<Value>,
    pub non_resource_rules: Vec<Value>,
    pub incomplete: bool,
}

crate::extension_point! {
    /// Says whether requests may go on.
    pub trait Authorizer: 2, "authorizer", versions 1..=1, vectors "../../vectors/authorizer.json" {
        /// Judges one request.
        1 idempotent authorize(Attributes) -> Decision;
        /// The rules that hold for a user in a namespace.
        2 idempotent rules_for(RulesQuery) -> Rules;
    }
}
