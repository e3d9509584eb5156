//! JSON patch, RFC 6902.

use json_patch::{PatchOperation, patch_unsafe};
use kernel_wire::{ContentType, DEPTH_MAX, decode};
use sdk_api::{Reason, Status};
use serde_json::Value;

/// How many operations one patch may have. Upstream's bound.
const OPERATIONS_MAX: usize = 10_000;

/// How much the `copy` operations of one patch may add together, in bytes of JSON: copies of copies double.
/// Upstream's bound, that of a request's body.
const COPIED_BYTES_MAX: usize = 3 << 20;

/// Does what the operations say, in order; nothing is kept of a document if one of them fails.
///
/// Malformed JSON is 400, too many operations 413, an operation that fails (a `test` among them) 422.
pub fn apply(mut document: Value, operations: &[u8]) -> Result<Value, Status> {
    let operations = decode(operations, ContentType::Json).map_err(|error| error.patch_status())?.value;
    let Value::Array(operations) = operations else {
        let found = super::go::type_name(&operations);
        return Err(Status::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type []interface {{}}"
        )));
    };
    if operations.len() > OPERATIONS_MAX {
        let words = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        );
        return Err(Status::new(413, Reason::RequestEntityTooLarge, words));
    }
    let mut copied_bytes = 0;
    for operation in operations {
        let operation = read(from_the_end(&document, operation))?;
        check_growth(&document, &operation, &mut copied_bytes)?;
        if is_test_of_absence(&document, &operation) {
            continue;
        }
        patch_unsafe(&mut document, std::slice::from_ref(&operation)).map_err(|_| refused())?;
    }
    Ok(document)
}

/// Turns negative indexes, which count from a list's end, into what RFC 6902 knows: upstream's library allows them.
fn from_the_end(document: &Value, mut operation: Value) -> Value {
    let adds = matches!(operation["op"].as_str(), Some("add" | "copy" | "move"));
    for (field, adds) in [("path", adds), ("from", false)] {
        let Some(path) = operation[field].as_str().filter(|path| path.contains("/-")) else { continue };
        let rewritten = positive(document, path, adds);
        operation[field] = rewritten.into();
    }
    operation
}

/// `adds` says that the last index is where something comes in: one behind the last item is then a place too.
fn positive(document: &Value, path: &str, adds: bool) -> String {
    let mut at = Some(document);
    let mut rewritten = String::with_capacity(path.len());
    let tokens: Vec<&str> = path.split('/').skip(1).collect();
    for (place, token) in tokens.iter().enumerate() {
        let mut token = (*token).to_owned();
        if let Some(Value::Array(items)) = at
            && let Some(back) = token.strip_prefix('-').and_then(|digits| digits.parse::<usize>().ok())
        {
            let places = items.len() + usize::from(adds && place + 1 == tokens.len());
            if let Some(index) = places.checked_sub(back).filter(|_| back > 0) {
                token = index.to_string();
            }
        }
        at = at.and_then(|value| value.pointer(&format!("/{token}")));
        rewritten.push('/');
        rewritten.push_str(&token);
    }
    rewritten
}

fn read(operation: Value) -> Result<PatchOperation, Status> {
    if !operation.is_object() {
        let found = super::go::type_name(&operation);
        return Err(Status::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type jsonpatch.Operation"
        )));
    }
    serde_json::from_value(operation).map_err(|_| refused())
}

/// Upstream does not say which operation failed; clients compare the text.
fn refused() -> Status {
    Status::new(422, Reason::Invalid, "the server rejected our request due to an error in our request")
}

/// Bounds what a patch may make of a document: the bytes that it copies, and how deep it nests.
fn check_growth(document: &Value, operation: &PatchOperation, copied_bytes: &mut usize) -> Result<(), Status> {
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Copy(copy) => {
            let source = document.pointer(copy.from.as_str());
            *copied_bytes += source.map_or(0, |value| value.to_string().len());
            if *copied_bytes > COPIED_BYTES_MAX {
                return Err(refused());
            }
            (&copy.path, source)
        }
        PatchOperation::Move(move_) => (&move_.path, document.pointer(move_.from.as_str())),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    if path.count() + value.map_or(0, depth) > DEPTH_MAX {
        return Err(refused());
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Upstream takes a `test` for null as passed where there is nothing.
fn is_test_of_absence(document: &Value, operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test)
        if test.value.is_null() && document.pointer(test.path.as_str()).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_do_what_they_say() {
        let document = json!({"metadata": {"labels": {"a/b": "1"}}, "spec": {"replicas": 1, "list": [1, 2, 3]}});
        for (case, operations, want) in [
            (
                "replace",
                json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]),
                Ok(("/spec/replicas", json!(3))),
            ),
            ("add a field", json!([{"op": "add", "path": "/spec/x", "value": {}}]), Ok(("/spec/x", json!({})))),
            (
                "append",
                json!([{"op": "add", "path": "/spec/list/-", "value": 4}]),
                Ok(("/spec/list", json!([1, 2, 3, 4]))),
            ),
            (
                "insert",
                json!([{"op": "add", "path": "/spec/list/0", "value": 0}]),
                Ok(("/spec/list", json!([0, 1, 2, 3]))),
            ),
            ("remove", json!([{"op": "remove", "path": "/spec/list/1"}]), Ok(("/spec/list", json!([1, 3])))),
            ("remove the last", json!([{"op": "remove", "path": "/spec/list/-1"}]), Ok(("/spec/list", json!([1, 2])))),
            (
                "replace from the end",
                json!([{"op": "replace", "path": "/spec/list/-3", "value": 0}]),
                Ok(("/spec/list", json!([0, 2, 3]))),
            ),
            (
                "add at the end",
                json!([{"op": "add", "path": "/spec/list/-1", "value": 4}]),
                Ok(("/spec/list", json!([1, 2, 3, 4]))),
            ),
            ("further back than the list is long", json!([{"op": "remove", "path": "/spec/list/-4"}]), Err(422)),
            (
                "escaped names",
                json!([{"op": "replace", "path": "/metadata/labels/a~1b", "value": "2"}]),
                Ok(("/metadata/labels/a~1b", json!("2"))),
            ),
            (
                "move",
                json!([{"op": "move", "from": "/spec/list", "path": "/spec/other"}]),
                Ok(("/spec/other", json!([1, 2, 3]))),
            ),
            (
                "copy",
                json!([{"op": "copy", "from": "/spec/list", "path": "/spec/other"}]),
                Ok(("/spec/list", json!([1, 2, 3]))),
            ),
            (
                "a test that passes",
                json!([{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "replace", "path": "/spec/replicas", "value": 2}]),
                Ok(("/spec/replicas", json!(2))),
            ),
            (
                "a test of absence",
                json!([{"op": "test", "path": "/spec/nothing", "value": null}]),
                Ok(("/spec/replicas", json!(1))),
            ),
            ("a test that fails", json!([{"op": "test", "path": "/spec/replicas", "value": 7}]), Err(422)),
            ("remove what is not there", json!([{"op": "remove", "path": "/spec/nothing"}]), Err(422)),
            ("replace what is not there", json!([{"op": "replace", "path": "/spec/nothing", "value": 1}]), Err(422)),
            ("add without a parent", json!([{"op": "add", "path": "/nothing/here", "value": 1}]), Err(422)),
            ("index out of range", json!([{"op": "add", "path": "/spec/list/9", "value": 1}]), Err(422)),
            ("an unknown operation", json!([{"op": "spin", "path": "/spec"}]), Err(422)),
            ("no path", json!([{"op": "remove"}]), Err(422)),
            ("a path without a slash", json!([{"op": "remove", "path": "spec"}]), Err(422)),
            ("not a list", json!({"op": "remove", "path": "/spec"}), Err(400)),
            ("not an operation", json!(["remove"]), Err(400)),
        ] {
            let got = apply(document.clone(), operations.to_string().as_bytes());
            match (got, want) {
                (Ok(value), Ok((path, want))) => assert_eq!(value.pointer(path), Some(&want), "{case}"),
                (Err(status), Err(code)) => assert_eq!(status.code, code, "{case}: {status}"),
                (got, want) => panic!("{case}: got {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn what_is_malformed_or_too_much_is_refused() {
        let malformed = apply(json!({}), b"[{").unwrap_err();
        assert_eq!((malformed.code, &*malformed.message), (400, "error decoding patch: unexpected end of JSON input"));

        let test = r#"{"op":"test","path":"/a","value":1}"#;
        let many = |count: usize| format!("[{}]", vec![test; count].join(","));
        assert!(apply(json!({"a": 1}), many(OPERATIONS_MAX).as_bytes()).is_ok());
        let status = apply(json!({"a": 1}), many(OPERATIONS_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(
            (status.code, &*status.message),
            (413, "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001")
        );
    }

    #[test]
    fn patches_cannot_blow_up_a_document() {
        let doubling: Vec<_> =
            (0..64).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/c{i}")})).collect();
        let wide = json!(doubling).to_string();
        assert_eq!(apply(json!({"a": {"text": "0123456789"}}), wide.as_bytes()).unwrap_err().code, 422);

        let deeper: Vec<_> = (1..500).map(|i| json!({"op": "add", "path": "/a".repeat(i), "value": {}})).collect();
        assert_eq!(apply(json!({}), json!(deeper).to_string().as_bytes()).unwrap_err().code, 422);
    }
}
