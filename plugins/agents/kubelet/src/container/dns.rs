//! The resolver of a pod: `dnsPolicy` and `dnsConfig` over the node's own.

use sdk_api::k8s_openapi::api::core::v1::Pod;

use crate::settings::Settings;

/// The most name servers that resolvers ask. Source: `resolv.conf(5)`.
const SERVERS_MAX: usize = 3;
/// Source: `pkg/apis/core/validation`, `MaxDNSSearchPaths`.
const SEARCHES_MAX: usize = 32;

/// What `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<String>,
    pub(crate) searches: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().map(Into::into)),
                // The last one counts.
                Some("search") => resolver.searches = words.map(|w| w.trim_end_matches('.').to_owned()).collect(),
                Some("options") => resolver.options = words.map(Into::into).collect(),
                _ => {}
            }
        }
        resolver
    }
}

/// The resolver of a pod; `host` is the node's `resolv.conf`.
///
/// Source: Kubernetes documentation, "DNS for Services and Pods"; `pkg/kubelet/network/dns`.
pub(crate) fn of_pod(pod: &Pod, host: &str, settings: &Settings) -> Resolver {
    let Some(spec) = &pod.spec else { return Resolver::default() };
    let host_network = spec.host_network == Some(true);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut resolver = match policy {
        "None" => Resolver::default(),
        _ => Resolver::parse(host),
    };
    if cluster && !settings.cluster_dns.is_empty() {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let domain = &settings.cluster_domain;
        let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        searches.extend(resolver.searches.into_iter().filter(|search| !search.is_empty()));
        resolver = Resolver { servers: settings.cluster_dns.clone(), searches, options: vec!["ndots:5".to_owned()] };
    }
    if let Some(config) = &spec.dns_config {
        resolver.servers.extend(config.nameservers.clone().unwrap_or_default());
        resolver.searches.extend(config.searches.clone().unwrap_or_default());
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            let text = match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.clone(),
            };
            resolver.options.retain(|known| known.split(':').next() != Some(name.as_str()));
            resolver.options.push(text);
        }
    }
    once(&mut resolver.servers);
    once(&mut resolver.searches);
    resolver.servers.truncate(SERVERS_MAX);
    resolver.searches.truncate(SEARCHES_MAX);
    resolver
}

fn once(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
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
    fn policies_choose_the_resolver() {
        let mut settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        settings.cluster_dns = vec!["10.96.0.10".into()];
        let host = "# comment\nnameserver 1.1.1.1\nsearch old.example\nsearch example.com.\noptions timeout:1\n";
        let cluster = "10.96.0.10 | ns.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5";
        let config = json!({"nameservers": ["9.9.9.9", "10.96.0.10"], "searches": ["mine"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        for (case, spec, want) in [
            ("default policy", json!({}), cluster),
            ("cluster first on the host network", json!({"hostNetwork": true}), "1.1.1.1 | example.com | timeout:1"),
            ("with host net", json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), cluster),
            ("Default", json!({"dnsPolicy": "Default"}), "1.1.1.1 | example.com | timeout:1"),
            ("None", json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}), "9.9.9.9 |  | "),
            (
                "config on top",
                json!({"dnsConfig": config}),
                "10.96.0.10 9.9.9.9 | ns.svc.cluster.local svc.cluster.local cluster.local example.com mine | ndots:2 edns0",
            ),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let got = of_pod(&pod(spec), host, &settings);
            let got = [got.servers.join(" "), got.searches.join(" "), got.options.join(" ")].join(" | ");
            assert_eq!(got, want, "{case}");
        }
    }
}
