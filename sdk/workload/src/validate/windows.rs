//! What pods may ask of Windows: credentials, users, and containers that are processes of the host.

use sdk_api::k8s_openapi::api::core::v1::{PodSpec, WindowsSecurityContextOptions};
use sdk_api::{Violations, names};

use super::each_invalid;
use super::os::each_context;

const CREDENTIAL_KIB_MAX: usize = 64;
const DOMAIN_CHARS_MAX: usize = 256;
const USER_CHARS_MAX: usize = 104;

pub(super) fn options(found: &mut Violations, options: Option<&WindowsSecurityContextOptions>, path: &str) {
    let Some(options) = options else { return };
    if let Some(name) = &options.gmsa_credential_spec_name {
        each_invalid(found, &format!("{path}.gmsaCredentialSpecName"), name, names::dns1123_subdomain(name));
    }
    if let Some(text) = &options.gmsa_credential_spec {
        let path = format!("{path}.gmsaCredentialSpec");
        if text.is_empty() {
            found.invalid(path, "", "gmsaCredentialSpec cannot be an empty string");
        } else if text.len() > CREDENTIAL_KIB_MAX * 1024 {
            let why = format!("gmsaCredentialSpec size must be under {CREDENTIAL_KIB_MAX} KiB");
            found.invalid(path, text.as_str(), why);
        }
    }
    if let Some(name) = &options.run_as_user_name {
        for why in user_wrong(name) {
            found.invalid(format!("{path}.runAsUserName"), name.as_str(), why);
        }
    }
}

/// What is wrong with `DOMAIN\\user`, or a user alone. Source: API reference, "WindowsSecurityContextOptions".
fn user_wrong(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string".into()];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters".into()];
    }
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".into()],
    };
    let mut wrong = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_CHARS_MAX {
            wrong.push(format!("runAsUserName's Domain length must be under {DOMAIN_CHARS_MAX} characters"));
        }
        if !is_net_bios(domain) && !domain.split('.').all(is_dns_label) {
            wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
        }
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_CHARS_MAX {
        wrong.push(format!("runAsUserName's User length must not be longer than {USER_CHARS_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        wrong.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    }
    wrong
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.len())
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Either all containers are processes of the host or none is, and then the pod is on the host's network.
/// Source: KEP-1981.
pub(super) fn host_process(found: &mut Violations, spec: &PodSpec, path: &str) {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref()?.host_process);
    let (mut all, mut of_host) = (0, 0);
    for (path, context) in each_context(spec, path) {
        all += 1;
        let own = context.and_then(|context| context.windows_options.as_ref()?.host_process);
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let why = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            found.invalid(format!("{path}.securityContext.windowsOptions.hostProcess"), own, why);
        }
        of_host += usize::from(own.or(of_pod) == Some(true));
    }
    if of_host == 0 {
        return;
    }
    if of_host != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        found.invalid(path, "", why);
    }
    if spec.host_network != Some(true) {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        found.invalid(format!("{path}.hostNetwork"), false, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_windows() {
        for (name, wrong) in [
            ("user", vec![]),
            ("DOMAIN\\user", vec![]),
            ("corp.example.com\\user", vec![]),
            ("", vec!["runAsUserName cannot be an empty string"]),
            ("a\u{7}", vec!["runAsUserName cannot contain control characters"]),
            ("a\\b\\c", vec!["runAsUserName cannot contain more than one backslash"]),
            ("a:b.\\c", vec!["runAsUserName's Domain doesn't match the NetBios nor the DNS format"]),
            ("a\\", vec!["runAsUserName's User cannot be empty"]),
            (". .", vec!["runAsUserName's User cannot contain only periods or spaces"]),
            ("a@b", vec!["runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]),
        ] {
            assert_eq!(user_wrong(name), wrong, "{name:?}");
        }
    }
}
