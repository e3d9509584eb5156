//! What is built in: the one list of plugins. Adding one touches its own folder and this file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use kernel_registry::Registry;
use providers_audit_log::{Audit, AuditLog};
use providers_authn_serviceaccount::{ServiceAccount, ServiceAccountTokens};
use sdk_api::{Clock, GroupResource, GroupVersion, GroupVersionKind, Status};
use sdk_client::Client;
use sdk_controller::Catalogue;
use sdk_plugin::{Plugin, Tables};
use serde_json::Value;

use crate::data_dir::DataDir;
use crate::nodes;
use crate::options::Up;
use crate::pki::Pki;

/// Whom service-account tokens name as their issuer.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What the built-in plugins must be told.
pub struct Settings {
    core: groups_core::Settings,
    bootstrap: groups_core::controllers::Bootstrap,
    service_accounts: Arc<ServiceAccountTokens>,
    audit: Arc<AuditLog>,
}

impl Settings {
    /// What others need to check our service-account tokens. Source: KEP-1393, issuer discovery.
    pub fn documents(&self) -> Vec<(&'static str, Value)> {
        const KEYS: &str = "/openid/v1/jwks";
        let configuration = self.service_accounts.configuration(&format!("{ISSUER}{KEYS}"));
        vec![(KEYS, self.service_accounts.jwks()), ("/.well-known/openid-configuration", configuration)]
    }
}

/// The settings of a cluster's plugins.
pub fn settings(up: &Up, pki: &Pki, dir: &DataDir, address: SocketAddr, clock: Arc<dyn Clock>) -> Result<Settings> {
    let tokens = providers_authn_serviceaccount::Settings {
        issuer: ISSUER.into(),
        audiences: Vec::new(),
        keys: vec![pki.service_account_key.clone()],
        extend_expiration: false,
    };
    let service_accounts =
        Arc::new(ServiceAccountTokens::new(tokens, clock.clone()).context("the service-account key is damaged")?);
    let audit = providers_audit_log::Settings {
        path: dir.audit_log(),
        rotation: providers_audit_log::Rotation::default(),
        queued_events_max: 0,
    };
    Ok(Settings {
        core: groups_core::Settings {
            service_cidr: up.service_cidr,
            node_ports: (30_000, 32_767),
            pod_cidr: up.pod_cidr,
            root_ca: pki.server_ca.certificate.clone(),
            tokens: service_accounts.clone(),
            event_ttl: up.event_ttl,
            shared_store: up.store.is_shared(),
        },
        bootstrap: groups_core::controllers::Bootstrap {
            service_cidr: up.service_cidr,
            address: nodes::address_for_pods(up, address),
            port: address.port(),
        },
        service_accounts,
        audit: Arc::new(AuditLog::new(audit, clock)),
    })
}

/// All built-in plugins but the agents of this machine, which `nodes.rs` adds.
pub fn register(settings: Settings) -> Tables {
    let plugins: Vec<Box<dyn Plugin>> = vec![
        Box::new(groups_core::Core { settings: settings.core }),
        Box::new(groups_apps::Apps),
        Box::new(groups_batch::Batch),
        Box::new(groups_autoscaling::Autoscaling),
        Box::new(groups_policy::Policy),
        Box::new(groups_networking::Networking),
        Box::new(groups_discovery::Discovery),
        Box::new(groups_storage::Storage),
        Box::new(groups_rbac::Rbac),
        Box::new(groups_certificates::Certificates),
        Box::new(groups_coordination::Coordination),
        Box::new(groups_events::Events),
        Box::new(groups_scheduling::Scheduling),
        Box::new(groups_node::Node),
        Box::new(groups_flowcontrol::Flowcontrol),
        Box::new(groups_authentication::Authentication),
        Box::new(groups_authorization::Authorization),
        Box::new(groups_apiregistration::Apiregistration),
        Box::new(groups_resource::Resource),
        Box::new(crds::plugin()),
        Box::new(admission::plugin()),
        Box::new(providers_authn_x509::X509),
        Box::new(ServiceAccount(settings.service_accounts)),
        Box::new(Audit(settings.audit)),
    ];
    let mut tables = Tables::default();
    for plugin in plugins {
        plugin.register(&mut tables);
    }
    tables.agent(Arc::new(settings.bootstrap));
    let versions: BTreeSet<_> =
        tables.kinds.iter().map(|row| (row.gvk.group.clone(), row.gvk.version.clone())).collect();
    let versions = versions.into_iter().collect();
    tables.agent(Arc::new(groups_apiregistration::controllers::Autoregister { versions }));
    tables.agent(Arc::new(agents_scheduler::Scheduler::new(agents_scheduler::Settings {
        seed: rand::random(),
        ..agents_scheduler::Settings::default()
    })));
    tables.admissions = admission::chain::ordered(tables.admissions);
    tables
}

/// What must be there before anybody acts: the system namespaces, the objects of flow control, and the
/// policy that gives our own parts their rights.
pub async fn first_objects(client: &Client) -> Result<(), Status> {
    groups_core::controllers::bootstrap::make_namespaces(client).await?;
    groups_flowcontrol::keeper::write_missing(client).await?;
    groups_rbac::bootstrap::write_policy(client).await.map(drop)
}

/// The kind table as controllers over everything see it.
pub struct TableCatalogue(pub Arc<Registry>);

impl Catalogue for TableCatalogue {
    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut changes = self.0.table_changes();
        Box::pin(async move {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn resources(&self) -> Vec<GroupResource> {
        self.0.table().collections().map(|kind| kind.group_resource()).collect()
    }

    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)> {
        let GroupVersion { group, version } = GroupVersion::parse(api_version);
        let table = self.0.table();
        let row = table.by_kind(&GroupVersionKind::new(&*group, version, kind)).or_else(|| {
            // An owner may name a version that is not served any more; the group and kind still say what it is.
            table.rows().iter().find(|row| row.gvk.group == group && row.gvk.kind == kind)
        })?;
        let hub = table.hub(row);
        Some((hub.group_resource(), hub.is_namespaced()))
    }
}
