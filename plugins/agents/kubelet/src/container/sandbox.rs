//! What the runtime is told about a pod's sandbox.

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_plugin::node::{PortMapping, SandboxConfig};

use crate::container::{cgroups, dns, hosts, security};
use crate::pod::labels;
use crate::settings::Settings;

pub(crate) fn config(pod: &Pod, attempt: u32, settings: &Settings) -> SandboxConfig {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (namespace, name, uid) = (text(&meta.namespace), text(&meta.name), text(&meta.uid));
    let log_directory = settings.pod_log_dir(&namespace, &name, &uid).to_string_lossy().into_owned();
    let spec = pod.spec.clone().unwrap_or_default();
    let host_network = spec.host_network == Some(true);
    let host_resolver = if settings.on_host() {
        std::fs::read_to_string(&settings.resolv_conf).unwrap_or_default()
    } else {
        String::new()
    };
    let dns = dns::of_pod(pod, &host_resolver, settings);
    let context = spec.security_context.as_ref();
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let privileged = |c: &sdk_api::k8s_openapi::api::core::v1::Container| {
        c.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
    };
    let sysctls = context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    labels::own(&mut annotations, &settings.root_dir);
    SandboxConfig {
        hostname: if host_network { settings.node_name.clone() } else { hosts::hostname(pod, settings) },
        log_directory,
        dns_servers: dns.servers,
        dns_searches: dns.searches,
        dns_options: dns.options,
        port_mappings: if host_network { vec![] } else { ports(&spec) },
        labels: labels::of_sandbox(pod),
        annotations,
        cgroup_parent: cgroups::parent(&settings.cgroup_root, pod),
        host_network,
        host_pid: spec.host_pid == Some(true),
        host_ipc: spec.host_ipc == Some(true),
        share_process_namespace: spec.share_process_namespace == Some(true),
        sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        runtime_handler: String::new(),
        privileged: containers.clone().any(privileged),
        run_as_user: context.and_then(|context| context.run_as_user),
        run_as_group: context.and_then(|context| context.run_as_group),
        supplemental_groups: security::groups(context),
        pod_uid: uid,
        pod_name: name,
        pod_namespace: namespace,
        attempt,
    }
}

fn ports(spec: &sdk_api::k8s_openapi::api::core::v1::PodSpec) -> Vec<PortMapping> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let mapping = |port: &sdk_api::k8s_openapi::api::core::v1::ContainerPort| {
        Some(PortMapping {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            container_port: u16::try_from(port.container_port).ok()?,
            host_port: u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?,
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
    };
    ports.filter_map(mapping).collect()
}
