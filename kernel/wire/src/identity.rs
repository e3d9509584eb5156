//! What a document says it is.

use sdk_api::{GroupVersion, GroupVersionKind, Status};
use serde_json::Value;

/// The kind that a document names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub gvk: GroupVersionKind,
}

impl Identity {
    /// Reads `apiVersion` and `kind`; what is missing is what the path says, as upstream fills it in.
    ///
    /// `body` is quoted in the error.
    pub fn of(document: &Value, expected: &GroupVersionKind, body: &[u8]) -> Result<Self, Status> {
        let refuse = |words: String| {
            let kind = &expected.kind;
            let summary = summary(body);
            Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
                 error: {words} ({summary})"
            )))
        };
        let Some(document) = document.as_object() else {
            let found = go_type(document);
            let into = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                        \"json:\\\"kind,omitempty\\\"\" }";
            return refuse(format!("json: cannot unmarshal {found} into Go value of type {into}"));
        };
        let mut texts = ["apiVersion", "kind"].map(|field| (field, ""));
        for (field, text) in &mut texts {
            *text = match document.get(*field) {
                None | Some(Value::Null) => "",
                Some(Value::String(text)) => text,
                Some(other) => {
                    let found = go_type(other);
                    return refuse(format!(
                        "json: cannot unmarshal {found} into Go struct field .{field} of type string"
                    ));
                }
            };
        }
        let [(_, api_version), (_, kind)] = texts;
        let GroupVersion { group, version } =
            if api_version.is_empty() { expected.group_version() } else { GroupVersion::parse(api_version) };
        let kind = if kind.is_empty() { &expected.kind } else { kind };
        Ok(Self { gvk: GroupVersionKind::new(group, version, kind) })
    }

    /// Refuses a document that is not of the kind that the path takes.
    pub fn expect(&self, expected: &GroupVersionKind) -> Result<(), Status> {
        let found = &self.gvk;
        if found == expected {
            return Ok(());
        }
        if found.kind == expected.kind {
            return Err(Status::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version ({})",
                found.group_version(),
                expected.group_version()
            )));
        }
        Err(self.unknown(expected))
    }

    /// The answer to a document whose kind nothing serves, or that stands where another kind is expected.
    pub fn unknown(&self, expected: &GroupVersionKind) -> Status {
        let (found, group_version) = (&self.gvk, self.gvk.group_version().to_string());
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: no kind {:?} is registered for version {group_version:?} in \
             scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            found.kind, found.version, expected.kind, found.kind
        ))
    }
}

/// What upstream says of a document without a kind (or apiVersion), where the path does not tell it.
pub fn missing_kind(document: &Value, body: &[u8]) -> Option<String> {
    let empty = |field: &str| document[field].as_str().is_none_or(str::is_empty);
    let body = String::from_utf8_lossy(body);
    if empty("kind") {
        Some(format!("Object 'Kind' is missing in '{}'", body.trim_end()))
    } else if empty("apiVersion") {
        Some(format!("Object 'apiVersion' is missing in '{}'", body.trim_end()))
    } else {
        None
    }
}

/// A body as upstream's messages quote it: `<empty>`, the first 30 bytes of JSON, or of anything else in hexadecimal.
pub fn summary(body: &[u8]) -> String {
    const BYTES_MAX: usize = 30;
    let cut = &body[..body.len().min(BYTES_MAX)];
    let more = if body.len() > BYTES_MAX { " ..." } else { "" };
    match body.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(cut)),
        Some(_) => format!("{}{more}", cut.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_say_what_they_are() {
        let deployment = GroupVersionKind::new("apps", "v1", "Deployment");
        for (document, want) in [
            (json!({"apiVersion": "apps/v1", "kind": "Deployment"}), Ok(())),
            (json!({}), Ok(())),
            (json!({"kind": "Deployment", "apiVersion": null}), Ok(())),
            (
                json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"}),
                Err("the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"),
            ),
            (
                json!({"apiVersion": "v1", "kind": "Foo"}),
                Err("Foo in version \"v1\" cannot be handled as a Deployment: no kind \"Foo\" is registered for \
                     version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""),
            ),
            (
                json!({"kind": 1}),
                Err("the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; \
                     json parse error: json: cannot unmarshal number into Go struct field .kind of type string \
                     ({\"kind\":1})"),
            ),
        ] {
            let body = document.to_string();
            let got = Identity::of(&document, &deployment, body.as_bytes()).and_then(|it| it.expect(&deployment));
            assert_eq!(got.as_ref().map_err(|status| &*status.message), want.as_ref().map_err(|w| *w), "{document}");
        }
        let list = Identity::of(&json!([1]), &deployment, b"[1]").unwrap_err();
        assert!(list.message.contains("json: cannot unmarshal array into Go value"), "{list}");
    }

    #[test]
    fn bodies_are_quoted_in_short() {
        for (body, want) in [
            (&b""[..], "<empty>"),
            (b"{\"a\":1}", "{\"a\":1}"),
            (b"{\"a\":\"0123456789012345678901234567890\"}", "{\"a\":\"012345678901234567890123 ..."),
            (b"abc", "616263"),
        ] {
            assert_eq!(summary(body), want);
        }
        assert_eq!(missing_kind(&json!({}), b"{}\n").as_deref(), Some("Object 'Kind' is missing in '{}'"));
        let versionless = json!({"kind": "Pod"});
        assert_eq!(missing_kind(&versionless, b"x").as_deref(), Some("Object 'apiVersion' is missing in 'x'"));
        assert_eq!(missing_kind(&json!({"kind": "Pod", "apiVersion": "v1"}), b""), None);
    }
}
