//! A plugin: a name, and the rows it adds to the host's tables.

use std::sync::Arc;

use crate::admission::Admission;
use crate::agent::Agent;
use crate::audit::AuditSink;
use crate::auth::{Authenticator, Authorizer};
use crate::controller::{Controller, DynController, Typed};
use crate::kind::Kind;
use crate::rows::KindSource;

/// Something that can be plugged in. Registering opens no file and no socket; the host starts things once every row is
/// known.
pub trait Plugin: Send + Sync + 'static {
    /// Unique among the loaded plugins; it labels logs and metrics.
    fn name(&self) -> &'static str;
    fn register(&self, tables: &mut Tables);
}

/// What plugins register into. Order within a table is the order of registration and carries no meaning, except for
/// authenticators and authorizers, which are asked in order.
#[derive(Default)]
pub struct Tables {
    pub kinds: Vec<Kind>,
    pub kind_sources: Vec<Arc<dyn KindSource>>,
    pub controllers: Vec<Arc<dyn DynController>>,
    pub agents: Vec<Arc<dyn Agent>>,
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    pub authorizers: Vec<Arc<dyn Authorizer>>,
    pub admissions: Vec<Arc<dyn Admission>>,
    pub audit_sinks: Vec<Arc<dyn AuditSink>>,
}

impl Tables {
    pub fn kind(&mut self, kind: Kind) {
        self.kinds.push(kind);
    }

    /// Adds kinds while the server runs.
    pub fn kind_source(&mut self, source: Arc<dyn KindSource>) {
        self.kind_sources.push(source);
    }

    pub fn controller<C: Controller>(&mut self, controller: C) {
        self.controllers.push(Arc::new(Typed(controller)));
    }

    /// A controller over objects of any kind.
    pub fn dyn_controller(&mut self, controller: Arc<dyn DynController>) {
        self.controllers.push(controller);
    }

    /// A long-running worker.
    pub fn agent(&mut self, agent: Arc<dyn Agent>) {
        self.agents.push(agent);
    }

    pub fn authenticator(&mut self, authenticator: Arc<dyn Authenticator>) {
        self.authenticators.push(authenticator);
    }

    pub fn authorizer(&mut self, authorizer: Arc<dyn Authorizer>) {
        self.authorizers.push(authorizer);
    }

    pub fn admission(&mut self, admission: Arc<dyn Admission>) {
        self.admissions.push(admission);
    }

    pub fn audit_sink(&mut self, sink: Arc<dyn AuditSink>) {
        self.audit_sinks.push(sink);
    }
}
