//! The ClusterRoles of controllers, each bound to the service account of that name in `kube-system`.

use super::spec::{EVENTS, READ, RoleSpec, role, rule};

/// The name of a controller's role, and of its binding, is this and the controller's account.
pub const PREFIX: &str = "system:controller:";

/// Accounts that hold a role under another name: the account, the role. Ours are named after the controller.
pub const ALIASES: &[(&str, &str)] = &[
    ("serviceaccount-controller", "service-account-controller"),
    ("daemonset-controller", "daemon-set-controller"),
    ("node-ipam-controller", "node-controller"),
    ("node-lifecycle-controller", "node-controller"),
    ("podgc-controller", "pod-garbage-collector"),
];

/// By the name of the account.
pub const CONTROLLER_ROLES: &[RoleSpec] = &[
    role(
        "attachdetach-controller",
        &[
            rule("list watch", "core", "persistentvolumeclaims persistentvolumes pods"),
            rule(READ, "core", "nodes"),
            rule("patch update", "core", "nodes/status"),
            EVENTS,
            rule("create delete get list patch watch", "storage.k8s.io", "volumeattachments"),
            rule(READ, "storage.k8s.io", "csidrivers csinodes"),
        ],
    ),
    role(
        "clusterrole-aggregation-controller",
        &[rule("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"), EVENTS],
    ),
    role(
        "cronjob-controller",
        &[
            rule("get list update watch", "batch", "cronjobs"),
            rule("create delete get list patch update watch", "batch", "jobs"),
            rule("patch update", "batch", "cronjobs/finalizers cronjobs/status"),
            rule("delete list", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "daemon-set-controller",
        &[
            rule(READ, "apps", "daemonsets"),
            rule("patch update", "apps", "daemonsets/finalizers daemonsets/status"),
            rule("list watch", "core", "nodes"),
            rule("create delete get list patch watch", "core", "pods"),
            rule("create", "core", "pods/binding"),
            rule("create delete get list patch update watch", "apps", "controllerrevisions"),
            EVENTS,
        ],
    ),
    role(
        "deployment-controller",
        &[
            rule("get list patch update watch", "apps", "deployments"),
            rule("patch update", "apps", "deployments/finalizers deployments/status"),
            rule("create delete get list patch update watch", "apps", "replicasets"),
            rule("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "disruption-controller",
        &[
            rule(READ, "apps", "deployments replicasets statefulsets"),
            rule(READ, "core", "pods replicationcontrollers"),
            rule("patch update", "core", "pods/status"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule("patch update", "policy", "poddisruptionbudgets/status"),
            rule("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    role(
        "endpoint-controller",
        &[
            rule(READ, "core", "pods services"),
            rule("create delete get list patch update watch", "core", "endpoints"),
            rule("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "endpointslice-controller",
        &[
            rule(READ, "core", "nodes pods services"),
            rule("update", "core", "services/finalizers"),
            rule("create delete get list patch update watch", "discovery.k8s.io", "endpointslices"),
            rule("create", "discovery.k8s.io", "endpointslices/restricted"),
            EVENTS,
        ],
    ),
    role(
        "endpointslicemirroring-controller",
        &[
            rule(READ, "core", "endpoints services"),
            rule("update", "core", "endpoints/finalizers services/finalizers"),
            rule("create delete get list patch update watch", "discovery.k8s.io", "endpointslices"),
            rule("create", "discovery.k8s.io", "endpointslices/restricted"),
            EVENTS,
        ],
    ),
    role(
        "ephemeral-volume-controller",
        &[
            rule("update", "core", "pods/finalizers"),
            rule(READ, "core", "pods"),
            rule("create get list watch", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "expand-controller",
        &[
            rule("get list patch update watch", "core", "persistentvolumes"),
            rule("patch update", "core", "persistentvolumeclaims/status"),
            rule(READ, "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role("generic-garbage-collector", &[rule("delete get list patch update watch", "*", "*"), EVENTS]),
    role(
        "horizontal-pod-autoscaler",
        &[
            rule(READ, "autoscaling", "horizontalpodautoscalers"),
            rule("update", "autoscaling", "horizontalpodautoscalers/status"),
            rule("get update", "*", "*/scale"),
            rule("list", "core", "pods"),
            rule("list", "metrics.k8s.io", "pods"),
            rule("get list", "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    role(
        "job-controller",
        &[
            rule("get list patch update watch", "batch", "jobs"),
            rule("patch update", "batch", "jobs/finalizers jobs/status"),
            rule("create delete get list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "legacy-service-account-token-cleaner",
        &[
            rule("get", "core", "configmaps").named("kube-apiserver-legacy-service-account-token-tracking"),
            rule("delete patch", "core", "secrets"),
        ],
    ),
    role(
        "namespace-controller",
        &[
            rule("delete get list watch", "core", "namespaces"),
            rule("patch update", "core", "namespaces/finalize namespaces/status"),
            rule("delete deletecollection get list watch", "*", "*"),
            EVENTS,
        ],
    ),
    role(
        "node-controller",
        &[
            rule("delete get list patch update watch", "core", "nodes"),
            rule("patch update", "core", "nodes/status"),
            rule("patch update", "core", "pods/status"),
            rule("delete get list watch", "core", "pods"),
            rule(READ, "coordination.k8s.io", "leases"),
            rule("delete get list patch watch", "networking.k8s.io", "servicecidrs"),
            EVENTS,
        ],
    ),
    role(
        "persistent-volume-binder",
        &[
            rule("create delete get list update watch", "core", "persistentvolumes"),
            rule("update", "core", "persistentvolumeclaims/status persistentvolumes/status"),
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule("create delete get list watch", "core", "pods"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("create delete get list watch", "core", "endpoints services"),
            rule("get list", "core", "secrets"),
            rule("get list", "core", "nodes"),
            rule("watch", "core", "events"),
            EVENTS,
        ],
    ),
    role(
        "pod-garbage-collector",
        &[
            rule("delete get list watch", "core", "pods"),
            rule("get list watch", "core", "nodes"),
            rule("patch", "core", "pods/status"),
            EVENTS,
        ],
    ),
    role("pv-protection-controller", &[rule("get list update watch", "core", "persistentvolumes"), EVENTS]),
    role(
        "pvc-protection-controller",
        &[rule("get list update watch", "core", "persistentvolumeclaims"), rule(READ, "core", "pods"), EVENTS],
    ),
    role(
        "replicaset-controller",
        &[
            rule("get list update watch", "apps", "replicasets"),
            rule("patch update", "apps", "replicasets/finalizers replicasets/status"),
            rule("create delete get list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "replication-controller",
        &[
            rule("get list update watch", "core", "replicationcontrollers"),
            rule("patch update", "core", "replicationcontrollers/finalizers replicationcontrollers/status"),
            rule("create delete get list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "resourcequota-controller",
        &[rule("list watch", "*", "*"), rule("patch update", "core", "resourcequotas/status"), EVENTS],
    ),
    role(
        "root-ca-cert-publisher",
        &[rule(READ, "core", "namespaces"), rule("create get list patch update watch", "core", "configmaps"), EVENTS],
    ),
    role(
        "service-account-controller",
        &[rule(READ, "core", "namespaces"), rule("create get list watch", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "service-cidrs-controller",
        &[
            rule("get list patch update watch", "networking.k8s.io", "servicecidrs"),
            rule("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
            rule(READ, "networking.k8s.io", "ipaddresses"),
            EVENTS,
        ],
    ),
    role(
        "service-controller",
        &[
            rule(READ, "core", "services"),
            rule("patch update", "core", "services/status"),
            rule("list watch", "core", "nodes"),
            EVENTS,
        ],
    ),
    role(
        "statefulset-controller",
        &[
            rule("list watch", "core", "pods"),
            rule(READ, "apps", "statefulsets"),
            rule("patch update", "apps", "statefulsets/finalizers statefulsets/status"),
            rule("create delete get patch update", "core", "pods"),
            rule("create delete get list patch update watch", "apps", "controllerrevisions"),
            rule("create get list watch", "core", "persistentvolumeclaims"),
            rule("delete update", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role("ttl-after-finished-controller", &[rule("delete get list watch", "batch", "jobs"), EVENTS]),
    role("ttl-controller", &[rule("list patch update watch", "core", "nodes"), EVENTS]),
    role(
        "validatingadmissionpolicy-status-controller",
        &[
            rule(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
            rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
            EVENTS,
        ],
    ),
    role(
        "certificate-controller",
        &[
            rule("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
            rule(
                "update",
                "certificates.k8s.io",
                "certificatesigningrequests/approval certificatesigningrequests/status",
            ),
            rule("approve sign", "certificates.k8s.io", "signers").named(
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                 kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
            ),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
            EVENTS,
        ],
    ),
];
