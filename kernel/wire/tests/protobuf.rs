//! Protobuf: our own examples, upstream's bytes where they lie beside the workspace, and anything at all.

use std::path::Path;

use bytes::Bytes;
use kernel_wire::{ContentType, ListHead, decode_object, protobuf};
use proptest::prelude::*;
use sdk_api::GroupVersionKind;
use serde_json::{Value, json};

macro_rules! examples {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("protobuf/", $name, ".json")), include_str!(concat!("protobuf/", $name, ".hex")))),*] };
}

/// Objects with everything in them that the wire has a form of its own for: their JSON, and what our encoder made of it.
fn examples() -> impl Iterator<Item = (&'static str, Value, Vec<u8>)> {
    let examples = examples!["pod", "secret", "lease", "review", "crd", "claim"];
    examples.into_iter().map(|(name, json, hex)| {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let bytes = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect();
        (name, serde_json::from_str(json).unwrap(), bytes)
    })
}

#[test]
fn examples_are_read_and_written() {
    for (name, json, bytes) in examples() {
        let written = protobuf::encode(&json).unwrap();
        let hex: Vec<String> = written.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<String> = hex.chunks(48).map(|line| line.concat()).collect();
        assert_eq!(written, bytes, "{name}.hex would be\n{}", lines.join("\n"));
        assert_eq!(protobuf::decode(&bytes, None).unwrap().value, json, "{name}");
    }
}

/// Files of upstream's round-trip data: kind, protobuf, JSON.
fn upstream() -> Vec<(String, Vec<u8>, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/roundtrip");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|extension| extension == "pb")).collect();
    files.sort();
    let read = |file: &Path| std::fs::read(file).unwrap();
    let name = |file: &Path| file.file_stem().unwrap().to_string_lossy().into_owned();
    let json = |file: &Path| serde_json::from_slice(&read(&file.with_extension("json"))).unwrap();
    files.iter().map(|file| (name(file), read(file), json(file))).collect()
}

#[test]
fn upstreams_bytes_are_upstreams_json() {
    let mut lacking = Vec::new();
    for (name, bytes, json) in upstream() {
        // A WatchEvent does not say that it is one.
        let unnamed = name == "core.v1.WatchEvent";
        let expected = unnamed.then(|| GroupVersionKind::new("", "v1", "WatchEvent"));
        let mut value = protobuf::decode(&bytes, expected.as_ref()).unwrap_or_else(|e| panic!("{name}: {e}")).value;
        if unnamed {
            value.as_object_mut().unwrap().retain(|field, _| field != "apiVersion" && field != "kind");
        } else if value.as_object().unwrap().len() == 2 {
            lacking.push(name);
            continue;
        }
        assert_eq!(value, json, "{name}");
        if !unnamed {
            assert_eq!(protobuf::encode(&value).unwrap(), bytes, "{name}");
        }
    }
    println!("Not served: {}", lacking.join(" "));
}

#[test]
fn what_means_nothing_is_left_out_and_what_means_something_stays() {
    let deployment = |spec: &[u8]| {
        let spec = [b"\x12", &[u8::try_from(spec.len()).unwrap()][..], spec].concat();
        let unknown = [b"k8s\0\x0a\x15\x0a\x07apps/v1\x12\x0aDeployment\x12", &[spec.len() as u8][..], &spec].concat();
        protobuf::decode(&unknown, None).map(|decoded| decoded.value["spec"].clone()).map_err(|e| e.to_string())
    };
    for (case, bytes, want) in [
        ("zero replicas", &b"\x08\x00"[..], json!({"replicas": 0})),
        ("no seconds", b"\x28\x00", json!({})),
        ("the later one counts", b"\x28\x05\x28\x00\x08\x01\x08\x02", json!({"replicas": 2})),
        ("an unknown field", b"\xf8\x06\x05\xfa\x06\x01x\x08\x02", json!({"replicas": 2})),
        ("minus one", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", json!({"replicas": -1})),
        ("an empty struct", b"\x22\x00", json!({"strategy": {}})),
        ("two halves of one message", b"\x22\x03\x0a\x01R\x22\x00", json!({"strategy": {"type": "R"}})),
    ] {
        assert_eq!(deployment(bytes), Ok(want), "{case}");
    }
    for (case, bytes, words) in [
        ("cut off", &b"\x22\x05"[..], "unexpected EOF"),
        ("a text for a number", b"\x0a\x01x", "proto: wrong wireType = 2 for field Replicas"),
        ("a number for a message", b"\x20\x01", "proto: wrong wireType = 0 for field Strategy"),
    ] {
        assert_eq!(deployment(bytes), Err(words.to_owned()), "{case}");
    }
}

#[test]
fn malformed_bodies_are_refused_as_upstream_refuses_them() {
    let pod = GroupVersionKind::new("", "v1", "Pod");
    let unrecognized = "the object provided is unrecognized (must be of type Pod): ";
    for (body, words) in [
        (&b""[..], format!("{unrecognized}empty data (<empty>)")),
        (
            b"{\"a\":1}",
            format!(
                "{unrecognized}provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] \
                 ({{\"a\":1}})"
            ),
        ),
        (b"k8s\0", format!("{unrecognized}empty body (6b387300)")),
        (b"k8s\0\x0a\x09", format!("{unrecognized}unexpected EOF (6b3873000a09)")),
        (
            b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02\x0a\x09",
            "Pod in version \"v1\" cannot be handled as a Pod: unexpected EOF".to_owned(),
        ),
    ] {
        let error = decode_object(body, ContentType::Protobuf, &pod).unwrap_err();
        let status = error.status("Pod", body);
        assert_eq!((status.code, &*status.message), (400, &*words));
    }
    let bare = decode_object(b"k8s\0\x12\x04\x0a\x02\x0a\0", ContentType::Protobuf, &pod).unwrap().value;
    assert_eq!(bare, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}));
    let error = protobuf::decode(b"k8s\0\x12\0", None).unwrap_err();
    assert_eq!(error.to_string(), "Object 'Kind' is missing in 'runtime.TypeMeta{APIVersion:\"\", Kind:\"\"}'");
}

#[test]
fn nesting_is_bounded() {
    // Schemas inside schemas: `not` is field 28 of a schema.
    let mut schema = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0xe2, 0x01];
        let mut length = schema.len();
        while length >= 0x80 {
            outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend(schema);
        schema = outer;
    }
    let kind = GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let nested = |depth: usize| {
        let mut schema = json!({"type": "object"});
        for _ in 0..depth {
            schema = json!({"not": schema});
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": kind.kind,
            "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]},
        })
    };
    let read = |depth: usize| protobuf::decode(&protobuf::encode(&nested(depth)).unwrap(), None);
    assert_eq!(read(100).unwrap().value["spec"]["versions"][0]["name"], "v1");
    assert_eq!(read(200).unwrap_err().to_string(), "exceeded max depth");
    let field = |number: u8, content: Vec<u8>| {
        let length = content.len();
        let mut bytes = vec![number << 3 | 2];
        bytes.extend([0, 7, 14, 21].map(|shift| (length >> shift & 0x7f) as u8 | if shift < 21 { 0x80 } else { 0 }));
        bytes.extend(content);
        bytes
    };
    let version = field(4, field(1, schema));
    let body = [b"k8s\0".to_vec(), field(2, field(2, field(7, version)))].concat();
    assert_eq!(protobuf::decode(&body, Some(&kind)).unwrap_err().to_string(), "exceeded max depth");
}

#[test]
fn lists_and_watches_are_read_back() {
    let items: Vec<Bytes> = ["a", "b"]
        .map(|name| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}).to_string().into())
        .into();
    let head = ListHead {
        api_version: "v1",
        kind: "SecretList",
        resource_version: "7",
        continue_token: "more",
        remaining: Some(0),
    };
    let list = protobuf::encode_list(&head, &items).unwrap();
    assert_eq!(
        protobuf::decode(&list, None).unwrap().value,
        json!({
            "apiVersion": "v1", "kind": "SecretList",
            "metadata": {"resourceVersion": "7", "continue": "more", "remainingItemCount": 0},
            "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
        })
    );
    let first = serde_json::from_slice(&items[0]).unwrap();
    let frame = protobuf::watch_frame("ADDED", &protobuf::encode(&first).unwrap());
    let (length, event) = frame.split_first_chunk().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    assert!(event.starts_with(b"\x0a\x05ADDED\x12"), "{event:?}");
    assert_eq!((event[8], event[9], event[10]), (event.len() as u8 - 9, 0x0a, event.len() as u8 - 11));
    assert_eq!(protobuf::decode(&event[11..], None).unwrap().value, first);
    let unknown = ListHead { kind: "WidgetList", ..head };
    assert!(protobuf::encode_list(&unknown, &items).is_err());
    assert!(protobuf::encode(&json!({"apiVersion": "example.com/v1", "kind": "Widget"})).is_err());
    assert!(protobuf::encode(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": []})).is_err());
}

/// What is read is written again, and then stays as it is.
fn settles(bytes: &[u8]) -> Result<(), TestCaseError> {
    let pod = GroupVersionKind::new("", "v1", "Pod");
    let Ok(decoded) = protobuf::decode(bytes, Some(&pod)) else { return Ok(()) };
    let Ok(written) = protobuf::encode(&decoded.value) else { return Ok(()) };
    let again = protobuf::decode(&written, None).map_err(|error| TestCaseError::fail(error.to_string()))?.value;
    let twice = protobuf::encode(&again).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(written, twice);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        settles(&bytes)?;
        settles(&[b"k8s\0".to_vec(), bytes.clone()].concat())?;
        let length = u8::try_from(bytes.len()).unwrap();
        settles(&[b"k8s\0\x12".to_vec(), vec![length], bytes].concat())?;
    }

    #[test]
    fn no_damage_panics(
        which in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (_, _, mut bytes) = examples().nth(which).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        settles(&bytes)?;
    }
}
