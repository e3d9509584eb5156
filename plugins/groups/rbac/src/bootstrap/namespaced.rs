//! Roles and bindings in the namespaces of the system.

use super::spec::{RoleSpec, role, rule};

/// Namespace and role.
pub const ROLES: &[(&str, RoleSpec)] = &[
    (
        "kube-system",
        // Lets a process read how the API server authenticates callers from outside.
        role(
            "extension-apiserver-authentication-reader",
            &[rule("get list watch", "core", "configmaps").named("extension-apiserver-authentication")],
        ),
    ),
    ("kube-system", role("system:controller:bootstrap-signer", &[rule("get list watch", "core", "secrets")])),
    ("kube-system", role("system:controller:token-cleaner", &[rule("delete get list watch", "core", "secrets")])),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-controller-manager",
            &[
                rule("watch", "core", "configmaps"),
                rule("get update", "core", "configmaps").named("kube-controller-manager"),
            ],
        ),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-scheduler",
            &[rule("watch", "core", "configmaps"), rule("get update", "core", "configmaps").named("kube-scheduler")],
        ),
    ),
    (
        "kube-public",
        role(
            "system:controller:bootstrap-signer",
            &[
                rule("get list watch", "core", "configmaps"),
                rule("update", "core", "configmaps").named("cluster-info"),
                rule("create patch update", "core events.k8s.io", "events"),
            ],
        ),
    ),
];

/// Namespace, name of the binding, role, subjects.
pub const BINDINGS: &[(&str, &str, &str, &str)] = &[
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        "user:system:kube-controller-manager user:system:kube-scheduler",
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        "account:kube-system/bootstrap-signer",
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        "account:kube-system/token-cleaner",
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        "user:system:kube-controller-manager account:kube-system/leader-election-controller",
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        "user:system:kube-scheduler account:kube-system/leader-election-controller",
    ),
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        "account:kube-system/bootstrap-signer",
    ),
];
