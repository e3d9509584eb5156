//! Structural schemas of every kind: types, merge keys, list types, descriptions; OpenAPI v3 documents.
//!
//! ```
//! use sdk_api::GroupVersionKind;
//! use sdk_schema::{Schemas, Unknown, check};
//!
//! let schema = Schemas::builtin().kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap();
//! let mut document = serde_json::json!({"spec": {"replicas": 3, "colour": "blue"}});
//! let unknown = check(&schema, &mut document, Unknown::Report).unwrap();
//! assert_eq!(unknown[0].to_string(), r#"unknown field "spec.colour""#);
//! assert_eq!(document, serde_json::json!({"spec": {"replicas": 3}}));
//! ```

mod check;
pub mod fields;
mod formats;
mod node;
mod openapi;
mod parse;
pub mod protobuf;
mod schemas;

pub use check::{TypeError, Unknown, UnknownField, check};
pub use node::{ListType, MapType, SchemaRef, Strategy, Type};
pub use openapi::{KindPaths, OutlineOf, Subresource, Verb, openapi_v3, openapi_v3_hash, openapi_v3_outline};
pub use schemas::{Error, Schemas};
