//! The columns of services.

use sdk_plugin::Column;
use sdk_plugin::cells::{labels_text, strings};
use serde_json::Value;

/// The table of services.
pub const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Type", ".spec.type"),
    Column::compute("Cluster-IP", |service, _| cluster_ip(service).into()),
    Column::compute("External-IP", |service, _| external_ip(service).into()),
    Column::compute("Port(s)", |service, _| ports(service).into()),
    Column::AGE,
    Column::compute("Selector", |service, _| labels_text(&service["spec"]["selector"]).into()).wide(),
];

fn cluster_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let first = spec["clusterIPs"][0].as_str().or_else(|| spec["clusterIP"].as_str());
    first.filter(|ip| !ip.is_empty()).unwrap_or("<none>").into()
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let external: Vec<&str> = strings(&spec["externalIPs"], "").collect();
    let listed = if external.is_empty() { "<none>".to_owned() } else { external.join(",") };
    match spec["type"].as_str().unwrap_or("ClusterIP") {
        "ExternalName" => spec["externalName"].as_str().unwrap_or_default().into(),
        "LoadBalancer" => {
            let ingress = service["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
            let mut addresses: Vec<String> = ingress
                .iter()
                .filter_map(|point| point["ip"].as_str().or_else(|| point["hostname"].as_str()).map(Into::into))
                .collect();
            addresses.sort_unstable();
            addresses.dedup();
            let balanced = addresses.join(",");
            match (balanced.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".into(),
                (true, false) => listed,
                (false, true) => balanced,
                (false, false) => format!("{balanced},{listed}"),
            }
        }
        _ => listed,
    }
}

fn ports(service: &Value) -> String {
    let one = |port: &Value| {
        let number = |field: &str| port[field].as_i64().unwrap_or(0);
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node => format!("{}:{node}/{protocol}", number("port")),
        }
    };
    let all: Vec<_> = service["spec"]["ports"].as_array().into_iter().flatten().map(one).collect();
    if all.is_empty() { "<none>".into() } else { all.join(",") }
}

#[cfg(test)]
mod tests {
    use sdk_api::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_reads_as_kubectl_shows_it() {
        for (case, service, expected) in [
            (
                "cluster",
                json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                    "ports": [{"port": 443, "protocol": "TCP"}]}}),
                ["ClusterIP", "10.96.0.1", "<none>", "443/TCP"],
            ),
            (
                "headless",
                json!({"spec": {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}}),
                ["ClusterIP", "None", "<none>", "<none>"],
            ),
            (
                "node ports",
                json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.2", "externalIPs": ["1.2.3.4"],
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]}}),
                ["NodePort", "10.96.0.2", "1.2.3.4", "80:30080/TCP,53:30053/UDP"],
            ),
            (
                "waiting for its balancer",
                json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.3"}}),
                ["LoadBalancer", "10.96.0.3", "<pending>", "<none>"],
            ),
            (
                "balanced",
                json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.3"},
                    "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
                ["LoadBalancer", "10.96.0.3", "1.2.3.4", "<none>"],
            ),
            (
                "balanced by many",
                json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.3", "externalIPs": ["5.6.7.8"]},
                    "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "a.example.com"}]}}}),
                ["LoadBalancer", "10.96.0.3", "1.2.3.4,a.example.com,5.6.7.8", "<none>"],
            ),
            (
                "a name",
                json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}),
                ["ExternalName", "<none>", "example.com", "<none>"],
            ),
        ] {
            let cells: Vec<_> = COLUMNS[1..5].iter().map(|c| c.value(&service, Timestamp::UNIX_EPOCH)).collect();
            assert_eq!(cells, expected, "{case}");
        }
    }
}
