//! How a simulated container behaves: what its environment, its pod's annotations and its command say.

use std::collections::BTreeMap;
use std::time::Duration;

use sdk_plugin::node::ContainerConfig;

/// Pod annotations that steer the simulation begin with this; see the README for the list.
pub const PREFIX: &str = "sim.kubernel.io/";

/// What a container does once it is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// Ends by itself after this time.
    pub(crate) exit_after: Option<Duration>,
    pub(crate) exit_code: i32,
    /// Overrides `Completed` or `Error`.
    pub(crate) exit_reason: Option<String>,
    pub(crate) termination_message: Option<String>,
    /// How long it needs to end when asked to; longer than the grace, it is killed.
    pub(crate) stop_after: Duration,
    /// The exit code when it is asked to stop: 143, as of a process without a handler of SIGTERM.
    pub(crate) stop_code: i32,
    pub(crate) start_fails: bool,
    /// What commands run inside answer, probes too.
    pub(crate) exec_code: i32,
}

/// Looks a setting up: the container's environment (`SIM_EXIT_AFTER_MS`), then the pod's annotations, first for this
/// container (`sim.kubernel.io/exit-after-ms.NAME`), then for all (`sim.kubernel.io/exit-after-ms`).
fn setting<'a>(config: &'a ContainerConfig, pod: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let variable = format!("SIM_{}", name.to_uppercase().replace('-', "_"));
    let from_env = config.env.iter().rev().find(|(key, _)| *key == variable).map(|(_, value)| value.as_str());
    from_env
        .or_else(|| pod.get(&format!("{PREFIX}{name}.{}", config.name)).map(String::as_str))
        .or_else(|| pod.get(&format!("{PREFIX}{name}")).map(String::as_str))
}

impl Behaviour {
    pub(crate) fn of(config: &ContainerConfig, pod_annotations: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| setting(config, pod_annotations, name);
        let millis = |name: &str| get(name).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let number = |name: &str| get(name).and_then(|text| text.parse::<i32>().ok());
        let (command_exit, command_code) = command_end(config);
        Self {
            exit_after: millis("exit-after-ms").or(number("exit-code").map(|_| Duration::ZERO)).or(command_exit),
            exit_code: number("exit-code").unwrap_or(command_code),
            exit_reason: get("exit-reason").map(Into::into),
            termination_message: get("termination-message").map(Into::into),
            stop_after: millis("stop-after-ms").unwrap_or_default(),
            stop_code: number("stop-code").unwrap_or(143),
            start_fails: get("start") == Some("fail"),
            exec_code: number("exec-code").unwrap_or(0),
        }
    }
}

/// The few commands that the simulation understands: `true`, `false`, `sleep N`, and `sh -c` of those or of `exit N`,
/// alone or as the last step after `;` or `&&`.
fn command_end(config: &ContainerConfig) -> (Option<Duration>, i32) {
    let words: Vec<&str> = config.command.iter().chain(&config.args).map(String::as_str).collect();
    let script = match words.as_slice() {
        [shell, "-c", script] if shell.ends_with("sh") => (*script).to_owned(),
        words => words.join(" "),
    };
    let mut total = Duration::ZERO;
    for step in script.split([';', '\n']).flat_map(|part| part.split("&&")) {
        let step: Vec<&str> = step.split_whitespace().collect();
        match step.as_slice() {
            [] => {}
            [program, seconds] if is_program(program, "sleep") => match seconds.trim_end_matches('s').parse::<f64>() {
                Ok(seconds) if seconds.is_finite() && (0.0..1e9).contains(&seconds) => {
                    total += Duration::from_secs_f64(seconds);
                }
                _ => return (None, 0),
            },
            [program, ..] if is_program(program, "echo") => {}
            [program] if is_program(program, "true") => {}
            [program] if is_program(program, "false") => return (Some(total), 1),
            ["exit"] => return (Some(total), 0),
            ["exit", code] => return code.parse().map_or((None, 0), |code| (Some(total), code)),
            _ => return (None, 0),
        }
    }
    if script.trim().is_empty() { (None, 0) } else { (Some(total), 0) }
}

fn is_program(word: &str, name: &str) -> bool {
    word.rsplit('/').next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(command: &[&str], env: &[(&str, &str)]) -> ContainerConfig {
        ContainerConfig {
            name: "c".into(),
            command: command.iter().map(|c| (*c).into()).collect(),
            env: env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..ContainerConfig::default()
        }
    }

    #[test]
    fn commands_end_as_they_would() {
        for (command, end, code) in [
            (&[][..], None, 0),
            (&["nginx", "-g"], None, 0),
            (&["true"], Some(0), 0),
            (&["/bin/false"], Some(0), 1),
            (&["sleep", "2"], Some(2000), 0),
            (&["sleep", "infinity"], None, 0),
            (&["sh", "-c", "exit 3"], Some(0), 3),
            (&["/bin/sh", "-c", "echo hi && sleep 1; exit 7"], Some(1000), 7),
            (&["sh", "-c", "while true; do sleep 1; done"], None, 0),
            (&["sh", "-c", "exit many"], None, 0),
        ] {
            let found = Behaviour::of(&config(command, &[]), &BTreeMap::new());
            assert_eq!((found.exit_after, found.exit_code), (end.map(Duration::from_millis), code), "{command:?}");
        }
    }

    #[test]
    fn environment_wins_over_annotations_and_the_named_container_over_all() {
        let annotations = BTreeMap::from([
            ("sim.kubernel.io/exit-after-ms".to_owned(), "10".to_owned()),
            ("sim.kubernel.io/exit-code".to_owned(), "1".to_owned()),
            ("sim.kubernel.io/exit-code.c".to_owned(), "2".to_owned()),
            ("sim.kubernel.io/stop-after-ms".to_owned(), "nonsense".to_owned()),
        ]);
        let found = Behaviour::of(&config(&[], &[("SIM_EXIT_AFTER_MS", "20")]), &annotations);
        assert_eq!(found.exit_after, Some(Duration::from_millis(20)));
        assert_eq!((found.exit_code, found.stop_after), (2, Duration::ZERO));
    }
}
