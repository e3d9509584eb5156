//! The parameters that operations take.

use serde_json::{Value, json};

/// Name, type and description of each query parameter that some verb takes.
const QUERY: &[(&str, &str, &str)] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Ask for events of type BOOKMARK, which tell how far a watch has come. Ignored unless this is a watch.",
    ),
    ("command", "string", "Command is the remote command to execute, argument by argument, without a shell."),
    ("container", "string", "The container of the pod. Defaults to the only one."),
    (
        "continue",
        "string",
        "The token from the metadata of the page before. A token that has expired is answered with 410 and a new token, with which a list goes on at the newest state. Not for watches.",
    ),
    (
        "dryRun",
        "string",
        "When present, the request is processed in full but nothing is stored. Valid values are: - All: all dry run stages will be processed",
    ),
    (
        "fieldManager",
        "string",
        "The name of the actor that makes these changes, at most 128 printable characters. Required for apply requests.",
    ),
    ("fieldSelector", "string", "Restricts the objects by their fields. Defaults to everything."),
    (
        "fieldValidation",
        "string",
        "What to do about unknown and duplicate fields in the request. Valid values are: - Ignore: drop them in silence - Warn: drop them with a warning for each, the default - Strict: refuse the request with all of them in the error",
    ),
    ("follow", "boolean", "Follow the log stream of the container."),
    ("force", "boolean", "Take over fields that other managers own. Only for apply requests."),
    (
        "gracePeriodSeconds",
        "integer",
        "Seconds before the object is deleted; zero deletes at once. Defaults to what the object says.",
    ),
    (
        "insecureSkipTLSVerifyBackend",
        "boolean",
        "Do not check the serving certificate of the node that the log comes from.",
    ),
    ("labelSelector", "string", "Restricts the objects by their labels. Defaults to everything."),
    (
        "limit",
        "integer",
        "The most objects to answer at once. If there are more, the list's metadata has a continue token. All pages show the same state. Not for watches.",
    ),
    ("limitBytes", "integer", "The most bytes of the log to answer."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy. Whether dependents stay."),
    ("path", "string", "The URL path to use for the proxied request."),
    ("ports", "integer", "The ports to forward. Required with WebSockets."),
    ("pretty", "string", "If 'true', the output is pretty printed."),
    ("previous", "boolean", "Show the log of the container before its last restart."),
    (
        "propagationPolicy",
        "string",
        "How dependents are collected: 'Orphan' leaves them, 'Background' deletes them afterwards, 'Foreground' before the object. The default depends on the kind and on the object's finalizers.",
    ),
    (
        "resourceVersion",
        "string",
        "Which state may answer the request: unset the newest, 0 any, else one that is not older (see resourceVersionMatch). A watch starts after it.",
    ),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to lists: NotOlderThan or Exact."),
    (
        "sendInitialEvents",
        "boolean",
        "Begin a watch with an event for each object that there is, followed by a bookmark with the annotation k8s.io/initial-events-end. Needs resourceVersionMatch NotOlderThan.",
    ),
    ("sinceSeconds", "integer", "Show the log of this many seconds."),
    ("stderr", "boolean", "Redirect the standard error stream."),
    ("stdin", "boolean", "Redirect the standard input stream."),
    ("stdout", "boolean", "Redirect the standard output stream."),
    ("stream", "string", "Which stream of the log: All, Stdout or Stderr."),
    ("tailLines", "integer", "How many lines from the end of the log."),
    ("timeoutSeconds", "integer", "Ends the call after this time, whatever is going on."),
    ("timestamps", "boolean", "Put the time before each line."),
    ("tty", "boolean", "Run the command in a terminal."),
    ("watch", "boolean", "Watch the objects, and return changes as a stream of events. Specify resourceVersion."),
];

pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
pub(super) const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
pub(super) const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
pub(super) const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const LOG: &[&str] = &[
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
];

/// What a subresource takes besides the usual, by its name.
pub(super) fn of_subresource(name: &str) -> &'static [&'static str] {
    match name {
        "log" => LOG,
        "exec" => &["command", "container", "stderr", "stdin", "stdout", "tty"],
        "attach" => &["container", "stderr", "stdin", "stdout", "tty"],
        "portforward" => &["ports"],
        "proxy" => &["path"],
        _ => &[],
    }
}

/// Query parameters by name.
pub(super) fn query<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    names
        .into_iter()
        .filter_map(|name| QUERY.iter().find(|(known, _, _)| *known == name))
        .map(|(name, type_, description)| {
            let schema = json!({ "type": type_, "uniqueItems": true });
            json!({ "name": name, "in": "query", "description": description, "schema": schema })
        })
        .collect()
}

/// A part of the path in braces.
pub(super) fn path(name: &str, description: &str) -> Value {
    let schema = json!({ "type": "string", "uniqueItems": true });
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_that_a_verb_takes_is_described() {
        for names in [WRITE, PATCH, DELETE, DELETE_COLLECTION, LIST, LOG]
            .into_iter()
            .chain(["exec", "attach", "portforward", "proxy"].map(of_subresource))
        {
            assert_eq!(query(names.iter().copied()).len(), names.len(), "{names:?}");
        }
    }
}
