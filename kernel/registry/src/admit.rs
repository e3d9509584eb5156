//! Running the admission chain over one write.

use std::sync::Arc;

use sdk_api::{Object, Status};
use sdk_plugin::{Admission, AdmissionRequest, Kind, Operation};
use serde_json::Value;

use crate::options::Caller;

/// The admission request of one write.
pub fn request(
    caller: &Caller<'_>,
    kind: &Kind,
    operation: Operation,
    (namespace, name, subresource): (&str, &str, &str),
    object: Value,
    old: Option<Arc<Object>>,
) -> AdmissionRequest {
    AdmissionRequest {
        operation,
        user: caller.user.clone(),
        kind: kind.gvk.clone(),
        resource: kind.plural.to_string(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        object,
        old,
        dry_run: caller.dry_run,
        warnings: Vec::new(),
    }
}

/// Mutating admission, in order; `default` fills in again what a plugin that changed something left out.
pub async fn mutate(
    chain: &[Arc<dyn Admission>],
    request: &mut AdmissionRequest,
    mut default: impl FnMut(&mut Value) -> Result<(), Status>,
) -> Result<(), Status> {
    for plugin in chain {
        if !plugin.handles(request) {
            continue;
        }
        let before = plugin.mutates().then(|| request.object.clone());
        plugin.mutate(request).await?;
        if before.is_some_and(|before| request.object != before) {
            default(&mut request.object)?;
        }
    }
    Ok(())
}

/// Validating admission.
pub async fn validate(
    chain: &[Arc<dyn Admission>],
    request: &AdmissionRequest,
    caller: &Caller<'_>,
) -> Result<(), Status> {
    for plugin in chain.iter().filter(|plugin| plugin.handles(request)) {
        plugin.validate(request).await?;
    }
    for warning in &request.warnings {
        caller.warnings.add(warning.clone());
    }
    Ok(())
}
