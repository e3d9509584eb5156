//! Who asks, and whether they may.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_client::Subject;

use crate::agent::Context;

/// What a request brings to prove who sent it.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The verified client certificate in DER, if one was presented: its chain ends at the client CA.
    pub client_certificate: Option<Vec<u8>>,
    /// The bearer token.
    pub bearer: Option<String>,
    /// Audiences the caller must be meant for; empty is the API server's own.
    pub audiences: Vec<String>,
}

/// Finds out who sent a request.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// Called once before the first request; opens informers and the like. Must return soon.
    async fn start(&self, _context: Context) -> Result<(), String> {
        Ok(())
    }
    /// `Ok(None)`: not my kind of credential. `Err`: my kind, and wrong (401).
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status>;
    /// The API server's own audiences, as far as its tokens name audiences.
    fn audiences(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a request wants to do. Source: `authorization.k8s.io` ResourceAttributes and NonResourceAttributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: Subject,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or any other verb. For paths
    /// outside the resources the HTTP method in lower case.
    pub verb: String,
    pub group: String,
    pub version: String,
    /// Empty for a path outside the resources.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The path, for requests outside the resources.
    pub path: String,
}

impl Attributes {
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

/// An authorizer's word. The first `Allow` or `Deny` counts; if all have no opinion the request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow { reason: String },
    Deny { reason: String },
    NoOpinion { reason: String },
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// What a user may do, for SelfSubjectRulesReview. Each pair of lists as in an RBAC rule.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `rbac.authorization.k8s.io/v1` PolicyRule documents with `resources`.
    pub resource_rules: Vec<serde_json::Value>,
    /// PolicyRule documents with `nonResourceURLs`.
    pub non_resource_rules: Vec<serde_json::Value>,
    /// Whether some authorizer could not list its rules.
    pub incomplete: bool,
}

/// Decides whether a request may go on.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// Called once before the first request; opens informers and the like. Must return soon.
    async fn start(&self, _context: Context) -> Result<(), String> {
        Ok(())
    }
    async fn authorize(&self, attributes: &Attributes) -> Decision;
    /// The rules that hold for a user in a namespace.
    async fn rules_for(&self, _user: &Subject, _namespace: &str) -> Rules {
        Rules { incomplete: true, ..Rules::default() }
    }
}

/// What a service-account token says. Source: KEP-1205, bound service account tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenClaims {
    pub namespace: String,
    pub service_account: String,
    pub service_account_uid: String,
    /// Empty is the API server's own audience.
    pub audiences: Vec<String>,
    pub expiration_seconds: i64,
    /// The pod, secret or node that the token is bound to: kind, name, uid.
    pub bound_to: Option<(String, String, String)>,
    /// The node of the bound pod: name, uid.
    pub node: Option<(String, String)>,
}

/// Issues service-account tokens.
pub trait TokenIssuer: Send + Sync + 'static {
    /// The token and when it expires.
    fn issue(&self, claims: &TokenClaims) -> Result<(String, sdk_api::Timestamp), Status>;
    /// The audiences a token without any asked for gets.
    fn default_audiences(&self) -> Vec<String>;
}
