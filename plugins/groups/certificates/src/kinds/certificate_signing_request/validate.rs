//! What is wrong with a request for a certificate, and with the answer to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk_api::k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition as Condition, CertificateSigningRequestSpec,
};
use sdk_api::{Violations, names};

use super::pem;

/// The shortest life that a request may ask for, in seconds.
const EXPIRATION_MIN: i32 = 600;
/// Bytes of a signer's domain.
const DOMAIN_MAX: usize = 253;
/// Bytes of a signer's name: a domain, and a namespace and a name after it.
const SIGNER_MAX: usize = DOMAIN_MAX + 1 + 253 + 63 + 1;
const LEGACY: &str = "kubernetes.io/legacy-unknown";
/// Conditions that can only be true.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
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

/// Checks what is asked.
pub fn spec(found: &mut Violations, spec: &CertificateSigningRequestSpec) {
    if let Err(why) = pem::check_request(&spec.request.0) {
        found.invalid("spec.request", STANDARD.encode(&spec.request.0), why);
    }
    let usages = spec.usages.as_deref().unwrap_or_default();
    if usages.is_empty() {
        found.required("spec.usages", "");
    }
    for (at, usage) in usages.iter().enumerate().filter(|(_, usage)| !USAGES.contains(&usage.as_str())) {
        found.not_supported(format!("spec.usages[{at}]"), usage.as_str(), &USAGES);
    }
    for (at, usage) in usages.iter().enumerate().filter(|(at, usage)| usages[..*at].contains(usage)) {
        found.duplicate(format!("spec.usages[{at}]"), usage.as_str());
    }
    if spec.signer_name == LEGACY {
        found.invalid("spec.signerName", LEGACY, "the legacy signerName is not allowed via this API version");
    } else {
        signer(found, "spec.signerName", &spec.signer_name);
    }
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < EXPIRATION_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        found.invalid("spec.expirationSeconds", seconds, why);
    }
}

/// A signer is called `example.com/signer-name`.
fn signer(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        return found.required(field, "");
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return found.invalid(field, name, why);
    };
    if domain.len() > DOMAIN_MAX {
        found.too_long(field, DOMAIN_MAX);
    }
    let mut labels = |part: &str, rule: fn(&str) -> Vec<String>| {
        if let Some(label) = part.split('.').find(|label| !rule(label).is_empty()) {
            for problem in rule(label) {
                found.invalid(field, part, format!("validating label {label:?}: {problem}"));
            }
        }
    };
    labels(domain, names::dns1123_label);
    labels(path, names::dns1123_subdomain);
    if !domain.contains('.') {
        found.invalid(field, domain, "should be a domain with at least two segments separated by dots");
    }
    if name.len() > SIGNER_MAX {
        found.too_long(field, SIGNER_MAX);
    }
}

/// What a write may do besides.
#[derive(Clone, Copy, Default)]
pub struct May {
    pub decide: bool,
    pub sign: bool,
}

/// Checks a status against the stored one. What was wrong before may stay so.
pub fn status(found: &mut Violations, new: &CertificateSigningRequest, old: &CertificateSigningRequest, may: May) {
    let list = |csr: &CertificateSigningRequest| -> Vec<Condition> {
        csr.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
    };
    let certificate = |csr: &CertificateSigningRequest| {
        csr.status.as_ref().and_then(|status| status.certificate.clone()).unwrap_or_default().0
    };
    let (conditions, before) = (list(new), list(old));
    validate_conditions(found, &conditions, &before);
    let (signed, signed_before) = (certificate(new), certificate(old));
    if signed != signed_before
        && pem::check_certificates(&signed_before).is_ok()
        && let Err(why) = pem::check_certificates(&signed)
    {
        found.invalid("status.certificate", "<certificate data>", why);
    }
    let of = |list: &[Condition], kind: &str| -> Vec<Condition> {
        list.iter().filter(|condition| condition.type_ == kind).cloned().collect()
    };
    let mut forbid = |what: &str, kind: &str| {
        found.forbidden("status.conditions", format!("updates may not {what} a condition of type {kind:?}"));
    };
    for kind in FINAL {
        if of(&conditions, kind).len() < of(&before, kind).len() {
            forbid("remove", kind);
        }
    }
    for kind in ["Approved", "Denied"].into_iter().filter(|_| !may.decide) {
        let (new, old) = (of(&conditions, kind), of(&before, kind));
        if new.len() > old.len() {
            forbid("add", kind);
        } else if new.len() == old.len() && new != old {
            forbid("modify", kind);
        }
    }
    if signed != signed_before {
        if !may.sign {
            found.forbidden("status.certificate", "updates may not set certificate content");
        } else if !signed_before.is_empty() {
            found.forbidden("status.certificate", "updates may not modify existing certificate content");
        }
    }
}

fn validate_conditions(found: &mut Violations, conditions: &[Condition], before: &[Condition]) {
    const FIELD: &str = "status.conditions";
    let has = |list: &[Condition], kind: &str| list.iter().any(|condition| condition.type_ == kind);
    let both = |list: &[Condition]| has(list, "Approved") && has(list, "Denied");
    let twice = |list: &[Condition], at: usize| has(&list[..at], &list[at].type_);
    let had_twice = (0..before.len()).any(|at| twice(before, at));
    for (at, condition) in conditions.iter().enumerate() {
        let kind = condition.type_.as_str();
        if kind.is_empty() && !has(before, "") {
            found.required(format!("{FIELD}[{at}].type"), "");
        }
        let allowed: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &STATUSES };
        match condition.status.as_str() {
            "" => found.required(format!("{FIELD}[{at}].status"), ""),
            status if allowed.contains(&status) => {}
            other => found.not_supported(format!("{FIELD}[{at}].status"), other, allowed),
        }
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && has(&conditions[..at], other) && !both(before) {
            found.invalid(FIELD, kind, "Approved and Denied conditions are mutually exclusive");
        }
        if twice(conditions, at) && !had_twice {
            found.duplicate(format!("{FIELD}[{at}].type"), kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn requests_are_checked() {
        let long = format!("{}.io/x", "a".repeat(254));
        for (case, change, wrong) in [
            ("plain", json!({}), vec![]),
            ("no usages", json!({"usages": []}), vec!["spec.usages"]),
            ("an unknown usage", json!({"usages": ["flying"]}), vec!["spec.usages[0]"]),
            ("a usage twice", json!({"usages": ["any", "any"]}), vec!["spec.usages[1]"]),
            ("no signer", json!({"signerName": ""}), vec!["spec.signerName"]),
            ("a signer without a path", json!({"signerName": "example.com"}), vec!["spec.signerName"]),
            ("a signer of a host", json!({"signerName": "example/x"}), vec!["spec.signerName"]),
            ("a signer with two paths", json!({"signerName": "example.com/x/y"}), vec!["spec.signerName"]),
            ("a signer in capitals", json!({"signerName": "Example.com/X"}), vec!["spec.signerName"; 2]),
            ("a long domain", json!({"signerName": long}), vec!["spec.signerName"; 2]),
            ("the old signer", json!({"signerName": LEGACY}), vec!["spec.signerName"]),
            ("too short", json!({"expirationSeconds": 599}), vec!["spec.expirationSeconds"]),
            ("no request", json!({"request": "eA=="}), vec!["spec.request"]),
        ] {
            let mut spec =
                json!({"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]});
            for (name, value) in change.as_object().unwrap() {
                spec[name] = value.clone();
            }
            let mut spec: CertificateSigningRequestSpec = serde_json::from_value(spec).unwrap();
            if spec.request.0.is_empty() {
                spec.request = ByteString(pem::samples::request().into_bytes());
            }
            let mut found = Violations::default();
            super::spec(&mut found, &spec);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn answers_are_given_by_those_who_may() {
        let certificate = STANDARD.encode(pem::samples::certificate());
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        let with = |kinds: &[&str]| json!({"conditions": kinds.iter().map(|kind| condition(kind)).collect::<Vec<_>>()});
        let signed = |kinds: &[&str], certificate: &str| {
            let mut status = with(kinds);
            status["certificate"] = json!(certificate);
            status
        };
        let (decide, sign, neither) =
            (May { decide: true, sign: false }, May { decide: false, sign: true }, May::default());
        let changed = json!({"conditions": [{"type": "Approved", "status": "True", "message": "x"}]});
        for (case, old, new, may, wrong) in [
            ("approved", json!({}), with(&["Approved"]), decide, vec![]),
            ("approved by a signer", json!({}), with(&["Approved"]), sign, vec!["status.conditions"]),
            ("no longer", with(&["Approved"]), json!({}), decide, vec!["status.conditions"]),
            ("other words", with(&["Approved"]), changed.clone(), decide, vec![]),
            ("other words of a signer", with(&["Approved"]), changed, sign, vec!["status.conditions"]),
            ("both", json!({}), with(&["Approved", "Denied"]), decide, vec!["status.conditions"]),
            ("both before", with(&["Approved", "Denied"]), with(&["Approved", "Denied"]), decide, vec![]),
            ("failed", json!({}), with(&["Failed"]), sign, vec![]),
            (
                "perhaps",
                json!({}),
                json!({"conditions": [{"type": "Denied", "status": "False"}, {"type": "", "status": "Maybe"}]}),
                decide,
                vec!["status.conditions[0].status", "status.conditions[1].type", "status.conditions[1].status"],
            ),
            ("twice", json!({}), with(&["Other", "Other"]), sign, vec!["status.conditions[1].type"]),
            ("signed", with(&["Approved"]), signed(&["Approved"], &certificate), sign, vec![]),
            ("signed by a judge", json!({}), signed(&[], &certificate), decide, vec!["status.certificate"]),
            ("signed by nobody", json!({}), signed(&[], &certificate), neither, vec!["status.certificate"]),
            ("nonsense", json!({}), signed(&[], "eA=="), sign, vec!["status.certificate"]),
            ("signed again", signed(&[], "eA=="), signed(&[], &certificate), sign, vec!["status.certificate"]),
        ] {
            let csr = |status: Value| -> CertificateSigningRequest {
                let spec = json!({"request": "", "signerName": "a.io/b"});
                serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec, "status": status})).unwrap()
            };
            let mut found = Violations::default();
            status(&mut found, &csr(new), &csr(old), may);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
