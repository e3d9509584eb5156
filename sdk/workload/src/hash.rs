//! The hash that names what a template makes: ReplicaSets, controller revisions, Jobs of a CronJob.

use sdk_api::k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// The `pod-template-hash` of a template: ten characters that form no word.
///
/// The same for equal templates in every version of this program; `collision_count` moves it on when a stranger holds
/// the name. Source: Deployment documentation, "Pod-template-hash label".
pub fn template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    hash_of(&serde_json::to_value(template).unwrap_or(Value::Null), collision_count)
}

/// The same hash of any document.
pub fn hash_of(document: &Value, collision_count: Option<i32>) -> String {
    let mut state = OFFSET;
    feed_value(&mut state, document);
    if let Some(count) = collision_count {
        feed(&mut state, &count.to_le_bytes());
    }
    safe_encode(&format!("{state:010}"))
}

/// Replaces each byte by one of an alphabet without vowels and look-alikes. Source: `util/rand.SafeEncodeString`.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// FNV-1a.
fn feed(state: &mut u32, bytes: &[u8]) {
    for byte in bytes {
        *state = (*state ^ u32::from(*byte)).wrapping_mul(PRIME);
    }
}

/// Canonical: fields in the order of their names, those that say nothing left out, so that a field that a later
/// version knows does not roll out every workload.
fn feed_value(state: &mut u32, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            feed(state, b"{");
            for (name, value) in fields {
                feed(state, name.as_bytes());
                feed(state, b":");
                feed_value(state, value);
                feed(state, b",");
            }
            feed(state, b"}");
        }
        Value::Array(items) => {
            feed(state, b"[");
            for item in items {
                feed_value(state, item);
                feed(state, b",");
            }
            feed(state, b"]");
        }
        scalar => feed(state, scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_depends_on_content_alone() {
        let one = json!({"spec": {"a": 1, "b": [true, "x"]}});
        let hash = hash_of(&one, None);
        assert_eq!(hash.len(), 10);
        assert!(hash.bytes().all(|b| ALPHABET.contains(&b)), "{hash}");
        for (case, other, same) in [
            ("another order", json!({"spec": {"b": [true, "x"], "a": 1}}), true),
            ("an empty field more", json!({"spec": {"b": [true, "x"], "a": 1, "c": null}}), true),
            ("another value", json!({"spec": {"a": 2, "b": [true, "x"]}}), false),
            ("another order of a list", json!({"spec": {"a": 1, "b": ["x", true]}}), false),
        ] {
            assert_eq!(hash_of(&other, None) == hash, same, "{case}");
        }
        assert_ne!(hash_of(&one, Some(1)), hash);
        assert_ne!(hash_of(&one, Some(1)), hash_of(&one, Some(2)));
    }

    #[test]
    fn hashes_never_change_between_versions() {
        assert_eq!(hash_of(&json!({"gone": null}), None), "5859f96865");
        assert_eq!(hash_of(&json!({"a": "b"}), None), "74c9b69778");
        assert_eq!(hash_of(&json!({"a": "b"}), Some(3)), "86c5d8b785");
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
    }
}
