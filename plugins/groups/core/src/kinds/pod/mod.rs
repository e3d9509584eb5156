//! `Pod`: containers that run together on one node.

pub mod binding;
mod columns;
mod eviction;
mod matching;
mod parts;
mod resize;
mod status;
mod strategy;
mod update;
mod validate;

use sdk_plugin::{Connect, FieldOf, Kind};

use super::fields::{at, flag};

const FIELDS: &[FieldOf] = &[
    FieldOf { name: "spec.nodeName", value: |pod| at(pod, ".spec.nodeName") },
    FieldOf { name: "spec.restartPolicy", value: |pod| at(pod, ".spec.restartPolicy") },
    FieldOf { name: "spec.schedulerName", value: |pod| at(pod, ".spec.schedulerName") },
    FieldOf { name: "spec.serviceAccountName", value: |pod| at(pod, ".spec.serviceAccountName") },
    FieldOf { name: "spec.hostNetwork", value: |pod| flag(pod, ".spec.hostNetwork") },
    FieldOf { name: "status.phase", value: |pod| at(pod, ".status.phase") },
    FieldOf { name: "status.podIP", value: |pod| at(pod, ".status.podIP") },
    // Accepted and matched by nothing but the empty text, as upstream has it.
    FieldOf { name: "status.podIPs", value: |_| "".into() },
    FieldOf { name: "status.nominatedNodeName", value: |pod| at(pod, ".status.nominatedNodeName") },
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(strategy::PodStrategy)
        .short_names(&["po"])
        .categories(&["all"])
        .columns(columns::COLUMNS)
        .fields(FIELDS)
        .generation()
        .delete_answers_object()
        .part("status", status::StatusPart)
        .part("ephemeralcontainers", parts::EphemeralContainers)
        .part("resize", resize::Resize)
        .action("binding", binding::Bind)
        .action("eviction", eviction::Evict)
        .connect("attach", Connect::Attach)
        .connect("exec", Connect::Exec)
        .connect("log", Connect::Log)
        .connect("portforward", Connect::PortForward)
        .connect("proxy", Connect::Proxy)
}
