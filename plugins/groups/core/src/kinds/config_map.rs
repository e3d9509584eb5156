//! `ConfigMap`: text and bytes that pods read.

use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::each_invalid;

/// All keys and values together. Source: `MaxSecretSize`, which ConfigMaps share.
pub const BYTES_MAX: usize = 1024 * 1024;
/// Why a frozen field may not change.
pub const WHEN_IMMUTABLE: &str = "field is immutable when `immutable` is set";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Data", |map, _| {
        let keys = |field: &str| map[field].as_object().map_or(0, serde_json::Map::len);
        (keys("data") + keys("binaryData")).into()
    })
    .typed("string"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ConfigMapStrategy).short_names(&["cm"]).columns(COLUMNS)
}

struct ConfigMapStrategy;
impl Strategy for ConfigMapStrategy {
    type Object = ConfigMap;

    fn validate(&self, new: &ConfigMap, old: Option<&ConfigMap>) -> Violations {
        let mut found = Violations::default();
        let mut bytes = 0;
        for (key, value) in new.data.iter().flatten() {
            let path = format!("data[{key}]");
            each_invalid(&mut found, &path, key, names::config_key(key));
            if new.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
                found.invalid(&path, key.as_str(), "duplicate of key present in binaryData");
            }
            bytes += value.len();
        }
        for (key, value) in new.binary_data.iter().flatten() {
            each_invalid(&mut found, &format!("binaryData[{key}]"), key, names::config_key(key));
            bytes += value.0.len();
        }
        if bytes > BYTES_MAX {
            found.too_long("[]", BYTES_MAX);
        }
        if let Some(old) = old.filter(|old| old.immutable == Some(true)) {
            if new.immutable != Some(true) {
                found.forbidden("immutable", WHEN_IMMUTABLE);
            }
            if new.data.clone().unwrap_or_default() != old.data.clone().unwrap_or_default() {
                found.forbidden("data", WHEN_IMMUTABLE);
            }
            if new.binary_data.clone().unwrap_or_default() != old.binary_data.clone().unwrap_or_default() {
                found.forbidden("binaryData", WHEN_IMMUTABLE);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn map(value: Value) -> ConfigMap {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn keys_size_and_immutability() {
        let frozen = json!({"immutable": true, "data": {"a": "1"}});
        for (case, new, old, wrong) in [
            ("empty", json!({}), None, vec![]),
            ("a file name", json!({"data": {"my.conf": "x"}}), None, vec![]),
            ("a path", json!({"data": {"a/b": "x"}}), None, vec!["data[a/b]"]),
            ("in both", json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}), None, vec!["data[a]"]),
            ("too large", json!({"data": {"a": "x".repeat(BYTES_MAX + 1)}}), None, vec!["[]"]),
            ("just fits", json!({"data": {"a": "x".repeat(BYTES_MAX)}}), None, vec![]),
            ("the same again", frozen.clone(), Some(frozen.clone()), vec![]),
            ("thawed", json!({"data": {"a": "1"}}), Some(frozen.clone()), vec!["immutable"]),
            ("changed while frozen", json!({"immutable": true}), Some(frozen), vec!["data"]),
            ("changed", json!({"data": {"a": "2"}}), Some(json!({"data": {"a": "1"}})), vec![]),
        ] {
            let found = ConfigMapStrategy.validate(&map(new), old.map(map).as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
