//! What a plugin says of itself, before anything of it runs for anybody.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A plugin's description of itself. The same document stands in the artifact's manifest, signed: what was reviewed is what
/// is loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    /// Name and version of the SDK, for messages.
    #[serde(default)]
    pub sdk: String,
    /// Major and minor of the frame's ABI.
    pub abi: (u16, u16),
    pub points: Vec<PointOffer>,
    #[serde(default)]
    pub permissions: Permissions,
    /// A JSON Schema; `null` takes no configuration.
    #[serde(default)]
    pub config_schema: Value,
    #[serde(default)]
    pub exec: ExecHints,
}

/// One extension point that a plugin implements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointOffer {
    /// The point's name, such as `admission`.
    pub point: String,
    /// The oldest and newest version it speaks.
    pub versions: (u16, u16),
    /// Bit N is method N. Methods whose bit is not set are never called.
    pub methods: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// What a plugin asks for, an administrator grants, or a trust tier allows. What holds is what all three share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permissions {
    /// In RBAC's language.
    pub rules: Vec<ResourceRule>,
    /// Host API families: `log`, `events`, `metrics`, `client`, `scheduler/waiting`.
    pub host: Vec<String>,
    /// `HOST:PORT` that it may connect to.
    pub network: Vec<String>,
}

/// As a `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceRule {
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub verbs: Vec<String>,
    pub resource_names: Vec<String>,
}

/// How a plugin wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecHints {
    pub mode: Mode,
    /// Calls at once; 0 leaves it to the host.
    pub concurrency: u32,
    /// Methods that may be called again after a crash, by number.
    pub idempotent: Vec<u32>,
    /// Methods that block a thread, by number.
    pub blocking: Vec<u32>,
}

/// Whether anything may stay between two calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// A fresh instance for every call, where the transport has instances.
    #[default]
    Stateless,
    /// Instances serve many calls.
    Warm,
}
