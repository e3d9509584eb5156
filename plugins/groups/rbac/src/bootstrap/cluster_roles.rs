//! The ClusterRoles that every cluster has. Source: Kubernetes documentation, "Using RBAC Authorization", default roles
//! and role bindings.

use super::spec::{ALL, EVENTS, READ, RoleSpec, Rule, WRITE, paths, role, rule};

/// What a process asks that lets others prove who they are, and what they may.
const DELEGATE: [Rule; 2] = [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
];

/// Roles for people, for everybody, and for the parts of the cluster.
pub const CLUSTER_ROLES: &[RoleSpec] = &[
    // For people.
    role("cluster-admin", &[rule("*", "*", "*"), paths("*", "*")]),
    role("admin", &[]).gathering(),
    role("edit", &[]).gathering().into_role("admin"),
    role("view", &[]).gathering().into_role("edit"),
    role(
        "system:aggregate-to-admin",
        &[
            rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            rule(ALL, "rbac.authorization.k8s.io", "rolebindings roles"),
        ],
    )
    .into_role("admin"),
    role(
        "system:aggregate-to-edit",
        &[
            rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
            rule("impersonate", "core", "serviceaccounts"),
            rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy pods/resize"),
            rule("create", "core", "pods/eviction"),
            rule(
                WRITE,
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
                 serviceaccounts services services/proxy",
            ),
            rule("create", "core", "serviceaccounts/token"),
            rule(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
                 statefulsets statefulsets/scale",
            ),
            rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
            rule(WRITE, "batch", "cronjobs jobs"),
            rule(WRITE, "policy", "poddisruptionbudgets"),
            rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            rule(ALL, "coordination.k8s.io", "leases"),
            rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
        ],
    )
    .into_role("edit"),
    role(
        "system:aggregate-to-view",
        &[
            rule(
                READ,
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
                 replicationcontrollers/scale serviceaccounts services services/status",
            ),
            rule(
                READ,
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
                 resourcequotas resourcequotas/status",
            ),
            rule(READ, "core", "namespaces"),
            rule(READ, "discovery.k8s.io", "endpointslices"),
            rule(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
                 replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            ),
            rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
            rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
        ],
    )
    .into_role("view"),
    // For everybody.
    role(
        "system:discovery",
        &[paths("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/")],
    ),
    role(
        "system:basic-user",
        &[
            rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            rule("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role("system:public-info-viewer", &[paths("get", "/healthz /livez /readyz /version /version/")]),
    role(
        "system:monitoring",
        &[paths("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*")],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[paths("get", "/.well-known/openid-configuration /openid/v1/jwks")],
    ),
    role("system:auth-delegator", &DELEGATE),
    // For nodes, and for what runs on them.
    role(
        "system:node",
        &[
            DELEGATE[0],
            rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
            rule(READ, "core", "services"),
            rule("create get list watch patch update", "core", "nodes"),
            rule("patch update", "core", "nodes/status"),
            EVENTS,
            rule("create delete get list watch", "core", "pods"),
            rule("patch update", "core", "pods/status"),
            rule("create", "core", "pods/eviction"),
            rule(READ, "core", "configmaps secrets"),
            rule("get", "core", "persistentvolumeclaims persistentvolumes endpoints"),
            rule("get patch update", "core", "persistentvolumeclaims/status"),
            rule("create", "core", "serviceaccounts/token"),
            rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
            rule("create delete get patch update", "coordination.k8s.io", "leases"),
            rule("get", "storage.k8s.io", "volumeattachments"),
            rule(READ, "storage.k8s.io", "csidrivers"),
            rule("create delete get patch update", "storage.k8s.io", "csinodes"),
            rule(READ, "node.k8s.io", "runtimeclasses"),
            rule("get", "resource.k8s.io", "resourceclaims"),
            rule(ALL, "resource.k8s.io", "resourceslices"),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests")],
    ),
    role(
        "system:node-problem-detector",
        &[rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS],
    ),
    role(
        "system:node-proxier",
        &[
            rule("list watch", "core", "endpoints services"),
            rule(READ, "core", "nodes"),
            EVENTS,
            rule("list watch", "discovery.k8s.io", "endpointslices"),
            rule("list watch", "networking.k8s.io", "servicecidrs"),
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            rule(READ, "core", "nodes"),
            rule("proxy", "core", "nodes"),
            rule(
                "*",
                "core",
                "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy \
                 nodes/stats",
            ),
        ],
    ),
    role("system:kube-dns", &[rule("list watch", "core", "endpoints services")]),
    role("system:kube-aggregator", &[rule(READ, "core", "endpoints services")]),
    // For the scheduler and the controllers.
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            rule("create", "coordination.k8s.io", "leases"),
            rule("get list update watch", "coordination.k8s.io", "leases").named("kube-scheduler"),
            rule(READ, "core", "namespaces nodes replicationcontrollers services"),
            rule("delete get list watch", "core", "pods"),
            rule("create", "core", "bindings pods/binding"),
            rule("patch update", "core", "pods/status"),
            rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
            rule(READ, "apps", "replicasets statefulsets"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule(READ, "scheduling.k8s.io", "priorityclasses"),
            DELEGATE[0],
            DELEGATE[1],
            rule(READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses volumeattachments"),
            rule(READ, "resource.k8s.io", "deviceclasses resourceslices"),
            rule("get list patch update watch", "resource.k8s.io", "resourceclaims"),
            rule("patch update", "resource.k8s.io", "resourceclaims/status"),
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            rule("get list patch update watch", "core", "persistentvolumeclaims persistentvolumes"),
            rule(READ, "storage.k8s.io", "storageclasses"),
        ],
    ),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            rule("create", "coordination.k8s.io", "leases"),
            rule("get update", "coordination.k8s.io", "leases").named("kube-controller-manager"),
            rule("create update", "core", "secrets serviceaccounts"),
            rule("delete", "core", "secrets"),
            rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
            DELEGATE[0],
            DELEGATE[1],
            rule("list watch", "*", "*"),
            rule("create", "core", "serviceaccounts/token"),
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            rule("create delete get list watch", "core", "persistentvolumes"),
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("watch", "core", "events"),
            EVENTS,
        ],
    ),
    // For those who approve certificates.
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kube-apiserver-client")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/kubelet-serving")],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[rule("approve", "certificates.k8s.io", "signers").named("kubernetes.io/legacy-unknown")],
    ),
];

/// Who has them: name of the binding, role, subjects.
pub const CLUSTER_BINDINGS: &[(&str, &str, &str)] = &[
    ("cluster-admin", "cluster-admin", "group:system:masters"),
    ("system:monitoring", "system:monitoring", "group:system:monitoring"),
    ("system:discovery", "system:discovery", "group:system:authenticated"),
    ("system:basic-user", "system:basic-user", "group:system:authenticated"),
    (
        "system:public-info-viewer",
        "system:public-info-viewer",
        "group:system:authenticated group:system:unauthenticated",
    ),
    ("system:node-proxier", "system:node-proxier", "user:system:kube-proxy"),
    ("system:kube-controller-manager", "system:kube-controller-manager", "user:system:kube-controller-manager"),
    ("system:kube-dns", "system:kube-dns", "account:kube-system/kube-dns"),
    ("system:kube-scheduler", "system:kube-scheduler", "user:system:kube-scheduler"),
    ("system:volume-scheduler", "system:volume-scheduler", "user:system:kube-scheduler"),
    // Until a node authorizer narrows it to what concerns the node.
    ("system:node", "system:node", "group:system:nodes"),
    (
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "group:system:serviceaccounts",
    ),
];
