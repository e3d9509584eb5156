//! What the contract asks, in CRI's messages.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sdk_plugin::node::{
    ContainerConfig, LinuxResources, MountPropagation, PullAuth, SandboxConfig, SecurityOptions, StreamRequest,
};

use crate::proto::{self, NamespaceMode, ProfileType};

/// A sandbox's configuration.
pub fn sandbox_config(config: &SandboxConfig) -> proto::PodSandboxConfig {
    let dns = proto::DnsConfig {
        servers: config.dns_servers.clone(),
        searches: config.dns_searches.clone(),
        options: config.dns_options.clone(),
    };
    proto::PodSandboxConfig {
        metadata: Some(proto::PodSandboxMetadata {
            name: config.pod_name.clone(),
            uid: config.pod_uid.clone(),
            namespace: config.pod_namespace.clone(),
            attempt: config.attempt,
        }),
        // The node's network comes with the node's name; runc refuses to set another.
        hostname: if config.host_network { String::new() } else { config.hostname.clone() },
        log_directory: config.log_directory.clone(),
        // Without it the runtime copies the node's resolv.conf; an empty one would give the pod an empty file.
        dns_config: (dns != proto::DnsConfig::default()).then_some(dns),
        port_mappings: config.port_mappings.iter().filter(|port| port.host_port != 0).map(port_mapping).collect(),
        labels: map(&config.labels),
        annotations: map(&config.annotations),
        linux: Some(proto::LinuxPodSandboxConfig {
            cgroup_parent: config.cgroup_parent.clone(),
            security_context: Some(proto::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(config, None)),
                run_as_user: config.run_as_user.map(number),
                run_as_group: config.run_as_group.map(number),
                readonly_rootfs: false,
                supplemental_groups: config.supplemental_groups.clone(),
                privileged: config.privileged,
                // As the kubelet: the sandbox's own process needs nothing, whatever the containers are allowed.
                seccomp: Some(seccomp("RuntimeDefault")),
            }),
            sysctls: map(&config.sysctls),
        }),
    }
}

/// A container's configuration, in the namespaces of its sandbox.
pub fn container_config(config: &ContainerConfig, sandbox: &SandboxConfig) -> proto::ContainerConfig {
    proto::ContainerConfig {
        metadata: Some(proto::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(proto::ImageSpec {
            image: if config.image_ref.is_empty() { config.image.clone() } else { config.image_ref.clone() },
            user_specified_image: config.image.clone(),
            ..Default::default()
        }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: env(&config.env),
        mounts: config
            .mounts
            .iter()
            .map(|mount| proto::Mount {
                container_path: mount.container_path.clone(),
                host_path: mount.host_path.clone(),
                readonly: mount.readonly,
                propagation: match mount.propagation {
                    MountPropagation::Private => proto::Propagation::Private,
                    MountPropagation::HostToContainer => proto::Propagation::HostToContainer,
                    MountPropagation::Bidirectional => proto::Propagation::Bidirectional,
                }
                .into(),
            })
            .collect(),
        devices: config
            .devices
            .iter()
            .map(|device| proto::Device {
                container_path: device.container_path.clone(),
                host_path: device.host_path.clone(),
                permissions: device.permissions.clone(),
            })
            .collect(),
        labels: map(&config.labels),
        annotations: map(&config.annotations),
        log_path: config.log_path.clone(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(proto::LinuxContainerConfig {
            resources: Some(resources(&config.resources)),
            security_context: Some(security(&config.security, sandbox, config.target_container.as_deref())),
        }),
        stop_signal: signal(&config.stop_signal),
    }
}

/// Limits of a container.
pub fn resources(resources: &LinuxResources) -> proto::LinuxContainerResources {
    proto::LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit_bytes,
        oom_score_adj: resources.oom_score_adj,
        unified: map(&resources.unified),
    }
}

/// A registry login.
pub fn auth(auth: &PullAuth) -> proto::AuthConfig {
    proto::AuthConfig {
        username: auth.username.clone(),
        password: auth.password.clone(),
        server_address: auth.server_address.clone(),
        identity_token: auth.identity_token.clone(),
    }
}

/// An exec stream. A terminal has one output, so `stderr` is left out with it.
pub fn exec(request: &StreamRequest) -> proto::ExecRequest {
    proto::ExecRequest {
        container_id: request.container_id.clone(),
        cmd: request.command.clone(),
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    }
}

/// An attach stream.
pub fn attach(request: &StreamRequest) -> proto::AttachRequest {
    proto::AttachRequest {
        container_id: request.container_id.clone(),
        stdin: request.stdin,
        tty: request.tty,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    }
}

/// Whole seconds, up: a grace of half a second is not "kill at once".
pub fn seconds(duration: Duration) -> i64 {
    let up = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(up).unwrap_or(i64::MAX)
}

/// CRI's own number of a signal's name; 0, the image's, for what it does not know.
///
/// The list is alphabetical and not the system's.
pub fn signal(name: &str) -> i32 {
    const FIRST: [&str; 34] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    ];
    let Some(name) = name.strip_prefix("SIG") else { return 0 };
    let offset = |text: &str, max: i32| text.parse::<i32>().ok().filter(|number| (1..=max).contains(number));
    match name {
        "RTMIN" => return 35,
        "RTMAX" => return 65,
        _ => {}
    }
    if let Some(more) = name.strip_prefix("RTMINPLUS").or_else(|| name.strip_prefix("RTMIN+")) {
        return offset(more, 15).map_or(0, |number| 35 + number);
    }
    if let Some(less) = name.strip_prefix("RTMAXMINUS").or_else(|| name.strip_prefix("RTMAX-")) {
        return offset(less, 14).map_or(0, |number| 65 - number);
    }
    FIRST.iter().position(|known| *known == name).map_or(0, |at| at as i32 + 1)
}

fn port_mapping(port: &sdk_plugin::node::PortMapping) -> proto::PortMapping {
    proto::PortMapping {
        protocol: match port.protocol.as_str() {
            "UDP" => proto::Protocol::Udp,
            "SCTP" => proto::Protocol::Sctp,
            _ => proto::Protocol::Tcp,
        }
        .into(),
        container_port: port.container_port.into(),
        host_port: port.host_port.into(),
        host_ip: port.host_ip.clone(),
    }
}

fn namespaces(sandbox: &SandboxConfig, target: Option<&str>) -> proto::NamespaceOption {
    let node_or_pod = |node: bool| if node { NamespaceMode::Node } else { NamespaceMode::Pod }.into();
    let pid = match target {
        Some(_) => NamespaceMode::Target,
        None if sandbox.host_pid => NamespaceMode::Node,
        None if sandbox.share_process_namespace => NamespaceMode::Pod,
        None => NamespaceMode::Container,
    };
    proto::NamespaceOption {
        network: node_or_pod(sandbox.host_network),
        pid: pid.into(),
        ipc: node_or_pod(sandbox.host_ipc),
        target_id: target.unwrap_or_default().to_owned(),
    }
}

fn security(
    options: &SecurityOptions,
    sandbox: &SandboxConfig,
    target: Option<&str>,
) -> proto::LinuxContainerSecurityContext {
    proto::LinuxContainerSecurityContext {
        capabilities: Some(proto::Capability {
            add_capabilities: options.add_capabilities.clone(),
            drop_capabilities: options.drop_capabilities.clone(),
        }),
        privileged: options.privileged,
        namespace_options: Some(namespaces(sandbox, target)),
        run_as_user: options.run_as_user.map(number),
        // The number decides if both are given; CRI refuses both.
        run_as_username: if options.run_as_user.is_some() { String::new() } else { options.run_as_username.clone() },
        readonly_rootfs: options.readonly_rootfs,
        supplemental_groups: options.supplemental_groups.clone(),
        no_new_privs: options.no_new_privs,
        run_as_group: options.run_as_group.map(number),
        masked_paths: options.masked_paths.clone(),
        readonly_paths: options.readonly_paths.clone(),
        seccomp: Some(seccomp(&options.seccomp)),
    }
}

fn seccomp(profile: &str) -> proto::SecurityProfile {
    let (profile_type, localhost_ref) = match profile {
        "RuntimeDefault" => (ProfileType::RuntimeDefault, ""),
        _ => match profile.strip_prefix("Localhost:") {
            Some(path) => (ProfileType::Localhost, path),
            None => (ProfileType::Unconfined, ""),
        },
    };
    proto::SecurityProfile { profile_type: profile_type.into(), localhost_ref: localhost_ref.to_owned() }
}

/// A list with each name once, at its last value: runtimes differ in which of two they take.
fn env(list: &[(String, String)]) -> Vec<proto::KeyValue> {
    let mut at = HashMap::new();
    let mut out: Vec<proto::KeyValue> = Vec::with_capacity(list.len());
    for (key, value) in list {
        match at.get(key.as_str()) {
            Some(&index) => {
                let known: &mut proto::KeyValue = &mut out[index];
                known.value.clone_from(value);
            }
            None => {
                at.insert(key.as_str(), out.len());
                out.push(proto::KeyValue { key: key.clone(), value: value.clone() });
            }
        }
    }
    out
}

fn number(value: i64) -> proto::Int64Value {
    proto::Int64Value { value }
}

fn map(from: &BTreeMap<String, String>) -> HashMap<String, String> {
    from.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_cri() {
        for (name, want) in [
            ("", 0),
            ("TERM", 0),
            ("SIGNOTHING", 0),
            ("SIGABRT", 1),
            ("SIGHUP", 8),
            ("SIGINT", 10),
            ("SIGKILL", 13),
            ("SIGQUIT", 18),
            ("SIGTERM", 23),
            ("SIGUSR1", 29),
            ("SIGXFSZ", 34),
            ("SIGRTMIN", 35),
            ("SIGRTMINPLUS15", 50),
            ("SIGRTMIN+3", 38),
            ("SIGRTMIN+99", 0),
            ("SIGRTMAXMINUS14", 51),
            ("SIGRTMAX-1", 64),
            ("SIGRTMAX", 65),
        ] {
            assert_eq!(signal(name), want, "{name}");
        }
    }

    #[test]
    fn namespaces_of_a_pod() {
        let pod = SandboxConfig::default();
        let (own, pods, nodes, targets) =
            (NamespaceMode::Container, NamespaceMode::Pod, NamespaceMode::Node, NamespaceMode::Target);
        for (case, sandbox, target, want) in [
            ("plain", pod.clone(), None, (pods, own, pods)),
            (
                "shared processes",
                SandboxConfig { share_process_namespace: true, ..pod.clone() },
                None,
                (pods, pods, pods),
            ),
            (
                "the node's",
                SandboxConfig { host_network: true, host_pid: true, host_ipc: true, ..pod.clone() },
                None,
                (nodes, nodes, nodes),
            ),
            ("another container's", pod, Some("c1"), (pods, targets, pods)),
        ] {
            let got = namespaces(&sandbox, target);
            assert_eq!((got.network(), got.pid(), got.ipc()), want, "{case}");
            assert_eq!(got.target_id, target.unwrap_or_default(), "{case}");
        }
    }

    #[test]
    fn seccomp_profiles() {
        for (profile, kind, path) in [
            ("", ProfileType::Unconfined, ""),
            ("Unconfined", ProfileType::Unconfined, ""),
            ("RuntimeDefault", ProfileType::RuntimeDefault, ""),
            ("Localhost:/var/lib/x.json", ProfileType::Localhost, "/var/lib/x.json"),
        ] {
            let got = seccomp(profile);
            assert_eq!((got.profile_type(), got.localhost_ref.as_str()), (kind, path), "{profile}");
        }
    }

    #[test]
    fn later_variables_win_in_the_place_of_the_first() {
        let list = [("A", "1"), ("B", "2"), ("A", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let got: Vec<_> = env(&list).into_iter().map(|pair| (pair.key, pair.value)).collect();
        assert_eq!(got, [("A".to_owned(), "3".to_owned()), ("B".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn only_ports_of_the_node_are_mapped_and_dns_only_if_given() {
        let port = |host_port| sdk_plugin::node::PortMapping {
            protocol: "UDP".into(),
            container_port: 53,
            host_port,
            host_ip: String::new(),
        };
        let config = SandboxConfig { port_mappings: vec![port(0), port(5353)], ..Default::default() };
        let got = sandbox_config(&config);
        assert_eq!(got.port_mappings.iter().map(|port| port.host_port).collect::<Vec<_>>(), [5353]);
        assert_eq!(got.port_mappings[0].protocol(), proto::Protocol::Udp);
        assert_eq!(got.dns_config, None);
    }

    #[test]
    fn seconds_go_up() {
        for (millis, want) in [(0, 0), (1, 1), (500, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(seconds(Duration::from_millis(millis)), want, "{millis} ms");
        }
        assert_eq!(seconds(Duration::MAX), i64::MAX);
    }
}
