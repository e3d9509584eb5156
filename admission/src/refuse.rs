//! Refusals in upstream's words.

use sdk_api::{GroupResource, Status};
use sdk_plugin::AdmissionRequest;

/// `403 Forbidden` for a write, as `admission.NewForbidden` words it.
pub fn forbidden(request: &AdmissionRequest, why: impl std::fmt::Display) -> Status {
    let metadata = &request.object["metadata"];
    let text = |field: &str| metadata[field].as_str().filter(|text| !text.is_empty());
    let name = match request.name.as_str() {
        // No name has been made yet, so the beginning of it must do.
        "" => text("name").or_else(|| text("generateName")).unwrap_or("Unknown"),
        name => name,
    };
    Status::forbidden(&GroupResource::new(&request.kind.group, &request.resource), name, why)
}
