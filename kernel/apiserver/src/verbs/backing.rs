//! What actions and answered kinds may ask of the server.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_registry::Caller;
use sdk_api::{Clock, Key, Object, Status};
use sdk_client::{Client, Clients, Subject};
use sdk_plugin::{Attributes, Credentials, Decision, Rewrite, Rules, Server};

use crate::local::LocalClients;
use crate::server::ApiServer;
use crate::steps::authorize;

pub struct Backing<'a> {
    pub server: &'a Arc<ApiServer>,
    pub caller: &'a Caller<'a>,
    pub subresource: &'a str,
}

#[async_trait]
impl Server for Backing<'_> {
    async fn rewrite(&self, key: &Key, change: &mut Rewrite<'_>) -> Result<Arc<Object>, Status> {
        self.server.registry.rewrite(self.caller, key, self.subresource, change).await
    }

    async fn authorize(&self, attributes: &Attributes) -> Decision {
        authorize::decide(self.server, attributes).await
    }

    async fn rules_for(&self, user: &Subject, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for authorizer in &self.server.authorizers {
            let rules = authorizer.rules_for(user, namespace).await;
            all.resource_rules.extend(rules.resource_rules);
            all.non_resource_rules.extend(rules.non_resource_rules);
            all.incomplete |= rules.incomplete;
        }
        all
    }

    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status> {
        for authenticator in &self.server.authenticators {
            if let Some(user) = authenticator.authenticate(credentials).await? {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    fn audiences(&self) -> Vec<String> {
        self.server.authenticators.iter().flat_map(|authenticator| authenticator.audiences()).collect()
    }

    fn client(&self) -> Client {
        LocalClients::new(self.server.clone()).client(self.caller.user)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.server.clock().clone()
    }

    fn health(&self) -> Vec<(&'static str, Result<(), String>)> {
        self.server.health.all()
    }
}
