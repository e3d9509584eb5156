//! The containers of a pod, of all three kinds, under one type.

use std::borrow::Cow;

use sdk_api::k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

/// What a container is for its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next container starts.
    Init,
    /// An init container with `restartPolicy: Always`: started in its turn, then kept beside the others.
    Sidecar,
    App,
    /// Added by hand to a running pod; never started again.
    Ephemeral,
}

/// A container as its pod wants it.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) role: Role,
    pub(crate) spec: Cow<'a, Container>,
    /// Whose process namespace an ephemeral container shares.
    pub(crate) target: Option<&'a str>,
}

impl Member<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// The `fieldPath` of events about it.
    pub(crate) fn field_path(&self) -> String {
        let list = match self.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::App => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.spec.name)
    }

    /// Whether it starts again after it ended with `code`.
    pub(crate) fn restarts_after(&self, pod_policy: &str, code: i32) -> bool {
        let rules = self.spec.restart_policy_rules.iter().flatten();
        for rule in rules.filter(|rule| rule.action == "Restart") {
            let Some(codes) = &rule.exit_codes else { continue };
            let listed = codes.values.iter().flatten().any(|value| *value == code);
            if (codes.operator == "In" && listed) || (codes.operator == "NotIn" && !listed) {
                return true;
            }
        }
        let policy = match self.role {
            Role::Sidecar => "Always",
            Role::Ephemeral => "Never",
            Role::Init | Role::App => self.spec.restart_policy.as_deref().unwrap_or(pod_policy),
        };
        match (self.role, policy) {
            (Role::Init, "Never") | (_, "Never") => false,
            (Role::Init, _) | (_, "OnFailure") => code != 0,
            _ => true,
        }
    }
}

fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        name: e.name,
        security_context: e.security_context,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
        ..Container::default()
    }
}

pub(crate) fn init(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    spec.init_containers.iter().flatten().map(|c| Member {
        role: if c.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init },
        spec: Cow::Borrowed(c),
        target: None,
    })
}

pub(crate) fn apps(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    spec.containers.iter().map(|c| Member { role: Role::App, spec: Cow::Borrowed(c), target: None })
}

pub(crate) fn ephemeral(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    spec.ephemeral_containers.iter().flatten().map(|c| Member {
        role: Role::Ephemeral,
        spec: Cow::Owned(as_container(c)),
        target: c.target_container_name.as_deref(),
    })
}

pub(crate) fn all(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    init(spec).chain(apps(spec)).chain(ephemeral(spec))
}

pub(crate) fn find<'a>(pod: &'a Pod, name: &str) -> Option<Member<'a>> {
    all(pod.spec.as_ref()?).find(|member| member.name() == name)
}

/// The pod's restart policy, `Always` where none is said.
pub(crate) fn restart_policy(spec: &PodSpec) -> &str {
    spec.restart_policy.as_deref().unwrap_or("Always")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn restart_policies_decide_by_role_and_code() {
        let app = json!({});
        let sidecar = json!({"restartPolicy": "Always"});
        let never = json!({"restartPolicy": "Never"});
        let rules = json!({"restartPolicy": "Never", "restartPolicyRules":
            [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]});
        for (case, init, extra, policy, code, restarts) in [
            ("always, success", false, &app, "Always", 0, true),
            ("on failure, success", false, &app, "OnFailure", 0, false),
            ("on failure, failure", false, &app, "OnFailure", 1, true),
            ("never", false, &app, "Never", 1, false),
            ("init succeeded", true, &app, "Always", 0, false),
            ("init failed, always", true, &app, "Always", 1, true),
            ("init failed, never", true, &app, "Never", 1, false),
            ("sidecar in a pod that never restarts", true, &sidecar, "Never", 0, true),
            ("the container's own policy", false, &never, "Always", 1, false),
            ("a rule that fits", false, &rules, "Always", 42, true),
            ("a rule that does not", false, &rules, "Always", 1, false),
        ] {
            let mut container = extra.clone();
            container["name"] = "c".into();
            let list = if init { "initContainers" } else { "containers" };
            let mut spec = json!({"containers": []});
            spec[list] = json!([container]);
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            let member = all(&spec).next().unwrap();
            assert_eq!(member.restarts_after(policy, code), restarts, "{case}");
        }
    }
}
