//! Query parameters as the registry wants them.

use std::time::Duration;

use kernel_registry::{DeleteRequest, FieldValidation, ListRequest, RevisionMatch, WatchRequest};
use sdk_api::{Cause, Details, FieldSelector, LabelSelector, Reason, Status};
use sdk_client::Propagation;
use serde_json::Value;

use crate::steps::flow::Listing;

/// The decoded query.
#[derive(Clone, Copy)]
pub struct Query<'a>(pub &'a [(String, String)]);

impl<'a> Query<'a> {
    pub fn get(self, name: &str) -> &'a str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn has(self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// True for `true`, `1` and the like; a parameter without a value counts as true, as in upstream's conversion.
    pub fn flag(self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0" | "f")
    }

    fn number<T: std::str::FromStr>(self, name: &str) -> Result<Option<T>, Status> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!("strconv.ParseUint: parsing {text:?}: invalid syntax (parameter {name})"))
            }),
        }
    }
}

/// Refused options of a list or a watch. Source: `ValidateListOptions`.
fn invalid(field: &str, words: &str) -> Status {
    refused("ListOptions", field, words)
}

/// Refused options, in the shape of upstream's validation of these kinds.
pub fn refused(kind: &str, field: &str, words: &str) -> Status {
    let message = format!("{kind}.meta.k8s.io \"\" is invalid: {field}: {words}");
    let reason = match words {
        _ if words.starts_with("Invalid value") => "FieldValueInvalid",
        _ if words.starts_with("Required value") => "FieldValueRequired",
        _ if words.starts_with("Too long") => "FieldValueTooLong",
        _ if words.starts_with("Unsupported value") => "FieldValueNotSupported",
        _ => "FieldValueForbidden",
    };
    let mut status = Status::new(422, Reason::Invalid, message);
    status.details = Some(Box::new(Details {
        group: "meta.k8s.io".into(),
        kind: kind.into(),
        causes: vec![Cause { reason: reason.into(), message: words.into(), field: field.into() }],
        ..Details::default()
    }));
    status
}

/// The kind that holds the options of a verb.
pub fn options_of(verb: &str) -> &'static str {
    match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        "delete" | "deletecollection" => "DeleteOptions",
        _ => "ListOptions",
    }
}

fn selectors(query: Query<'_>) -> Result<(LabelSelector, FieldSelector), Status> {
    let labels = LabelSelector::parse(query.get("labelSelector")).map_err(Status::bad_request)?;
    let fields = FieldSelector::parse(query.get("fieldSelector")).map_err(Status::bad_request)?;
    Ok((labels, fields))
}

fn revision_match(query: Query<'_>) -> Result<Option<RevisionMatch>, Status> {
    match query.get("resourceVersionMatch") {
        "" => Ok(None),
        "Exact" => Ok(Some(RevisionMatch::Exact)),
        "NotOlderThan" => Ok(Some(RevisionMatch::NotOlderThan)),
        other => Err(invalid(
            "resourceVersionMatch",
            &format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""),
        )),
    }
}

fn revision(query: Query<'_>) -> Result<Option<u64>, Status> {
    match query.get("resourceVersion") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            invalid("resourceVersion", &format!("Invalid value: {text:?}: must be a decimal number below 2^64"))
        }),
    }
}

/// The options of a list. Source: `ValidateListOptions`.
pub fn list(query: Query<'_>) -> Result<ListRequest, Status> {
    let (labels, fields) = selectors(query)?;
    let (revision, revision_match) = (revision(query)?, revision_match(query)?);
    let continue_token = query.get("continue").to_owned();
    if query.has("sendInitialEvents") {
        return Err(invalid("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"));
    }
    if revision_match.is_some() {
        if revision.is_none() {
            return Err(invalid(
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !continue_token.is_empty() {
            return Err(invalid(
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if revision_match == Some(RevisionMatch::Exact) && revision == Some(0) {
            return Err(invalid(
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    Ok(ListRequest {
        labels,
        fields,
        limit: query.number("limit")?.unwrap_or(0),
        continue_token,
        revision,
        revision_match,
    })
}

/// The options of a watch, and whether bookmarks are wanted. Source: `ValidateListOptions` with `isWatch`.
pub fn watch(query: Query<'_>) -> Result<(WatchRequest, bool), Status> {
    let (labels, fields) = selectors(query)?;
    let (revision, revision_match) = (revision(query)?, revision_match(query)?);
    let asked = query.has("sendInitialEvents");
    let mut initial_events = query.flag("sendInitialEvents");
    if asked {
        if revision_match != Some(RevisionMatch::NotOlderThan) {
            return Err(invalid(
                "resourceVersionMatch",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
    } else if revision_match.is_some() {
        return Err(invalid(
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    // Since 1.34 a watch from unset or 0 starts with the present state.
    if !asked && revision.unwrap_or(0) == 0 {
        initial_events = true;
    }
    let request = WatchRequest { labels, fields, revision, initial_events };
    Ok((request, query.flag("allowWatchBookmarks")))
}

/// How long a request may take: what it says itself, and no longer than `max`. Source: `WithRequestDeadline`.
pub fn timeout(query: Query<'_>, max: Duration) -> Result<Duration, Status> {
    let text = query.get("timeout");
    if text.is_empty() {
        return Ok(max);
    }
    let wrong =
        |why: &str| Status::bad_request(format!("invalid timeout specified in the request URL - time: {why} {text:?}"));
    let parsed = go_duration(text).ok_or_else(|| wrong("invalid duration"))?;
    Ok(if parsed.is_zero() { max } else { parsed.min(max) })
}

/// A duration as Go writes it: `300ms`, `1.5h`, `1h15m30s`; a bare `0` too. Negative ones are none.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text.strip_prefix('+').unwrap_or(text), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (name, after) = after.split_at(unit);
        let (_, factor) = UNITS.iter().find(|(known, _)| *known == name)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// How much a list or a watch will have to go through, as far as it says; what it says wrongly is refused later.
pub fn listing(query: Query<'_>) -> Listing {
    Listing {
        limit: query.number("limit").ok().flatten().unwrap_or(0),
        selects: !query.get("labelSelector").is_empty() || !query.get("fieldSelector").is_empty(),
        initial_events: query.flag("sendInitialEvents") || matches!(query.get("resourceVersion"), "" | "0"),
    }
}

/// Seconds after which a watch or a request ends by itself.
pub fn timeout_seconds(query: Query<'_>) -> Result<Option<u64>, Status> {
    query.number("timeoutSeconds")
}

/// Whether nothing is to be stored.
pub fn dry_run(query: Query<'_>, verb: &str) -> Result<bool, Status> {
    let values = query.0.iter().filter(|(key, _)| key == "dryRun").map(|(_, value)| value.as_str());
    check_dry_run(values, options_of(verb))
}

fn check_dry_run<'a>(values: impl Iterator<Item = &'a str>, kind: &str) -> Result<bool, Status> {
    let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    if values.iter().any(|value| *value != "All") {
        let shown = Value::from(values);
        return Err(refused(kind, "dryRun", &format!("Unsupported value: {shown}: supported values: \"All\"")));
    }
    Ok(!values.is_empty())
}

/// What becomes of unknown and duplicate fields.
pub fn field_validation(query: Query<'_>, verb: &str) -> Result<FieldValidation, Status> {
    match query.get("fieldValidation") {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(refused(
            options_of(verb),
            "fieldValidation",
            &format!("Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""),
        )),
    }
}

/// Whether an apply takes fields from others. Source: `ValidatePatchOptions`.
pub fn force(query: Query<'_>, applies: bool) -> Result<bool, Status> {
    if applies && query.get("fieldManager").is_empty() {
        return Err(refused("PatchOptions", "fieldManager", "Required value: is required for apply patch"));
    }
    if !applies && query.has("force") {
        return Err(refused("PatchOptions", "force", "Forbidden: may not be specified for non-apply patch"));
    }
    Ok(query.flag("force"))
}

/// The options of a deletion, from the body if there is one, else from the query; and whether it is a dry run.
pub fn delete(query: Query<'_>, body: Option<&Value>) -> Result<(DeleteRequest, bool), Status> {
    let Some(body) = body else {
        let request = DeleteRequest {
            grace_period_seconds: query.number("gracePeriodSeconds")?,
            propagation: propagation(
                query.get("propagationPolicy"),
                query.has("orphanDependents").then(|| query.flag("orphanDependents")),
            )?,
            ..DeleteRequest::default()
        };
        return Ok((request, dry_run(query, "delete")?));
    };
    let kind = body["kind"].as_str().unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        return Err(Status::bad_request(format!("the body of a deletion is a DeleteOptions, not a {kind}")));
    }
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let revision = match text(&body["preconditions"]["resourceVersion"]) {
        Some(digits) => Some(digits.parse().map_err(|_| {
            let words = format!("Invalid value: {digits:?}: must be a decimal number");
            refused("DeleteOptions", "preconditions.resourceVersion", &words)
        })?),
        None => None,
    };
    let request = DeleteRequest {
        grace_period_seconds: match &body["gracePeriodSeconds"] {
            Value::Null => query.number("gracePeriodSeconds")?,
            value => Some(value.as_i64().ok_or_else(|| {
                Status::bad_request(format!(
                    "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: json: cannot unmarshal {} into Go \
                     struct field DeleteOptions.gracePeriodSeconds of type int64",
                    go_type(value)
                ))
            })?),
        },
        uid: text(&body["preconditions"]["uid"]),
        revision,
        propagation: propagation(
            body["propagationPolicy"].as_str().unwrap_or(query.get("propagationPolicy")),
            body["orphanDependents"].as_bool(),
        )?,
    };
    let values = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok((request, check_dry_run(values, "DeleteOptions")? || dry_run(query, "delete")?))
}

/// What Go's decoder calls a value.
fn go_type(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}

fn propagation(policy: &str, orphan: Option<bool>) -> Result<Option<Propagation>, Status> {
    let message = |words: &str| refused("DeleteOptions", "propagationPolicy", words);
    match (policy, orphan) {
        ("", None) => Ok(None),
        ("", Some(true)) => Ok(Some(Propagation::Orphan)),
        ("", Some(false)) => Ok(Some(Propagation::Background)),
        (_, Some(_)) => Err(message(&format!(
            "Invalid value: {policy:?}: orphanDependents and deletionPropagation cannot be both set"
        ))),
        ("Orphan", None) => Ok(Some(Propagation::Orphan)),
        ("Background", None) => Ok(Some(Propagation::Background)),
        ("Foreground", None) => Ok(Some(Propagation::Foreground)),
        (other, None) => Err(message(&format!(
            "Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::info::query_pairs;

    use super::*;

    #[test]
    fn a_request_may_shorten_its_time() {
        let (max, ms) = (Duration::from_secs(60), Duration::from_millis);
        for (text, expected) in [
            ("", Some(max)),
            ("0", Some(max)),
            ("0s", Some(max)),
            ("1.5s", Some(ms(1500))),
            ("34s", Some(ms(34_000))),
            ("1m1s", Some(max)),
            ("10ms", Some(ms(10))),
            ("1", None),
            ("-1s", None),
            ("s", None),
            ("1.2.3s", None),
            ("1y", None),
        ] {
            let pairs = [("timeout".to_owned(), text.to_owned())];
            assert_eq!(timeout(Query(&pairs), max).ok(), expected, "{text}");
        }
        let pairs = [("timeout".to_owned(), "abc".to_owned())];
        let refused = timeout(Query(&pairs), max).unwrap_err();
        assert_eq!(refused.message, "invalid timeout specified in the request URL - time: invalid duration \"abc\"");
    }

    #[test]
    fn revisions_and_their_match_must_fit() {
        for (query, code) in [
            ("", 0),
            ("resourceVersion=0", 0),
            ("resourceVersion=5&resourceVersionMatch=Exact", 0),
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersion=0&resourceVersionMatch=Exact", 422),
            ("resourceVersion=1&resourceVersionMatch=Most", 422),
            ("resourceVersion=x", 422),
            ("resourceVersion=1&resourceVersionMatch=Exact&continue=a", 422),
            ("sendInitialEvents=true", 422),
            ("limit=x", 400),
            ("labelSelector=a%20b", 400),
            ("fieldSelector=a", 400),
        ] {
            let pairs = query_pairs(query);
            assert_eq!(list(Query(&pairs)).map_or_else(|s| s.code, |_| 0), code, "{query}");
        }
        for (query, code, initial) in [
            ("", 0, true),
            ("resourceVersion=0", 0, true),
            ("resourceVersion=7", 0, false),
            ("resourceVersionMatch=NotOlderThan", 422, false),
            ("sendInitialEvents=true", 422, false),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=7", 0, true),
        ] {
            let pairs = query_pairs(query);
            let parsed = watch(Query(&pairs));
            assert_eq!(parsed.as_ref().map_or_else(|s| s.code, |_| 0), code, "{query}");
            assert_eq!(parsed.is_ok_and(|(request, _)| request.initial_events), initial, "{query}");
        }
    }

    #[test]
    fn refusals_name_the_options_and_the_field() {
        let delete_body = |body: Value| delete(Query(&[]), Some(&body)).map(|_| ()).unwrap_err();
        let pairs = query_pairs("dryRun=Some&fieldValidation=Foo");
        for (status, kind, cause, message) in [
            (
                dry_run(Query(&pairs), "create").unwrap_err(),
                "CreateOptions",
                "FieldValueNotSupported",
                "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
            ),
            (
                field_validation(Query(&pairs), "patch").map(|_| ()).unwrap_err(),
                "PatchOptions",
                "FieldValueNotSupported",
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Foo\": supported values: \
                 \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                delete_body(serde_json::json!({"propagationPolicy": "x"})),
                "DeleteOptions",
                "FieldValueNotSupported",
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"x\": supported values: \
                 \"Background\", \"Foreground\", \"Orphan\"",
            ),
        ] {
            let details = status.details.as_ref().unwrap();
            assert_eq!((&*details.kind, &*details.causes[0].reason, &*status.message), (kind, cause, message));
        }
        let malformed = delete_body(serde_json::json!({"gracePeriodSeconds": "x"}));
        assert_eq!(
            (malformed.code, &*malformed.message),
            (
                400,
                "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: json: cannot unmarshal string into \
                 Go struct field DeleteOptions.gracePeriodSeconds of type int64"
            )
        );
    }
}
