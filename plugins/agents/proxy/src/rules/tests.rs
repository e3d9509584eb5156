//! Tables of `rules`.

use super::*;
use crate::service::Protocol;

fn endpoint(ip: &str, local: bool) -> Endpoint {
    Endpoint { ip: ip.parse().unwrap(), port: 8080, local, ready: true, serving: true, terminating: false }
}

fn web(endpoints: Vec<Endpoint>) -> ServicePort {
    ServicePort { port: 80, cluster_ips: vec!["10.96.0.1".parse().unwrap()], endpoints, ..ServicePort::default() }
}

fn state(port: ServicePort) -> State {
    let name = PortName { namespace: "n".into(), service: "web".into(), port: String::new(), protocol: Protocol::Tcp };
    State { ports: [(name, port)].into() }
}

fn config() -> Config {
    Config { table: crate::table::NAME.into(), cluster_cidrs: vec!["10.244.0.0/16".into()], masquerade_bridged: false }
}

/// The rules and elements beyond the frame, with hashes cut out; one line each.
fn shown(port: ServicePort, config: &Config) -> Vec<String> {
    let frame = table(&State::default(), config, false);
    let script = frame.change(&table(&state(port), config, false));
    let lines = script.lines().filter(|line| !line.starts_with("add chain"));
    lines.map(|line| without_hashes(line.trim_start_matches("add ").replace(" ip kubernel", ""))).collect()
}

fn without_hashes(line: String) -> String {
    let hash = |word: &str| {
        let parts: Vec<&str> = word.splitn(3, '-').collect();
        match parts[..] {
            [kind, hash, rest] if hash.len() == 16 => format!("{kind}-{rest}"),
            _ => word.to_owned(),
        }
    };
    line.split(' ').map(hash).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_cluster_ip_spreads_over_its_endpoints() {
    let port = web(vec![endpoint("10.244.0.2", true), endpoint("10.244.1.3", false)]);
    let expected = [
        "rule endpoint-n/web/tcp/__10.244.0.2/8080 ip saddr 10.244.0.2 jump mark-for-masquerade",
        "rule endpoint-n/web/tcp/__10.244.0.2/8080 meta l4proto tcp dnat to 10.244.0.2:8080",
        "rule endpoint-n/web/tcp/__10.244.1.3/8080 ip saddr 10.244.1.3 jump mark-for-masquerade",
        "rule endpoint-n/web/tcp/__10.244.1.3/8080 meta l4proto tcp dnat to 10.244.1.3:8080",
        "rule service-n/web/tcp/ ip daddr 10.96.0.1 ip saddr != { 10.244.0.0/16 } jump mark-for-masquerade",
        "rule service-n/web/tcp/ numgen random mod 2 vmap { 0 : goto endpoint-n/web/tcp/__10.244.0.2/8080, \
         1 : goto endpoint-n/web/tcp/__10.244.1.3/8080 }",
        "element cluster-ips { 10.96.0.1 }",
        "element service-ips { 10.96.0.1 . tcp . 80 : goto service-n/web/tcp/ }",
    ];
    let mut lines = shown(port, &config());
    lines.sort_by_key(|line| line.starts_with("element"));
    let mut rules = lines.clone();
    rules.sort();
    let mut wanted: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    wanted.sort();
    assert_eq!(rules, wanted);
}

/// The elements and the rules of one kind of chain.
fn only(lines: &[String], start: &str) -> Vec<String> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
}

#[test]
fn traffic_that_nobody_takes_is_refused_or_dropped() {
    let away = || endpoint("10.244.1.3", false);
    for (case, port, refused, served) in [
        ("no endpoints", web(vec![]), "{ 10.96.0.1 . tcp . 80 : goto reject-chain }", None),
        (
            "none here",
            ServicePort { internal_local: true, ..web(vec![away()]) },
            "{ 10.96.0.1 . tcp . 80 : drop }",
            None,
        ),
        (
            "not ready",
            web(vec![Endpoint { ready: false, serving: false, ..away() }]),
            "{ 10.96.0.1 . tcp . 80 : goto reject-chain }",
            None,
        ),
        (
            "an external address, none here",
            ServicePort { external_local: true, external_ips: vec!["192.0.2.1".parse().unwrap()], ..web(vec![away()]) },
            "{ 192.0.2.1 . tcp . 80 : drop }",
            Some("{ 10.96.0.1 . tcp . 80 : goto service-n/web/tcp/, 192.0.2.1 . tcp . 80 : goto external-n/web/tcp/ }"),
        ),
    ] {
        let lines = shown(port, &config());
        assert_eq!(only(&lines, "element no-endpoint-services "), [refused], "{case}");
        assert_eq!(only(&lines, "element service-ips ").first().map(String::as_str), served, "{case}");
    }
}

#[test]
fn node_ports_lead_to_all_or_to_local_endpoints() {
    let ends = || vec![endpoint("10.244.0.2", true), endpoint("10.244.1.3", false)];
    let all = shown(ServicePort { node_port: Some(30080), ..web(ends()) }, &config());
    assert_eq!(only(&all, "element service-nodeports "), ["{ tcp . 30080 : goto external-n/web/tcp/ }"]);
    let to_all = ["jump mark-for-masquerade", "goto service-n/web/tcp/"];
    assert_eq!(only(&all, "rule external-n/web/tcp/ "), to_all);
    let local = shown(ServicePort { node_port: Some(30080), external_local: true, ..web(ends()) }, &config());
    let to_local = [
        "ip saddr { 10.244.0.0/16 } goto service-n/web/tcp/",
        "fib saddr type local jump mark-for-masquerade",
        "fib saddr type local goto service-n/web/tcp/",
        "goto local-n/web/tcp/",
    ];
    assert_eq!(only(&local, "rule external-n/web/tcp/ "), to_local);
    let pick = "numgen random mod 1 vmap { 0 : goto endpoint-n/web/tcp/__10.244.0.2/8080 }";
    assert!(only(&local, "rule local-n/web/tcp/ ").contains(&pick.to_owned()), "only who is here: {local:#?}");
}

#[test]
fn clients_stay_with_their_endpoint() {
    let lines = shown(ServicePort { affinity_seconds: Some(60), ..web(vec![endpoint("10.244.0.2", true)]) }, &config());
    let set = "affinity-60s/n/web/tcp/__10.244.0.2/8080";
    let declared = format!("set {set} {{ type ipv4_addr; flags dynamic, timeout; timeout 60s; }}");
    assert!(lines.contains(&declared), "{lines:#?}");
    let chain = "n/web/tcp/__10.244.0.2/8080";
    assert!(lines.contains(&format!("rule endpoint-{chain} update @{set} {{ ip saddr }}")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(&format!("goto endpoint-{chain}")) && line.contains("ip saddr @")));
}

#[test]
fn source_ranges_guard_load_balancer_addresses() {
    let port = ServicePort {
        load_balancer_ips: vec!["192.0.2.9".parse().unwrap()],
        load_balancer_sources: vec!["198.51.100.0/24".into(), "2001:db8::/32".into()],
        ..web(vec![endpoint("10.244.0.2", true)])
    };
    let lines = shown(port, &config());
    assert_eq!(only(&lines, "element firewall-ips "), ["{ 192.0.2.9 . tcp . 80 : goto firewall-n/web/tcp/ }"]);
    assert_eq!(only(&lines, "rule firewall-n/web/tcp/ "), ["ip saddr != { 198.51.100.0/24 } drop"]);
}

#[test]
fn bridged_pods_are_masqueraded_where_netfilter_does_not_see_them() {
    let bridged = Config { masquerade_bridged: true, ..config() };
    let rule =
        "rule endpoint-n/web/tcp/__10.244.0.2/8080 ip saddr { 10.244.0.0/16 } jump mark-for-masquerade".to_owned();
    assert!(shown(web(vec![endpoint("10.244.0.2", true)]), &bridged).contains(&rule));
    assert!(!shown(web(vec![endpoint("10.244.0.2", false)]), &bridged).contains(&rule), "other nodes are routed to");
}

#[test]
fn families_do_not_mix() {
    let mut port = web(vec![endpoint("10.244.0.2", true), endpoint("fd00::2", true)]);
    port.cluster_ips.push("fd00:96::1".parse().unwrap());
    let six = table(&state(port), &config(), true);
    let ips = &six.collections["service-ips"].elements;
    assert_eq!(ips.keys().collect::<Vec<_>>(), ["fd00:96::1 . tcp . 80"]);
    let dnat: Vec<&String> =
        six.chains.values().flat_map(|c| &c.rules).filter(|rule| rule.contains("dnat to")).collect();
    assert_eq!(dnat, ["meta l4proto tcp dnat to [fd00::2]:8080"]);
}

/// A typical ruleset in full, to be reviewed as a diff. `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_whole_ruleset_is_as_reviewed() {
    let port = ServicePort {
        node_port: Some(30080),
        affinity_seconds: Some(10_800),
        ..web(vec![endpoint("10.244.0.2", true), endpoint("10.244.1.3", false)])
    };
    let mut state = state(port);
    let name = PortName { namespace: "n".into(), service: "empty".into(), port: "dns".into(), protocol: Protocol::Udp };
    let empty = ServicePort { port: 53, cluster_ips: vec!["10.96.0.2".parse().unwrap()], ..ServicePort::default() };
    state.ports.insert(name, empty);
    let written = table(&state, &config(), false).replace();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ruleset.nft");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(written, std::fs::read_to_string(path).unwrap());
}

#[test]
fn long_names_stay_unique() {
    let long = "x".repeat(200);
    let (a, b) = (named("service", &format!("{long}a")), named("service", &format!("{long}b")));
    assert!(a != b && a.len() == NAME_MAX);
}
