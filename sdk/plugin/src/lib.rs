//! The contracts that plugins implement. A plugin is a name and the rows it registers; see [`Plugin`].

pub mod admission;
pub mod agent;
pub mod audit;
pub mod auth;
pub mod cells;
pub mod column;
pub mod controller;
pub mod hook;
pub mod kind;
pub mod node;
pub mod plugin;
pub mod rows;
pub mod strategy;
pub mod subresource;

pub use admission::{Admission, AdmissionRequest, Operation};
pub use agent::{Agent, Context};
pub use audit::{AuditEvent, AuditSink};
pub use auth::{Attributes, Authenticator, Authorizer, Credentials, Decision, Rules, TokenClaims, TokenIssuer};
pub use column::{Cell, Column, TableColumn};
pub use controller::{
    Cache, Controller, DynController, EventNote, EventType, Failure, Plan, PlannedWrite, View, Watch, WriteNote,
};
pub use hook::{HookGuard, WriteHook};
pub use kind::{Connect, Field, FieldOf, Kind, Served, StoredAs};
pub use plugin::{Plugin, Tables};
pub use rows::{KindRows, KindSource};
pub use sdk_client::Subject;
pub use strategy::{DynStrategy, Grace, Laid, Strategy};
pub use subresource::{Action, Answer, Call, Part, PartOf, Rewrite, Server};
