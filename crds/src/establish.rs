//! What becomes of a definition: which names it gets, whether it is served, and what its status says. Pure.
//! Source: upstream's naming, establishing and API approval controllers.

use sdk_api::{Timestamp, time};
use serde_json::{Value, json};

/// The finalizer that keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Who may define kinds in groups of Kubernetes itself says so here.
pub const APPROVAL: &str = "api-approved.kubernetes.io";

/// Names that others of the same group have: plural, singular and short names are one space, kinds another.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Taken {
    /// Adds accepted names, in the form of `status.acceptedNames`.
    pub fn add(&mut self, names: &Value) {
        let texts = |fields: [&str; 2]| fields.map(|field| names[field].as_str().unwrap_or_default().to_owned());
        self.resources.extend(texts(["plural", "singular"]).into_iter().filter(|name| !name.is_empty()));
        let short = names["shortNames"].as_array().into_iter().flatten();
        self.resources.extend(short.filter_map(|name| name.as_str().map(Into::into)));
        self.kinds.extend(texts(["kind", "listKind"]).into_iter().filter(|name| !name.is_empty()));
    }
}

/// The status that a definition should have.
pub fn status(definition: &Value, taken: &Taken, now: Timestamp) -> Value {
    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let (accepted, conflict) = accept(&definition["spec"]["names"], &status["acceptedNames"], taken);
    status["acceptedNames"] = accepted;
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    if !status["storedVersions"].is_array() {
        let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        let stored: Vec<_> =
            versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone()).collect();
        status["storedVersions"] = stored.into();
    }
    let mut set =
        |kind: &str, is: bool, reason: &str, message: &str| condition(&mut status, kind, is, reason, message, now);
    match &conflict {
        None => set("NamesAccepted", true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => set("NamesAccepted", false, reason, message),
    }
    // Once served it stays served, whatever names it asks for later.
    if !is_established(definition) {
        match conflict {
            None => set("Established", true, "InitialNamesAccepted", "the initial names have been accepted"),
            Some(_) => set("Established", false, "NotAccepted", "not all names are accepted"),
        }
    }
    if is_protected(definition["spec"]["group"].as_str().unwrap_or_default()) {
        let (is, reason, message) = approval(&definition["metadata"]["annotations"][APPROVAL]);
        set("KubernetesAPIApprovalPolicyConformant", is, reason, &message);
    }
    if definition["metadata"]["deletionTimestamp"].is_string() {
        set("Terminating", true, "InstanceDeletionInProgress", "CustomResource deletion is in progress");
    }
    status
}

pub fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// The names that are accepted, each on its own, and the last conflict: its reason and message.
fn accept(wanted: &Value, before: &Value, taken: &Taken) -> (Value, Option<(&'static str, String)>) {
    let mut accepted = if before.is_object() { before.clone() } else { json!({"plural": "", "kind": ""}) };
    let mut conflict = None;
    let mut complain =
        |reason: &'static str, name: &str| conflict = Some((reason, format!("{name:?} is already in use")));
    for (field, reason, names) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let name = wanted[field].as_str().unwrap_or_default();
        if names.iter().any(|other| other == name) {
            complain(reason, name);
        } else if name.is_empty() {
            accepted.as_object_mut().and_then(|names| names.remove(field));
        } else {
            accepted[field] = name.into();
        }
    }
    let short: Vec<&str> = wanted["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let clash: Vec<_> = short.iter().filter(|name| taken.resources.iter().any(|other| other == *name)).collect();
    if clash.is_empty() {
        match short.is_empty() {
            true => drop(accepted.as_object_mut().and_then(|names| names.remove("shortNames"))),
            false => accepted["shortNames"] = json!(short),
        }
    }
    for name in clash {
        complain("ShortNamesConflict", name);
    }
    match wanted["categories"].as_array() {
        Some(categories) => accepted["categories"] = categories.clone().into(),
        None => drop(accepted.as_object_mut().and_then(|names| names.remove("categories"))),
    }
    (accepted, conflict)
}

/// Sets a condition; the time moves only with its status.
pub fn condition(status: &mut Value, kind: &str, is: bool, reason: &str, message: &str, now: Timestamp) {
    let text = if is { "True" } else { "False" };
    let new = |since: Value| json!({"type": kind, "status": text, "lastTransitionTime": since, "reason": reason, "message": message});
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|condition| condition["type"] == kind) {
        Some(known) if known["status"] == text => {
            let mut same = new(known["lastTransitionTime"].clone());
            if let Some(generation) = known.get("observedGeneration") {
                same["observedGeneration"] = generation.clone();
            }
            *known = same;
        }
        Some(known) => *known = new(time::rfc3339(now).into()),
        None => conditions.push(new(time::rfc3339(now).into())),
    }
}

/// Groups of Kubernetes itself. Source: KEP-1111.
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

/// Whether the annotation approves, why, and in words.
pub fn approval(annotation: &Value) -> (bool, &'static str, String) {
    match annotation.as_str() {
        None | Some("") => (
            false,
            "MissingAnnotation",
            format!(
                "protected groups must have approval annotation {APPROVAL:?}, see https://github.com/kubernetes/enhancements/pull/1111"
            ),
        ),
        Some(words) if words.starts_with("unapproved") => {
            (false, "UnapprovedAnnotation", format!("not approved: {words:?}"))
        }
        Some(url) if url.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) => {
            (true, "ApprovedAnnotation", format!("approved in {url}"))
        }
        Some(_) => (
            false,
            "InvalidAnnotation",
            format!(
                "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{"name": "v1", "storage": true}]}})
    }

    fn conditions(status: &Value) -> Vec<String> {
        let all = status["conditions"].as_array().unwrap();
        all.iter()
            .map(|c| {
                format!(
                    "{}={} {}",
                    c["type"].as_str().unwrap(),
                    c["status"].as_str().unwrap(),
                    c["reason"].as_str().unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn names_are_taken_once() {
        let now = Timestamp::UNIX_EPOCH;
        let mut definition = definition();
        let free = status(&definition, &Taken::default(), now);
        assert_eq!(conditions(&free), ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]);
        assert_eq!(free["acceptedNames"], definition["spec"]["names"]);
        assert_eq!(free["storedVersions"], json!(["v1"]));
        for (names, reason) in [
            (json!({"plural": "widgets"}), "PluralConflict"),
            (json!({"shortNames": ["widget"]}), "SingularConflict"),
            (json!({"singular": "wd"}), "ShortNamesConflict"),
            (json!({"kind": "Widget"}), "KindConflict"),
            (json!({"listKind": "WidgetList"}), "ListKindConflict"),
        ] {
            let mut taken = Taken::default();
            taken.add(&names);
            let found = status(&definition, &taken, now);
            assert_eq!(
                conditions(&found),
                [format!("NamesAccepted=False {reason}"), "Established=False NotAccepted".into()]
            );
        }
        // Established, then a new short name that another has: the old names stay.
        definition["status"] = free.clone();
        definition["spec"]["names"]["shortNames"] = json!(["other"]);
        let mut taken = Taken::default();
        taken.add(&json!({"plural": "other"}));
        let found = status(&definition, &taken, now);
        assert_eq!(
            conditions(&found),
            ["NamesAccepted=False ShortNamesConflict", "Established=True InitialNamesAccepted"]
        );
        assert_eq!(found["acceptedNames"]["shortNames"], json!(["wd"]));
    }

    #[test]
    fn a_settled_status_stays_as_it_is() {
        let mut definition = definition();
        definition["status"] = status(&definition, &Taken::default(), Timestamp::UNIX_EPOCH);
        let later: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(status(&definition, &Taken::default(), later), definition["status"]);
    }

    #[test]
    fn groups_of_kubernetes_need_approval() {
        for (annotation, reason) in [
            (Value::Null, "MissingAnnotation"),
            (json!("unapproved, a test"), "UnapprovedAnnotation"),
            (json!("https://example.com/1"), "ApprovedAnnotation"),
            (json!("yes"), "InvalidAnnotation"),
        ] {
            assert_eq!(approval(&annotation).1, reason);
        }
        assert!(is_protected("x.k8s.io") && is_protected("k8s.io") && !is_protected("ak8s.io"));
    }
}
