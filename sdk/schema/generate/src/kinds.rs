//! The types that the generator starts from; what they refer to follows by itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::apimachinery::pkg::version::Info;

use crate::collect::Collector;

macro_rules! listed {
    ($to:ident, $($module:path: [$($kind:ident),* $(,)?];)*) => {
        $($({ use $module as module; $to.kind::<module::$kind>(); $to.list::<module::$kind>(); })*)*
    };
}

macro_rules! single {
    ($to:ident, $($module:path: [$($kind:ident),* $(,)?];)*) => {
        $($({ use $module as module; $to.kind::<module::$kind>(); })*)*
    };
}

/// Every kind of Kubernetes 1.36 that has objects, with its list.
pub fn objects(to: &mut Collector) {
    listed! { to,
        k8s_openapi::api::admissionregistration::v1: [
            MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
            ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
        ];
        k8s_openapi::api::admissionregistration::v1alpha1: [
            MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding,
        ];
        k8s_openapi::api::admissionregistration::v1beta1: [
            MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding,
        ];
        k8s_openapi::api::apiserverinternal::v1alpha1: [
            StorageVersion,
        ];
        k8s_openapi::api::apps::v1: [
            ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet,
        ];
        k8s_openapi::api::autoscaling::v1: [
            HorizontalPodAutoscaler,
        ];
        k8s_openapi::api::autoscaling::v2: [
            HorizontalPodAutoscaler,
        ];
        k8s_openapi::api::batch::v1: [
            CronJob, Job,
        ];
        k8s_openapi::api::certificates::v1: [
            CertificateSigningRequest,
        ];
        k8s_openapi::api::certificates::v1alpha1: [
            ClusterTrustBundle,
        ];
        k8s_openapi::api::certificates::v1beta1: [
            ClusterTrustBundle, PodCertificateRequest,
        ];
        k8s_openapi::api::coordination::v1: [
            Lease,
        ];
        k8s_openapi::api::coordination::v1alpha2: [
            LeaseCandidate,
        ];
        k8s_openapi::api::coordination::v1beta1: [
            LeaseCandidate,
        ];
        k8s_openapi::api::core::v1: [
            ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
            PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service,
            ServiceAccount,
        ];
        k8s_openapi::api::discovery::v1: [
            EndpointSlice,
        ];
        k8s_openapi::api::events::v1: [
            Event,
        ];
        k8s_openapi::api::flowcontrol::v1: [
            FlowSchema, PriorityLevelConfiguration,
        ];
        k8s_openapi::api::networking::v1: [
            Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR,
        ];
        k8s_openapi::api::networking::v1beta1: [
            IPAddress, ServiceCIDR,
        ];
        k8s_openapi::api::node::v1: [
            RuntimeClass,
        ];
        k8s_openapi::api::policy::v1: [
            PodDisruptionBudget,
        ];
        k8s_openapi::api::rbac::v1: [
            ClusterRole, ClusterRoleBinding, Role, RoleBinding,
        ];
        k8s_openapi::api::resource::v1: [
            DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
        ];
        k8s_openapi::api::resource::v1alpha3: [
            DeviceTaintRule, ResourcePoolStatusRequest,
        ];
        k8s_openapi::api::resource::v1beta1: [
            DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
        ];
        k8s_openapi::api::resource::v1beta2: [
            DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
        ];
        k8s_openapi::api::scheduling::v1: [
            PriorityClass,
        ];
        k8s_openapi::api::scheduling::v1alpha2: [
            PodGroup, Workload,
        ];
        k8s_openapi::api::storage::v1: [
            CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass,
        ];
        k8s_openapi::api::storage::v1beta1: [
            VolumeAttributesClass,
        ];
        k8s_openapi::api::storagemigration::v1beta1: [
            StorageVersionMigration,
        ];
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1: [
            CustomResourceDefinition,
        ];
        k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1: [
            APIService,
        ];
    }
}

/// Kinds that are only sent or answered, never stored, and the types of the API machinery.
pub fn requests(to: &mut Collector) {
    single! { to,
        k8s_openapi::api::authentication::v1: [
            SelfSubjectReview, TokenRequest, TokenReview,
        ];
        k8s_openapi::api::authorization::v1: [
            LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
        ];
        k8s_openapi::api::autoscaling::v1: [
            Scale,
        ];
        k8s_openapi::api::core::v1: [
            Binding,
        ];
        k8s_openapi::api::policy::v1: [
            Eviction,
        ];
        k8s_openapi::apimachinery::pkg::apis::meta::v1: [
            APIGroup, APIGroupList, APIResourceList, APIVersions, Status,
        ];
    }
    to.plain::<meta::DeleteOptions>();
    to.plain::<meta::WatchEvent<meta::Status>>();
    to.plain::<meta::Patch>();
    to.plain::<meta::MicroTime>();
    to.plain::<Info>();
}
