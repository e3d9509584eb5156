//! `CertificateSigningRequest`: a wish for a certificate, and the answer.

mod parts;
mod pem;
mod validate;

use std::sync::Arc;

use sdk_api::k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use sdk_api::{SystemClock, Timestamp, Violations, names, time};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use serde_json::Value;

use parts::{Approval, Signed};
use validate::May;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::AGE,
    Column::path("SignerName", ".spec.signerName"),
    Column::path("Requestor", ".spec.username"),
    Column::compute("RequestedDuration", |csr, _| {
        let seconds = csr["spec"]["expirationSeconds"].as_i64();
        seconds.map_or_else(|| NONE.into(), time::human_duration).into()
    }),
    Column::compute("Condition", |csr, _| condition(csr).into()),
];

const FIELDS: &[FieldOf] =
    &[FieldOf { name: "spec.signerName", value: |csr| csr["spec"]["signerName"].as_str().unwrap_or_default().into() }];

/// The row.
pub fn kind() -> Kind {
    Kind::of(CsrStrategy)
        .short_names(&["csr"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .name_rule(names::path_segment)
        .part("approval", Approval(Arc::new(SystemClock::default())))
        .part("status", Signed(Arc::new(SystemClock::default())))
}

fn condition(csr: &Value) -> String {
    let has = |kind: &str| csr["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == kind);
    let mut text = if has("Denied") {
        "Denied".to_owned()
    } else if has("Approved") {
        "Approved".to_owned()
    } else {
        "Pending".to_owned()
    };
    if has("Failed") {
        text += ",Failed";
    }
    if csr["status"]["certificate"].as_str().is_some_and(|certificate| !certificate.is_empty()) {
        text += ",Issued";
    }
    text
}

struct CsrStrategy;
impl Strategy for CsrStrategy {
    type Object = CertificateSigningRequest;

    fn prepare_create(&self, new: &mut CertificateSigningRequest, _now: Timestamp) {
        new.status = None;
    }

    /// What was asked stays, and the answer has its own ways in.
    fn prepare_update(&self, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, _now: Timestamp) {
        new.spec = old.spec.clone();
        new.status.clone_from(&old.status);
    }

    fn validate(&self, new: &CertificateSigningRequest, old: Option<&CertificateSigningRequest>) -> Violations {
        let mut found = Violations::default();
        if old.is_none() {
            validate::spec(&mut found, &new.spec);
        }
        found
    }

    fn validate_status(&self, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Violations {
        let mut found = Violations::default();
        validate::status(&mut found, new, old, May { sign: true, decide: false });
        found
    }

    fn validate_part(
        &self,
        part: &str,
        new: &CertificateSigningRequest,
        old: &CertificateSigningRequest,
    ) -> Violations {
        let mut found = Violations::default();
        validate::status(&mut found, new, old, May { decide: part == "approval", sign: false });
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_shown() {
        let of = |kinds: &[&str]| kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect::<Vec<_>>();
        for (status, text) in [
            (json!({}), "Pending"),
            (json!({"conditions": of(&["Approved"])}), "Approved"),
            (json!({"conditions": of(&["Approved", "Denied"])}), "Denied"),
            (json!({"conditions": of(&["Approved"]), "certificate": "eA=="}), "Approved,Issued"),
            (json!({"conditions": of(&["Approved", "Failed"])}), "Approved,Failed"),
        ] {
            assert_eq!(condition(&json!({"status": status})), text);
        }
    }

    #[test]
    fn the_request_stays_as_it_was() {
        let csr = |signer: &str| -> CertificateSigningRequest {
            let spec = json!({"request": "", "signerName": signer});
            serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap()
        };
        let mut new = csr("a.io/other");
        CsrStrategy.prepare_update(&mut new, &csr("a.io/one"), Timestamp::UNIX_EPOCH);
        assert_eq!(new, csr("a.io/one"));
    }
}
