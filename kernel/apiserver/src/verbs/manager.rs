//! Who a write is by, as managed fields name it.

use std::borrow::Cow;

use sdk_api::Status;
use sdk_client::Subject;

use crate::options::{Query, refused};

/// Characters of a manager's name. Source: `FieldManagerMaxLength`.
const NAME_BYTES_MAX: usize = 128;

/// The manager of a request: its `fieldManager`, or else what its user agent starts with. `kind` is that of the options.
pub fn of_request(query: Query<'_>, user_agent: &str, kind: &str) -> Result<String, Status> {
    let name = query.get("fieldManager");
    if name.is_empty() {
        return Ok(of_user_agent(user_agent));
    }
    if name.len() > NAME_BYTES_MAX {
        let words = format!("Too long: may not be more than {NAME_BYTES_MAX} bytes");
        return Err(refused(kind, "fieldManager", &words));
    }
    if let Some((at, odd)) = name.char_indices().find(|(_, char)| !is_printable(*char)) {
        let words = format!("Invalid value: {name:?}: invalid character U+{:04X} (at position {at})", u32::from(odd));
        return Err(refused(kind, "fieldManager", &words));
    }
    Ok(name.to_owned())
}

/// Go prints no spaces but U+0020, and no controls.
fn is_printable(char: char) -> bool {
    char == ' ' || !(char.is_control() || char.is_whitespace() || ('\u{200b}'..='\u{200f}').contains(&char))
}

/// The part before the first slash, cut to what a name may be.
fn of_user_agent(text: &str) -> String {
    let mut name = String::new();
    for char in text.split('/').next().unwrap_or_default().chars().filter(|char| is_printable(*char)) {
        if name.len() + char.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        name.push(char);
    }
    name
}

/// The manager of a call in process: the program that a part of ours is upstream.
pub fn of_subject(subject: &Subject) -> Cow<'static, str> {
    let name = subject.name.as_str();
    match name.strip_prefix("system:").unwrap_or(name) {
        "apiserver" => "kube-apiserver".into(),
        account if account.starts_with("serviceaccount:kube-system:") => "kube-controller-manager".into(),
        node if node.starts_with("node:") || node.starts_with("kubelet") => "kubelet".into(),
        other => other.chars().filter(|char| is_printable(*char)).take(NAME_BYTES_MAX / 4).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::query_pairs;

    #[test]
    fn managers_are_named_by_the_request_or_its_program() {
        let long = "x".repeat(129);
        for (query, agent, want) in [
            ("fieldManager=me", "kubectl/v1", Ok("me")),
            ("", "kubectl/v1.33.0 (linux/amd64)", Ok("kubectl")),
            ("fieldManager=", "curl/8", Ok("curl")),
            ("", "", Ok("")),
            ("fieldManager=a%20b", "", Ok("a b")),
            (
                "fieldManager=a%0Ab",
                "",
                Err("UpdateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\nb\": invalid \
                     character U+000A (at position 1)"),
            ),
            (
                &format!("fieldManager={long}"),
                "",
                Err(
                    "UpdateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
                ),
            ),
        ] {
            let pairs = query_pairs(query);
            let got = of_request(Query(&pairs), agent, "UpdateOptions").map_err(|status| status.message);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{query} {agent}");
        }
        assert_eq!(of_user_agent(&format!("{long}/1")).len(), 128);
    }

    #[test]
    fn our_own_parts_have_the_names_of_upstream_programs() {
        for (name, want) in [
            ("system:kube-scheduler", "kube-scheduler"),
            ("system:node:a", "kubelet"),
            ("system:serviceaccount:kube-system:deployment-controller", "kube-controller-manager"),
            ("system:serviceaccount:prod:ci", "serviceaccount:prod:ci"),
            ("system:apiserver", "kube-apiserver"),
        ] {
            assert_eq!(of_subject(&Subject::new(name, &[])), want);
        }
    }
}
