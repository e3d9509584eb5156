//! `Secret`: what pods may know and others should not.

use sdk_api::k8s_openapi::ByteString;
use sdk_api::k8s_openapi::api::core::v1::Secret;
use sdk_api::{Violations, names};
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use sdk_workload::validate::each_invalid;
use serde_json::Value;

use super::config_map::{BYTES_MAX, WHEN_IMMUTABLE};
use super::fields::{at, immutable, text};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Type", ".type"),
    Column::compute("Data", |secret, _| secret["data"].as_object().map_or(0, serde_json::Map::len).into())
        .typed("string"),
    Column::AGE,
];

const FIELDS: &[FieldOf] = &[FieldOf { name: "type", value: |secret| at(secret, ".type") }];

/// The row.
pub fn kind() -> Kind {
    Kind::of(SecretStrategy).columns(COLUMNS).fields(FIELDS)
}

struct SecretStrategy;
impl Strategy for SecretStrategy {
    type Object = Secret;

    fn default(&self, secret: &mut Secret) {
        if text(&secret.type_).is_empty() {
            secret.type_ = Some("Opaque".into());
        }
        // What is written as text is kept as bytes, and never shown as text again.
        if let Some(texts) = secret.string_data.take() {
            let data = secret.data.get_or_insert_default();
            data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
        }
    }

    fn validate(&self, new: &Secret, old: Option<&Secret>) -> Violations {
        let mut found = Violations::default();
        let mut bytes = 0;
        for (key, value) in new.data.iter().flatten() {
            each_invalid(&mut found, &format!("data[{key}]"), key, names::config_key(key));
            bytes += value.0.len();
        }
        if bytes > BYTES_MAX {
            found.too_long("data", BYTES_MAX);
        }
        keys_of_type(&mut found, new);
        if let Some(old) = old {
            immutable(&mut found, "type", &new.type_, &old.type_);
            if old.immutable == Some(true) {
                if new.immutable != Some(true) {
                    found.forbidden("immutable", WHEN_IMMUTABLE);
                }
                if new.data.clone().unwrap_or_default() != old.data.clone().unwrap_or_default() {
                    found.forbidden("data", WHEN_IMMUTABLE);
                }
            }
        }
        found
    }
}

/// What each built-in type must hold. Source: Kubernetes documentation, "Types of Secret".
fn keys_of_type(found: &mut Violations, secret: &Secret) {
    let get = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let need = |found: &mut Violations, key: &str| {
        if get(key).is_none() {
            found.required(format!("data[{key}]"), "");
        }
    };
    let need_json = |found: &mut Violations, key: &str| match get(key) {
        None => found.required(format!("data[{key}]"), ""),
        Some(bytes) => {
            if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes.0) {
                found.invalid(format!("data[{key}]"), "<secret contents redacted>", error.to_string());
            }
        }
    };
    match text(&secret.type_) {
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            let name = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(annotation));
            if name.is_none_or(String::is_empty) {
                found.required(format!("metadata.annotations[{annotation}]"), "");
            }
        }
        "kubernetes.io/dockercfg" => need_json(found, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => need_json(found, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if get("username").is_none() && get("password").is_none() => {
            need(found, "username");
            need(found, "password");
        }
        "kubernetes.io/ssh-auth" if get("ssh-privatekey").is_none_or(|key| key.0.is_empty()) => {
            found.required("data[ssh-privatekey]", "");
        }
        "kubernetes.io/tls" => {
            need(found, "tls.crt");
            need(found, "tls.key");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(value: Value) -> Secret {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn text_becomes_bytes() {
        let mut written = secret(json!({"stringData": {"a": "new"}, "data": {"a": "b2xk", "b": "eA=="}}));
        SecretStrategy.default(&mut written);
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "type": "Opaque",
            "data": {"a": "bmV3", "b": "eA=="}});
        assert_eq!(serde_json::to_value(&written).unwrap(), expected);
    }

    #[test]
    fn types_need_their_keys() {
        let opaque = json!({"type": "Opaque"});
        for (case, new, old, wrong) in [
            ("anything", json!({"type": "mine", "data": {"a": ""}}), None, vec![]),
            ("a bad key", json!({"data": {"a b": ""}}), None, vec!["data[a b]"]),
            ("tls", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}), None, vec![]),
            ("half of tls", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), None, vec!["data[tls.key]"]),
            (
                "no user at all",
                json!({"type": "kubernetes.io/basic-auth"}),
                None,
                vec!["data[username]", "data[password]"],
            ),
            ("a user alone", json!({"type": "kubernetes.io/basic-auth", "data": {"username": ""}}), None, vec![]),
            (
                "no json",
                json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}),
                None,
                vec!["data[.dockerconfigjson]"],
            ),
            (
                "json of another sort",
                json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "W10="}}),
                None,
                vec!["data[.dockerconfigjson]"],
            ),
            (
                "an empty key",
                json!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}),
                None,
                vec!["data[ssh-privatekey]"],
            ),
            (
                "a token without its account",
                json!({"type": "kubernetes.io/service-account-token"}),
                None,
                vec!["metadata.annotations[kubernetes.io/service-account.name]"],
            ),
            ("another type", json!({"type": "mine"}), Some(opaque.clone()), vec!["type"]),
            ("the same type", opaque.clone(), Some(opaque), vec![]),
            (
                "changed while frozen",
                json!({"type": "Opaque", "immutable": true, "data": {"a": "eA=="}}),
                Some(json!({"type": "Opaque", "immutable": true})),
                vec!["data"],
            ),
        ] {
            let found = SecretStrategy.validate(&secret(new), old.map(secret).as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn messages_do_not_tell_the_secret() {
        let bad = secret(json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "c2VzYW1l"}}));
        let message = SecretStrategy.validate(&bad, None).summary();
        assert!(message.contains("redacted") && !message.contains("sesame"), "{message}");
    }
}
