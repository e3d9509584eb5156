//! `CertificateSigningRequest`: a wish for a certificate, and the answer.

use sdk_api::k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use sdk_api::{Status, Timestamp, Violations, names, time};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, FieldOf, Kind, Part, PartOf, Strategy};
use serde_json::Value;

/// The shortest life that a request may ask for, in seconds.
const EXPIRATION_MIN: i32 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

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
        .part("approval", Approval)
        .part("status", SignedStatus)
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

fn is_verdict(condition: &Value) -> bool {
    condition["type"] == "Approved" || condition["type"] == "Denied"
}

fn conditions(object: &Value, keep: impl Fn(&Value) -> bool) -> Vec<Value> {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.filter(|condition| keep(condition)).cloned().collect()
}

/// Who approves or denies writes the conditions alone.
struct Approval;
impl Part for Approval {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let conditions = conditions(new, |_| true);
        object["status"]["conditions"] = conditions.into();
        Ok(())
    }
}

/// The signer writes the certificate and other conditions; verdicts stay.
struct SignedStatus;
impl Part for SignedStatus {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let mut merged = conditions(object, is_verdict);
        merged.extend(conditions(new, |condition| !is_verdict(condition)));
        PartOf { fields: &["status"], metadata: false }.write(object, new)?;
        if !merged.is_empty() {
            object["status"]["conditions"] = merged.into();
        }
        Ok(())
    }
}

struct CsrStrategy;
impl Strategy for CsrStrategy {
    type Object = CertificateSigningRequest;

    fn prepare_create(&self, new: &mut CertificateSigningRequest, _now: Timestamp) {
        new.status = None;
    }

    fn prepare_update(&self, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, now: Timestamp) {
        new.spec = old.spec.clone();
        for condition in new.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
            let now = || time::whole_seconds(now).into();
            condition.last_update_time.get_or_insert_with(now);
            condition.last_transition_time.get_or_insert_with(now);
        }
    }

    fn validate(&self, new: &CertificateSigningRequest, old: Option<&CertificateSigningRequest>) -> Violations {
        let mut found = Violations::default();
        if old.is_some() {
            return found;
        }
        let spec = &new.spec;
        let pem = String::from_utf8_lossy(&spec.request.0);
        if !pem.contains("-----BEGIN CERTIFICATE REQUEST-----") {
            found.invalid("spec.request", "<bytes>", "PEM block type must be CERTIFICATE REQUEST");
        }
        let usages = spec.usages.as_deref().unwrap_or_default();
        if usages.is_empty() {
            found.required("spec.usages", "usages must be specified");
        }
        for (at, usage) in usages.iter().enumerate() {
            if !USAGES.contains(&usage.as_str()) {
                found.not_supported(format!("spec.usages[{at}]"), usage.as_str(), &USAGES);
            } else if usages[..at].contains(usage) {
                found.duplicate(format!("spec.usages[{at}]"), usage.as_str());
            }
        }
        validate_signer(&mut found, &spec.signer_name);
        if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < EXPIRATION_MIN) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            found.invalid("spec.expirationSeconds", seconds, why);
        }
        found
    }

    fn validate_status(&self, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Violations {
        let mut found = Violations::default();
        let list = |csr: &CertificateSigningRequest| {
            csr.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
        };
        let (conditions, before) = (list(new), list(old));
        let field = |at: usize, name: &str| format!("status.conditions[{at}].{name}");
        for (at, condition) in conditions.iter().enumerate() {
            let kind = condition.type_.as_str();
            if kind.is_empty() {
                found.required(field(at, "type"), "");
            }
            match condition.status.as_str() {
                "" => found.required(field(at, "status"), ""),
                "True" => {}
                "False" | "Unknown" if !matches!(kind, "Approved" | "Denied" | "Failed") => {}
                other if matches!(kind, "Approved" | "Denied" | "Failed") => {
                    found.not_supported(field(at, "status"), other, &["True"]);
                }
                other => found.not_supported(field(at, "status"), other, &["False", "True", "Unknown"]),
            }
            if conditions[..at].iter().any(|earlier| earlier.type_ == kind) {
                found.duplicate(field(at, "type"), kind);
            }
        }
        let has = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind);
        if has("Approved") && has("Denied") {
            found.invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive");
        }
        for kind in ["Approved", "Denied", "Failed"] {
            if before.iter().any(|condition| condition.type_ == kind) && !has(kind) {
                let why = format!("updates may not remove a condition of type {kind:?}");
                found.forbidden("status.conditions", why);
            }
        }
        found
    }
}

fn validate_signer(found: &mut Violations, name: &str) {
    const FIELD: &str = "spec.signerName";
    if name.is_empty() {
        found.required(FIELD, "");
        return;
    }
    let Some((domain, path)) =
        name.split_once('/').filter(|(domain, path)| !path.is_empty() && !path.contains('/') && domain.contains('.'))
    else {
        found.invalid(FIELD, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    for problem in names::dns1123_subdomain(domain).into_iter().chain(names::dns1123_subdomain(path)) {
        found.invalid(FIELD, name, problem);
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_checked() {
        for (case, change, wrong) in [
            ("plain", json!({}), vec![]),
            ("no usages", json!({"usages": []}), vec!["spec.usages"]),
            ("an unknown usage", json!({"usages": ["flying"]}), vec!["spec.usages[0]"]),
            ("no signer", json!({"signerName": ""}), vec!["spec.signerName"]),
            ("a signer without a path", json!({"signerName": "example.com"}), vec!["spec.signerName"]),
            ("too short", json!({"expirationSeconds": 60}), vec!["spec.expirationSeconds"]),
        ] {
            let mut spec =
                json!({"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]});
            for (name, value) in change.as_object().unwrap() {
                spec[name] = value.clone();
            }
            let mut csr: CertificateSigningRequest =
                serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
            csr.spec.request = ByteString(b"-----BEGIN CERTIFICATE REQUEST-----\n".to_vec());
            assert_eq!(CsrStrategy.validate(&csr, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn each_part_writes_its_own() {
        let mut stored = json!({"spec": {"signerName": "s"}, "status": {}});
        let approved = json!({"type": "Approved", "status": "True"});
        let new = json!({"spec": {"signerName": "x"}, "status": {"conditions": [approved], "certificate": "stolen"}});
        Approval.write(&mut stored, &new).unwrap();
        assert_eq!(stored, json!({"spec": {"signerName": "s"}, "status": {"conditions": [approved]}}));
        SignedStatus.write(&mut stored, &json!({"status": {"certificate": "Yw==", "conditions": []}})).unwrap();
        assert_eq!(stored["status"], json!({"certificate": "Yw==", "conditions": [approved]}));
        assert_eq!(condition(&stored), "Approved,Issued");
    }
}
