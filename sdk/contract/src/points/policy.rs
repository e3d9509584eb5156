//! Policy engine: a plugin evaluates policies of a language. Whoever writes a policy does not see the plugin.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::Done;
use super::shared::is_zero;

/// A policy to be made ready. Blob 0 is its source: text, or a wasm module; further blobs are further modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicySource {
    /// How evaluations call it: made by the kernel of the policy's digest.
    pub policy: String,
    /// `rego`, `rego.wasm`, `cel`, or a language of the plugin's own.
    pub language: String,
    /// The rule that is asked, in the language's way, such as `data.kubernetes.admission.deny`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entrypoint: String,
    /// For messages: the names of the modules, in the order of the blobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Limits and settings of the language.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub options: Value,
}

/// Something about a policy's source, for whoever wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Diagnostic {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// From 1; 0 is unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    pub message: String,
    /// Whether the policy cannot be used for it.
    pub is_error: bool,
}

/// Whether a policy is ready: no diagnostic is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prepared {
    pub diagnostics: Vec<Diagnostic>,
    /// Documents below `data` that it reads, such as `kubernetes.namespaces`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<String>,
}

/// One question. Blob 0 is the input as JSON; each of `data` has the blob that it names. An engine that does not know the
/// policy (it was restarted) answers `NotFound`, and is made ready again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evaluation {
    pub policy: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataBlob>,
}

/// A document below `data`. `version` changes when it does, so that a warm engine may keep what it parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataBlob {
    pub path: String,
    pub version: u64,
    pub blob: u32,
}

/// What a policy found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyDecision {
    pub violations: Vec<PolicyViolation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyViolation {
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A policy by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyName {
    pub policy: String,
}

crate::extension_point! {
    /// Evaluates policies.
    pub trait PolicyEngine: 4, "policyEngine", versions 1..=1, vectors "../../vectors/policy.json" {
        /// Makes a policy ready, or says what is wrong with it.
        1 idempotent prepare(PolicySource) -> Prepared;
        /// Asks a policy that is ready.
        2 idempotent evaluate(Evaluation) -> PolicyDecision;
        /// The policy is not asked any more.
        3 idempotent release(PolicyName) -> Done;
    }
}
