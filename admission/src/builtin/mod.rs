//! The built-in plugins, one file each. Their order is in `chain.rs`.

mod certificate_requester;
mod certificate_signers;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
mod priority;
mod service_account;
mod taint_nodes_by_condition;

use std::sync::Arc;

use sdk_plugin::{Admission, AdmissionRequest, Operation};

use crate::world::World;

/// All of them, in no particular order.
pub fn all(world: &Arc<World>) -> Vec<Arc<dyn Admission>> {
    vec![
        Arc::new(namespace_lifecycle::NamespaceLifecycle(world.clone())),
        Arc::new(service_account::ServiceAccount::new(world.clone())),
        Arc::new(taint_nodes_by_condition::TaintNodesByCondition),
        Arc::new(priority::Priority(world.clone())),
        Arc::new(default_toleration_seconds::DefaultTolerationSeconds),
        Arc::new(default_storage_class::DefaultStorageClass(world.clone())),
        Arc::new(default_ingress_class::DefaultIngressClass(world.clone())),
        Arc::new(certificate_requester::CertificateRequester),
        Arc::new(certificate_signers::CertificateApproval(world.clone())),
        Arc::new(certificate_signers::CertificateSigning(world.clone())),
        Arc::new(certificate_signers::CertificateSubjectRestriction),
    ]
}

/// Whether a write is about objects of a kind themselves, not a part of them.
fn is_about(request: &AdmissionRequest, group: &str, resource: &str) -> bool {
    request.kind.group == group && request.resource == resource && request.subresource.is_empty()
}

/// Whether it makes a new object of a kind.
fn creates(request: &AdmissionRequest, group: &str, resource: &str) -> bool {
    request.operation == Operation::Create && is_about(request, group, resource)
}

#[cfg(test)]
mod testing;
