//! `CertificateRequester`: a CertificateSigningRequest says who made it, whatever its author wrote there.
//!
//! Upstream does this where it prepares the object, which here knows nothing about the caller.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_plugin::{Admission, AdmissionRequest};
use serde_json::json;

use super::creates;

pub struct CertificateRequester;

#[async_trait]
impl Admission for CertificateRequester {
    fn name(&self) -> &'static str {
        "CertificateRequester"
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, "certificates.k8s.io", "certificatesigningrequests")
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        let user = &request.user;
        let Some(spec) = request.object["spec"].as_object_mut() else { return Ok(()) };
        for (field, value, is_empty) in [
            ("username", json!(user.name), user.name.is_empty()),
            ("uid", json!(user.uid), user.uid.is_empty()),
            ("groups", json!(user.groups), user.groups.is_empty()),
            ("extra", json!(user.extra), user.extra.is_empty()),
        ] {
            spec.remove(field);
            if !is_empty {
                spec.insert(field.into(), value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Operation;

    use super::super::testing::{admit, request};
    use super::*;

    #[tokio::test]
    async fn nobody_asks_in_anothers_name() {
        let csr = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "c"},
            "spec": {"username": "root", "uid": "0", "groups": ["system:masters"], "extra": {"a": ["b"]}, "request": "cGVt"},
        });
        let request = request(Operation::Create, "certificatesigningrequests", csr, None);
        let admitted = admit(&CertificateRequester, request).await.unwrap();
        assert_eq!(admitted["spec"], json!({"username": "ann", "groups": ["system:authenticated"], "request": "cGVt"}));
    }
}
