//! `CertificateApproval`, `CertificateSigning` and `CertificateSubjectRestriction`: who may answer a
//! CertificateSigningRequest in a signer's name, and what no signer may be asked. Source: Kubernetes documentation,
//! "Certificates and Certificate Signing Requests", authorization.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use sdk_plugin::{Admission, AdmissionRequest, Context, Operation};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::creates;
use crate::refuse::forbidden;
use crate::world::World;

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";
/// The signer whose certificates the API server takes for clients.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Whoever is in it may do anything.
const MASTERS: &str = "system:masters";

/// Whether a write changes one part of a request.
fn answers(request: &AdmissionRequest, part: &str) -> bool {
    request.operation == Operation::Update
        && request.kind.group == GROUP
        && request.resource == RESOURCE
        && request.subresource == part
}

/// Approving and denying are for those who may `approve` for the signer.
pub struct CertificateApproval(pub Arc<World>);

#[async_trait]
impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.start(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        answers(request, "approval")
    }

    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        permit(&self.0, request, "approve").await
    }
}

/// Certificates and their conditions come from those who may `sign` for the signer.
pub struct CertificateSigning(pub Arc<World>);

#[async_trait]
impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.start(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        answers(request, "status")
    }

    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        let new = &request.object["status"];
        let same = |field: &str| request.old.as_ref().is_some_and(|old| old.tree()["status"][field] == new[field]);
        if same("certificate") && same("conditions") {
            return Ok(());
        }
        permit(&self.0, request, "sign").await
    }
}

/// Asks for the signer itself, and then for all signers of its domain.
async fn permit(world: &World, request: &AdmissionRequest, verb: &str) -> Result<(), Status> {
    let signer = request.object["spec"]["signerName"].as_str().unwrap_or_default();
    let all_of_domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    for name in [signer, &all_of_domain] {
        if world.may(&request.user, verb, (GROUP, "signers", name)).await? {
            return Ok(());
        }
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(forbidden(request, why))
}

/// Nobody asks for a client certificate of those who may do anything.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, GROUP, RESOURCE) && request.object["spec"]["signerName"] == CLIENT_SIGNER
    }

    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        let csr: Result<CertificateSigningRequest, _> = serde_json::from_value(request.object.clone());
        let asked = csr.ok().and_then(|csr| organizations(&csr.spec.request.0));
        let Some(asked) = asked else { return Err(forbidden(request, "unable to parse the certificate request")) };
        if asked.iter().any(|organization| organization == MASTERS) {
            let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
            return Err(forbidden(request, why));
        }
        Ok(())
    }
}

/// The organizations of the subject, which become the groups of a client.
fn organizations(pem: &[u8]) -> Option<Vec<String>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let names = request.certification_request_info.subject.iter_organization();
    names.map(|name| name.as_str().map(str::to_owned).ok()).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use sdk_api::GroupResource;
    use sdk_api::k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::super::testing::{admit, request, started};
    use super::*;

    fn csr(signer: &str, pem: &str, status: Value) -> Value {
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "c"},
            "spec": {"signerName": signer, "request": ByteString(pem.as_bytes().to_vec())}, "status": status,
        })
    }

    fn answer(part: &str, before: Value, after: Value) -> AdmissionRequest {
        let (old, new) = (csr("a.io/b", "", before), csr("a.io/b", "", after));
        AdmissionRequest { subresource: part.into(), ..request(Operation::Update, RESOURCE, new, Some(old)) }
    }

    #[tokio::test]
    async fn answers_are_for_those_who_may() {
        let approved = || json!({"conditions": [{"type": "Approved", "status": "True"}]});
        let signed = || json!({"certificate": "eA=="});
        for (case, permitted, request, refused_verb) in [
            ("the signer", "approve a.io/b", answer("approval", json!({}), approved()), None),
            ("the domain", "approve a.io/*", answer("approval", json!({}), approved()), None),
            ("another signer", "approve a.io/c", answer("approval", json!({}), approved()), Some("approve")),
            ("a judge signs", "approve a.io/b", answer("status", json!({}), signed()), Some("sign")),
            ("a signer judges", "sign a.io/b", answer("approval", json!({}), approved()), Some("approve")),
            ("a signer signs", "sign a.io/b", answer("status", json!({}), signed()), None),
            ("a stranger says that it failed", "", answer("status", signed(), approved()), Some("sign")),
            ("a stranger changes nothing", "", answer("status", signed(), signed()), None),
            ("a stranger labels the request", "", answer("", json!({}), json!({})), None),
        ] {
            let (api, _, approval) = started([], CertificateApproval).await;
            let signing = CertificateSigning(approval.0.clone());
            api.answer(&GroupResource::new("authorization.k8s.io", "subjectaccessreviews"), move |review| {
                let asked = &review["spec"]["resourceAttributes"];
                let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
                let is_signer = (text("group").as_str(), text("resource").as_str()) == (GROUP, "signers");
                let allowed = is_signer && format!("{} {}", text("verb"), text("name")) == permitted;
                json!({"status": {"allowed": allowed && review["spec"]["user"] == "ann"}})
            });
            let plugins: [&dyn Admission; 2] = [&approval, &signing];
            let plugin = plugins.into_iter().find(|plugin| plugin.handles(&request)).unwrap_or(&approval);
            let message = admit(plugin, request).await.err().map(|status| status.message);
            let refused = |verb: &str| {
                format!(
                    "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to {verb} \
                     requests with signerName \"a.io/b\""
                )
            };
            assert_eq!(message, refused_verb.map(refused), "{case}");
        }
    }

    #[tokio::test]
    async fn nobody_becomes_a_master() {
        let pem = |organization: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::OrganizationName, organization);
            params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
        };
        for (case, signer, pem, is_good) in [
            ("a team", CLIENT_SIGNER, pem("team"), true),
            ("a master", CLIENT_SIGNER, pem(MASTERS), false),
            ("a master of something else", "a.io/b", pem(MASTERS), true),
            ("nonsense", CLIENT_SIGNER, "x".into(), false),
        ] {
            let asked = request(Operation::Create, RESOURCE, csr(signer, &pem, json!({})), None);
            assert_eq!(admit(&CertificateSubjectRestriction, asked).await.is_ok(), is_good, "{case}");
        }
    }
}
