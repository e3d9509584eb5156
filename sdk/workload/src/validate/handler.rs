//! Probes and lifecycle handlers.

use sdk_api::k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, PodSpec, Probe, SleepAction, TCPSocketAction,
};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Violations, names};

use super::{each_invalid, non_negative, one_of};

#[derive(Default)]
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http: Option<&'a HTTPGetAction>,
    tcp: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

fn handler(found: &mut Violations, handler: &Handler<'_>, grace: i64, path: &str) {
    let mut count = 0;
    let mut first = |found: &mut Violations, field: &str| {
        count += 1;
        if count > 1 {
            found.forbidden(format!("{path}.{field}"), "may not specify more than 1 handler type");
        }
        count == 1
    };
    if let Some(exec) = handler.exec
        && first(found, "exec")
        && exec.command.as_ref().is_none_or(Vec::is_empty)
    {
        found.required(format!("{path}.exec.command"), "");
    }
    if let Some(http) = handler.http
        && first(found, "httpGet")
    {
        http_get(found, http, &format!("{path}.httpGet"));
    }
    if let Some(tcp) = handler.tcp
        && first(found, "tcpSocket")
    {
        port(found, &tcp.port, &format!("{path}.tcpSocket.port"));
    }
    if let Some(grpc) = handler.grpc
        && first(found, "grpc")
    {
        for why in names::port_number(i64::from(grpc.port)) {
            found.invalid(format!("{path}.grpc.port"), grpc.port, why);
        }
    }
    if let Some(sleep) = handler.sleep
        && first(found, "sleep")
        && (sleep.seconds < 0 || sleep.seconds > grace)
    {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        found.invalid(format!("{path}.sleep"), sleep.seconds, why);
    }
    if count == 0 {
        found.required(path, "must specify a handler type");
    }
}

fn http_get(found: &mut Violations, http: &HTTPGetAction, path: &str) {
    if http.path.as_deref().unwrap_or_default().is_empty() {
        found.required(format!("{path}.path"), "");
    }
    port(found, &http.port, &format!("{path}.port"));
    one_of(found, &format!("{path}.scheme"), http.scheme.as_deref(), &["HTTP", "HTTPS"]);
    for header in http.http_headers.iter().flatten() {
        if header.name.is_empty() || !header.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', \
                regex used for validation is '[-A-Za-z0-9]+')";
            found.invalid(format!("{path}.httpHeaders"), header.name.as_str(), why);
        }
    }
}

fn port(found: &mut Violations, port: &IntOrString, path: &str) {
    match port {
        IntOrString::Int(number) => {
            for why in names::port_number(i64::from(*number)) {
                found.invalid(path, *number, why);
            }
        }
        IntOrString::String(name) => each_invalid(found, path, name, names::port_name(name)),
    }
}

/// Signals that a container image may be stopped with on Linux. Source: API reference, "Lifecycle".
fn is_signal(name: &str) -> bool {
    const NAMES: [&str; 31] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM",
    ];
    let Some(name) = name.strip_prefix("SIG") else { return false };
    NAMES.contains(&name) || matches!(name, "WINCH" | "XCPU" | "XFSZ") || name.starts_with("RTM")
}

pub(super) fn lifecycle(found: &mut Violations, lifecycle: Option<&Lifecycle>, spec: &PodSpec, path: &str) {
    let Some(lifecycle) = lifecycle else { return };
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        let Some(hook) = hook else { continue };
        let parts = Handler {
            exec: hook.exec.as_ref(),
            http: hook.http_get.as_ref(),
            tcp: hook.tcp_socket.as_ref(),
            sleep: hook.sleep.as_ref(),
            ..Handler::default()
        };
        handler(found, &parts, grace, &format!("{path}.{field}"));
    }
    let Some(signal) = &lifecycle.stop_signal else { return };
    let path = format!("{path}.stopSignal");
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        None => found.forbidden(path, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") if signal != "SIGTERM" && signal != "SIGKILL" => {
            found.not_supported(path, signal.as_str(), &["SIGKILL", "SIGTERM"]);
        }
        Some(_) if !is_signal(signal) => {
            found.invalid(path, signal.as_str(), "must be a signal of the operating system")
        }
        Some(_) => {}
    }
}

pub(super) fn probes(found: &mut Violations, container: &Container, spec: &PodSpec, path: &str) {
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    for (field, probe, must_be_one) in [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ] {
        let Some(probe) = probe else { continue };
        let path = format!("{path}.{field}");
        numbers(found, probe, grace, &path);
        if let Some(threshold) = probe.success_threshold.filter(|threshold| must_be_one && *threshold != 1) {
            found.invalid(format!("{path}.successThreshold"), threshold, "must be 1");
        }
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let path = format!("{path}.terminationGracePeriodSeconds");
            if seconds <= 0 {
                found.invalid(&path, seconds, "must be greater than 0");
            }
            if !must_be_one {
                found.invalid(path, seconds, "must not be set for readinessProbes");
            }
        }
    }
}

fn numbers(found: &mut Violations, probe: &Probe, grace: i64, path: &str) {
    let parts = Handler {
        exec: probe.exec.as_ref(),
        http: probe.http_get.as_ref(),
        tcp: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    handler(found, &parts, grace, path);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        non_negative(found, &format!("{path}.{field}"), value.map(i64::from));
    }
}
