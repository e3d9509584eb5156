//! What is wrong with a definition. Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation`.

use sdk_api::{Violations, names};
use serde_json::{Value, json};

use crate::establish::{self, APPROVAL, is_established, is_protected};
use crate::json_path::JsonPath;
use crate::schema::{Schema, structural};

const SELECTABLE_MAX: usize = 8;
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["int32", "int64", "float", "double", "byte", "date", "date-time", "password", "name", ""];

/// Checks a definition; `old` is the stored one on an update.
pub fn definition(new: &Value, old: Option<&Value>) -> Violations {
    let mut found = Violations::default();
    let spec = &new["spec"];
    let (name, group, plural) = (text(&new["metadata"]["name"]), text(&spec["group"]), text(&spec["names"]["plural"]));
    if name != format!("{plural}.{group}") {
        found.invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group");
    }
    if group.is_empty() {
        found.required("spec.group", "");
    } else {
        for problem in names::dns1123_subdomain(group) {
            found.invalid("spec.group", group, problem);
        }
        if !group.contains('.') {
            found.invalid("spec.group", group, "should be a domain with at least one dot");
        }
    }
    match text(&spec["scope"]) {
        "" => found.required("spec.scope", ""),
        "Namespaced" | "Cluster" => {}
        other => found.not_supported("spec.scope", other, &["Cluster", "Namespaced"]),
    }
    given_names(&spec["names"], "spec.names", &mut found);
    if spec["preserveUnknownFields"] == true {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        found.invalid("spec.preserveUnknownFields", true, why);
    }
    versions(spec, &mut found);
    conversion(spec, &mut found);
    if old.is_none() && is_protected(group) {
        let (_, reason, message) = establish::approval(&new["metadata"]["annotations"][APPROVAL]);
        let field = format!("metadata.annotations[{APPROVAL}]");
        match reason {
            "MissingAnnotation" => found.required(field, message),
            "InvalidAnnotation" => found.invalid(field, new["metadata"]["annotations"][APPROVAL].clone(), message),
            _ => {}
        }
    }
    stored_versions(new, &mut found);
    if let Some(old) = old {
        unchangeable(new, old, &mut found);
    }
    found
}

/// What a status may say.
pub fn status(new: &Value) -> Violations {
    let mut found = Violations::default();
    stored_versions(new, &mut found);
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn given_names(names: &Value, path: &str, found: &mut Violations) {
    let mut label = |field: String, text: &str, case: bool| {
        let problems = names::dns1035_label(&if case { text.to_lowercase() } else { text.to_owned() });
        for problem in problems {
            let words =
                if case { format!("may have mixed case, but should otherwise match: {problem}") } else { problem };
            found.invalid(&field, text, words);
        }
    };
    label(format!("{path}.plural"), text(&names["plural"]), false);
    if let Some(singular) = names["singular"].as_str() {
        label(format!("{path}.singular"), singular, false);
    }
    label(format!("{path}.kind"), text(&names["kind"]), true);
    if let Some(list) = names["listKind"].as_str() {
        label(format!("{path}.listKind"), list, true);
    }
    for list in ["shortNames", "categories"] {
        for (at, word) in items(&names[list]).iter().enumerate() {
            label(format!("{path}.{list}[{at}]"), text(word), false);
        }
    }
    let kind = text(&names["kind"]);
    if !kind.is_empty() && text(&names["listKind"]) == kind {
        found.invalid(format!("{path}.listKind"), kind, "kind and listKind may not be the same");
    }
}

fn versions(spec: &Value, found: &mut Violations) {
    let all = items(&spec["versions"]);
    let mut seen: Vec<&str> = Vec::new();
    for (at, version) in all.iter().enumerate() {
        let (path, name) = (format!("spec.versions[{at}]"), text(&version["name"]));
        for problem in names::dns1035_label(name) {
            found.invalid(format!("{path}.name"), name, problem);
        }
        if seen.contains(&name) {
            found.invalid("spec.versions", name, "must contain unique version names");
        }
        seen.push(name);
        if let Some(words) = version["deprecationWarning"].as_str() {
            if version["deprecated"] != true {
                found.invalid(format!("{path}.deprecationWarning"), words, "can only be set for deprecated versions");
            }
            if words.is_empty() || words.len() > 256 {
                let why =
                    if words.is_empty() { "must not be empty if not null" } else { "must be 256 characters or less" };
                found.invalid(format!("{path}.deprecationWarning"), words, why);
            }
            if words.chars().any(char::is_control) {
                found.invalid(
                    format!("{path}.deprecationWarning"),
                    words,
                    "must only contain printable UTF-8 characters; non-printable characters found",
                );
            }
        }
        one_version(version, &path, found);
    }
    let stored = all.iter().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        found.invalid("spec.versions", json!(seen), "must have exactly one version marked as storage version");
    }
}

fn one_version(version: &Value, path: &str, found: &mut Violations) {
    let document = &version["schema"]["openAPIV3Schema"];
    let here = format!("{path}.schema.openAPIV3Schema");
    let schema = match Schema::parse(document) {
        _ if document.is_null() => {
            found.required(here, "schemas are required");
            None
        }
        Err(error) => {
            found.invalid(here, "", error);
            None
        }
        Ok(schema) => {
            found.extend(structural::validate_schema(&schema, &here));
            Some(schema)
        }
    };
    scale(&version["subresources"]["scale"], &format!("{path}.subresources.scale"), found);
    for (at, column) in items(&version["additionalPrinterColumns"]).iter().enumerate() {
        printer_column(column, &format!("{path}.additionalPrinterColumns[{at}]"), found);
    }
    selectable(version, schema.as_ref(), &format!("{path}.selectableFields"), found);
}

/// A path of field names alone.
fn simple_path(path: &str, field: &str, found: &mut Violations) {
    if path.is_empty() {
        found.invalid(field, path, "must not be empty");
    } else if !path.starts_with('.') {
        found.invalid(field, path, "must be a simple json path starting with .");
    } else if let Err(why) = JsonPath::parse(path) {
        found.invalid(field, path, why);
    }
}

fn scale(scale: &Value, path: &str, found: &mut Violations) {
    if !scale.is_object() {
        return;
    }
    for (field, roots, required) in [
        ("specReplicasPath", &["spec"][..], true),
        ("statusReplicasPath", &["status"], true),
        ("labelSelectorPath", &["spec", "status"], false),
    ] {
        let (given, here) = (text(&scale[field]), format!("{path}.{field}"));
        if given.is_empty() {
            if required {
                found.required(here, "");
            }
            continue;
        }
        simple_path(given, &here, found);
        if given.contains('[') {
            found.invalid(&here, given, "must be a json path without array notation");
        }
        if !roots.iter().any(|root| given.starts_with(&format!(".{root}."))) {
            let under = match roots {
                [one] => format!("should be a json path under .{one}"),
                _ => "should be a json path under either .spec or .status".into(),
            };
            found.invalid(here, given, under);
        }
    }
}

fn printer_column(column: &Value, path: &str, found: &mut Violations) {
    if text(&column["name"]).is_empty() {
        found.required(format!("{path}.name"), "");
    }
    match text(&column["type"]) {
        "" => found.required(format!("{path}.type"), format!("must be one of {}", COLUMN_TYPES.join(","))),
        known if COLUMN_TYPES.contains(&known) => {}
        other => found.invalid(format!("{path}.type"), other, format!("must be one of {}", COLUMN_TYPES.join(","))),
    }
    let format = text(&column["format"]);
    if !COLUMN_FORMATS.contains(&format) {
        let known = COLUMN_FORMATS.iter().filter(|known| !known.is_empty()).copied().collect::<Vec<_>>().join(",");
        found.invalid(format!("{path}.format"), format, format!("must be one of {known}"));
    }
    match text(&column["jsonPath"]) {
        "" => found.required(format!("{path}.jsonPath"), ""),
        given => simple_path(given, &format!("{path}.jsonPath"), found),
    }
}

/// Source: KEP-4358, custom resource field selectors.
fn selectable(version: &Value, schema: Option<&Schema>, path: &str, found: &mut Violations) {
    let fields = items(&version["selectableFields"]);
    if fields.len() > SELECTABLE_MAX {
        found.too_many(path, fields.len(), SELECTABLE_MAX);
    }
    let mut seen = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let (given, here) = (text(&field["jsonPath"]), format!("{path}[{at}].jsonPath"));
        if given.is_empty() {
            found.required(here, "must not be empty");
            continue;
        }
        let parsed = JsonPath::parse(given);
        let Some(names) = parsed.as_ref().ok().and_then(JsonPath::names).filter(|_| given.starts_with('.')) else {
            found.invalid(here, given, "must be a simple json path of field names, starting with .");
            continue;
        };
        if names.first() == Some(&"metadata") {
            found.invalid(here, given, "must not point to fields in metadata");
        } else if let Some(schema) = schema {
            match schema.at_path(given) {
                None => found.invalid(&here, given, format!("field does not exist: {given}")),
                Some(of) if matches!(of.kind.as_str(), "string" | "boolean" | "integer") => {}
                Some(_) => {
                    let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                    found.invalid(&here, given, why);
                }
            }
        }
        if seen.contains(&given) {
            found.duplicate(format!("{path}[{at}].jsonPath"), given);
        }
        seen.push(given);
    }
}

fn conversion(spec: &Value, found: &mut Violations) {
    let (conversion, path) = (&spec["conversion"], "spec.conversion");
    let webhook = &conversion["webhook"];
    match text(&conversion["strategy"]) {
        "" => found.required(format!("{path}.strategy"), ""),
        "None" if webhook.is_object() => {
            found.forbidden(format!("{path}.webhook"), "should not be set when strategy is not set to Webhook");
        }
        "None" => {}
        "Webhook" => {
            let client = &webhook["clientConfig"];
            if !webhook.is_object() || !client.is_object() {
                found.required(format!("{path}.webhook.clientConfig"), "required when strategy is set to Webhook");
            } else if client["url"].is_string() == client["service"].is_object() {
                found.required(format!("{path}.webhook.clientConfig"), "exactly one of url or service is required");
            }
            let reviews = items(&webhook["conversionReviewVersions"]);
            if webhook.is_object() && reviews.is_empty() {
                found.required(format!("{path}.webhook.conversionReviewVersions"), "");
            }
            // With one version there is nothing to convert.
            if items(&spec["versions"]).len() > 1 {
                let why = "conversion of several versions by a webhook is not supported by this server yet; use None, or a single version";
                found.invalid(format!("{path}.strategy"), "Webhook", why);
            }
        }
        other => found.not_supported(format!("{path}.strategy"), other, &["None", "Webhook"]),
    }
}

/// Objects may be stored in these versions, so the definition must know them.
fn stored_versions(new: &Value, found: &mut Violations) {
    let Some(stored) = new["status"]["storedVersions"].as_array() else { return };
    let versions = items(&new["spec"]["versions"]);
    if stored.is_empty() {
        found.invalid("status.storedVersions", json!([]), "must have at least one stored version");
    }
    for (at, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let why = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"
                .replace("v1 ", &format!("{} ", text(name)));
            found.invalid(format!("status.storedVersions[{at}]"), name.clone(), why);
        }
    }
    let storage = versions.iter().find(|version| version["storage"] == true).map(|version| &version["name"]);
    if let Some(storage) = storage.filter(|storage| !stored.is_empty() && !stored.contains(storage)) {
        let why = format!("must have the storage version {}", text(storage));
        found.invalid("status.storedVersions", stored.clone(), why);
    }
}

/// What may not change: objects of the kind may be stored under it.
fn unchangeable(new: &Value, old: &Value, found: &mut Violations) {
    let mut same = |field: &str, after: &Value, before: &Value| {
        if after != before {
            found.invalid(field, after.clone(), "field is immutable");
        }
    };
    let (new, spec) = (&new["spec"], &old["spec"]);
    if is_established(old) {
        same("spec.scope", &new["scope"], &spec["scope"]);
        same("spec.names.kind", &new["names"]["kind"], &spec["names"]["kind"]);
    }
    same("spec.group", &new["group"], &spec["group"]);
    same("spec.names.plural", &new["names"]["plural"], &spec["names"]["plural"]);
}
