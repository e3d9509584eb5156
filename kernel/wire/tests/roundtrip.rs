//! Whatever is written is read back equal: random trees, and upstream's own examples where they are at hand.

use std::path::{Path, PathBuf};

use kernel_wire::{ContentType, decode, json_to_yaml, to_yaml};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000_i32..1_000_000)
            .prop_map(|n| Number::from_f64(f64::from(n) + 0.5).map_or(Value::Null, Value::Number)),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|all| Value::Object(all.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.-]{0,12}",
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "[a: #\n\t\\-'\"|>]{0,10}",
        any::<String>(),
        Just("no".to_owned()),
        Just("0x1f".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn json_is_read_back(value in tree()) {
        let decoded = decode(value.to_string().as_bytes(), ContentType::Json).unwrap();
        prop_assert_eq!(decoded.value, value);
        prop_assert!(decoded.duplicates.is_empty());
    }

    #[test]
    fn yaml_is_read_back(value in tree()) {
        let yaml = to_yaml(&value);
        let decoded = decode(&yaml, ContentType::Yaml);
        let shown = String::from_utf8_lossy(&yaml);
        let decoded = decoded.map_err(|e| TestCaseError::fail(format!("{e}: {shown:?}")))?;
        prop_assert_eq!(decoded.value, value, "{:?}", shown);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}:,\"a1 \n&*!|>-]{0,40}") {
        for input in [&bytes[..], text.as_bytes()] {
            let _ = decode(input, ContentType::Json);
            let _ = decode(input, ContentType::Yaml);
        }
    }
}

/// The examples of every kind in JSON and YAML: `../shared/spec` beside the workspace, which not everybody has.
fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/roundtrip");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect()
}

#[test]
fn upstreams_examples_are_read_alike_in_json_and_yaml() {
    let examples = examples();
    for json_file in &examples {
        let json = std::fs::read(json_file).unwrap();
        let from_json = decode(&json, ContentType::Json).unwrap();
        assert!(from_json.duplicates.is_empty(), "{}", json_file.display());
        let yaml = std::fs::read(json_file.with_extension("yaml")).unwrap();
        let from_yaml = decode(&yaml, ContentType::Yaml).unwrap_or_else(|e| panic!("{}: {e}", json_file.display()));
        assert_eq!(from_yaml.value, from_json.value, "{}", json_file.display());
        let written = json_to_yaml(&json).unwrap();
        let again = decode(&written, ContentType::Yaml).unwrap();
        assert_eq!(again.value, from_json.value, "{}", json_file.display());
    }
    println!("{} examples", examples.len());
}
