//! What a container is made of: image, environment, limits, rights, hooks.

pub(crate) mod cgroups;
pub(crate) mod config;
pub(crate) mod dns;
pub(crate) mod env;
pub(crate) mod expand;
pub(crate) mod hooks;
pub(crate) mod hosts;
pub(crate) mod image;
pub(crate) mod last_words;
pub(crate) mod pull_secrets;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod security;
pub(crate) mod service_env;
