//! The names of a pod: its host name and its `/etc/hosts`.

use sdk_api::k8s_openapi::api::core::v1::Pod;

use crate::settings::Settings;

const HOSTNAME_MAX: usize = 63;

/// The short host name.
fn short_name(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let asked = spec.and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let mut name = asked.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    name.truncate(name.floor_char_boundary(HOSTNAME_MAX));
    name.trim_end_matches(['-', '.']).into()
}

/// The full name, where the pod has a subdomain.
fn full_name(pod: &Pod, settings: &Settings) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{}.{subdomain}.{namespace}.svc.{}", short_name(pod), settings.cluster_domain))
}

/// What `hostname` answers in the pod.
pub(crate) fn hostname(pod: &Pod, settings: &Settings) -> String {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec.and_then(|spec| spec.hostname_override.clone()).filter(|name| !name.is_empty()) {
        return name;
    }
    let as_fqdn = spec.is_some_and(|spec| spec.set_hostname_as_fqdn == Some(true));
    full_name(pod, settings).filter(|_| as_fqdn).unwrap_or_else(|| short_name(pod))
}

/// The file, for a pod with these addresses. `host` is the node's own file, which pods of the host network get.
pub(crate) fn file(pod: &Pod, ips: &[String], host: &str, settings: &Settings) -> String {
    let spec = pod.spec.as_ref();
    let mut text = String::new();
    if spec.is_some_and(|spec| spec.host_network == Some(true)) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(host);
    } else {
        text.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let overridden = spec.and_then(|spec| spec.hostname_override.clone()).filter(|name| !name.is_empty());
        let names = match (overridden, full_name(pod, settings)) {
            (Some(name), _) => name,
            (None, Some(full)) => format!("{full}\t{}", short_name(pod)),
            (None, None) => short_name(pod),
        };
        ips.iter().for_each(|ip| text.push_str(&format!("{ip}\t{names}\n")));
    }
    let mut aliases = spec.and_then(|spec| spec.host_aliases.as_ref()).into_iter().flatten().peekable();
    if aliases.peek().is_some() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            text.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::pod::test_support::pod;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    #[test]
    fn names_follow_the_spec() {
        let settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        let ips = ["10.0.0.5".to_owned()];
        for (case, spec, name, line) in [
            ("the pod's name", json!({}), "p", "10.0.0.5\tp\n"),
            ("asked for", json!({"hostname": "h"}), "h", "10.0.0.5\th\n"),
            ("subdomain", json!({"hostname": "h", "subdomain": "s"}), "h", "10.0.0.5\th.s.ns.svc.cluster.local\th\n"),
            (
                "as fqdn",
                json!({"subdomain": "s", "setHostnameAsFQDN": true}),
                "p.s.ns.svc.cluster.local",
                "10.0.0.5\tp.s.ns.svc.cluster.local\tp\n",
            ),
            ("override", json!({"hostnameOverride": "x.example"}), "x.example", "10.0.0.5\tx.example\n"),
            ("too long", json!({"hostname": format!("{}-x", "a".repeat(62))}), &"a".repeat(62), "aaa\n"),
            (
                "host network",
                json!({"hostNetwork": true, "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}),
                "p",
                "of the node\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n",
            ),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let pod = pod(spec);
            assert_eq!(hostname(&pod, &settings), name, "{case}");
            let text = file(&pod, &ips, "of the node\n", &settings);
            assert!(text.ends_with(line), "{case}: {text}");
        }
    }
}
