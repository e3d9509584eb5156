//! Patches: the three ways to say what changes. Pure functions of documents.

mod go;
pub mod json;
mod lists;
pub mod merge;
pub mod strategic;

use sdk_api::{GroupKind, Status, Violations};
use serde_json::Value;

/// The answer when what a JSON patch or a merge patch has made is no object of the kind: `words` say why, as
/// `json: cannot unmarshal …` or `strict decoding error: …`. Upstream shows the whole document.
pub fn invalid_document(document: &Value, words: &str) -> Status {
    invalid(document.to_string(), words)
}

/// The same for a strategic merge patch, of which upstream shows the changes: `words` are those of
/// [`sdk_schema::TypeError::converted`], or `strict decoding error: …`.
pub fn invalid_changes(changes: &Value, words: &str) -> Status {
    invalid(go::Printed(changes).to_string(), words)
}

fn invalid(shown: String, words: &str) -> Status {
    let mut found = Violations::default();
    found.invalid("patch", shown, words);
    Status::invalid(&GroupKind::new("", ""), "", &found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_refused_as_upstream_refuses_them() {
        let status = invalid_changes(&json!({"spec": {"replicas": "x"}}), "unrecognized type: int32");
        assert_eq!(
            (status.code, &*status.message),
            (422, r#" "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32"#)
        );
        let status = invalid_document(&json!({"a": 1}), "json: wrong");
        assert_eq!(status.message, r#" "" is invalid: patch: Invalid value: "{\"a\":1}": json: wrong"#);
    }
}
