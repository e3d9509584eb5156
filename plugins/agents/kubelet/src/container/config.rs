//! What the runtime is told about a container.

use std::collections::HashMap;

use sdk_plugin::node::ContainerConfig;

use crate::container::expand::expand;
use crate::container::{image, resources, security};
use crate::pod::labels;
use crate::pod::members::Member;
use crate::settings::Settings;

pub(crate) struct Wanted<'a> {
    pub(crate) pod: &'a sdk_api::k8s_openapi::api::core::v1::Pod,
    pub(crate) member: &'a Member<'a>,
    pub(crate) attempt: u32,
    pub(crate) image: &'a image::Ready,
    /// The ID of the container whose processes it sees.
    pub(crate) target: Option<String>,
    pub(crate) settings: &'a Settings,
}

/// Everything but the mounts. The error is what `CreateContainerConfigError` says.
pub(crate) fn build(wanted: &Wanted<'_>, env: Vec<(String, String)>) -> Result<ContainerConfig, String> {
    let spec = &wanted.member.spec;
    let known: HashMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let lookup = |name: &str| known.get(name).map(|value| (*value).to_owned());
    let words = |list: &Option<Vec<String>>| list.iter().flatten().map(|word| expand(word, lookup)).collect();
    let (command, args) = (words(&spec.command), words(&spec.args));
    let stop_signal = spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone());
    let mut annotations = labels::container_annotations(wanted.pod, spec, wanted.attempt);
    labels::own(&mut annotations, &wanted.settings.root_dir);
    Ok(ContainerConfig {
        name: spec.name.clone(),
        attempt: wanted.attempt,
        image: spec.image.clone().unwrap_or_default(),
        image_ref: wanted.image.reference.clone(),
        command,
        args,
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        mounts: vec![],
        devices: vec![],
        labels: labels::of_container(wanted.pod, spec),
        annotations,
        log_path: format!("{}/{}.log", spec.name, wanted.attempt),
        stdin: spec.stdin.unwrap_or(false),
        stdin_once: spec.stdin_once.unwrap_or(false),
        tty: spec.tty.unwrap_or(false),
        resources: resources::linux(wanted.pod, spec, wanted.settings.capacity.memory_bytes),
        security: security::options(wanted.pod, spec, wanted.image)?,
        target_container: wanted.target.clone(),
        stop_signal: stop_signal.unwrap_or_default(),
        env,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::pod::members;
    use crate::pod::test_support::pod;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    #[test]
    fn commands_see_the_environment() {
        let pod = pod(
            json!({"containers": [{"name": "c", "image": "i", "command": ["run", "$(A)"], "args": ["$(B)", "$$(A)"],
            "tty": true}]}),
        );
        let member = members::find(&pod, "c").unwrap();
        let settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        let image = image::Ready { reference: "sha256:x".into(), ..Default::default() };
        let wanted =
            Wanted { pod: &pod, member: &member, attempt: 3, image: &image, target: None, settings: &settings };
        let config = build(&wanted, vec![("A".into(), "1".into())]).unwrap();
        assert_eq!((config.command, config.args), (vec!["run".into(), "1".into()], vec!["$(B)".into(), "$(A)".into()]));
        assert_eq!((config.log_path.as_str(), config.tty, config.image_ref.as_str()), ("c/3.log", true, "sha256:x"));
        assert_eq!(config.labels["io.kubernetes.pod.uid"], "uid");
        assert_eq!(config.annotations["io.kubernetes.container.restartCount"], "3");
    }
}
