//! What every kind with a pod template shares: defaults, validation, readiness, owner references, requests, hashing.

mod defaults;
mod hash;
mod image;
mod owner;
mod pod;
mod qos;
mod requests;
mod service;
pub mod validate;
mod warnings;

pub use defaults::{claim_spec_defaults, defaults, ephemeral_container_defaults, pod_defaults, template_defaults};
pub use hash::{hash_of, safe_encode, template_hash};
pub use image::default_pull_policy;
pub use owner::{controller_ref, is_controlled_by};
pub use pod::{
    condition, container_states, is_active, is_available, is_bound, is_finished, is_ready, is_terminating,
    mirror_service_account, set_condition,
};
pub use qos::qos_class;
pub use requests::{container_requests, is_sidecar, pod_limits, pod_requests};
pub use service::{chooses, last_change, target_port};
pub use validate::{Options, validate_spec, validate_template};
pub use warnings::{name_warnings, template_warnings, warnings};
