//! Tables of plans.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::pod::test_support::{at, container, pod, run, sandbox};
use crate::probe::ProbeKind;

/// One line a pod's state: sandboxes and runs, as short text.
struct Case<'a> {
    name: &'a str,
    spec: serde_json::Value,
    observed: Observed,
    want: Vec<&'a str>,
}

fn words(plan: &Plan) -> Vec<String> {
    let mut words: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::StopSandbox { id } => format!("stop {id}"),
            Action::RunSandbox { attempt } => format!("sandbox {attempt}"),
            Action::Kill { name, why, .. } => format!("kill {name}: {why}"),
            Action::Start { name, attempt, .. } => format!("start {name} {attempt}"),
        })
        .collect();
    words.extend(plan.waiting.iter().map(|(name, waiting)| format!("{name} waits: {}", waiting.reason)));
    words.extend(plan.finished.map(|finish| format!("{finish:?}")));
    words
}

fn observed(sandboxes: &[(&str, u32, bool)], runs: &[Container]) -> Observed {
    let mut observed = Observed::default();
    sandboxes.iter().for_each(|(id, attempt, ready)| observed.put_sandbox(sandbox(id, *attempt, *ready)));
    runs.iter().for_each(|run| observed.put_container(run.clone()));
    observed
}

#[test]
fn plans_by_state() {
    let one = json!({"containers": [container("a")]});
    let two = json!({"containers": [container("a"), container("b")]});
    let never = json!({"restartPolicy": "Never", "containers": [container("a")]});
    let on_failure = json!({"restartPolicy": "OnFailure", "containers": [container("a"), container("b")]});
    let init = json!({"initContainers": [container("i"), container("j")], "containers": [container("a")]});
    let init_never =
        json!({"restartPolicy": "Never", "initContainers": [container("i")], "containers": [container("a")]});
    let mut side = container("s");
    side["restartPolicy"] = "Always".into();
    let sidecar = json!({"restartPolicy": "Never", "initContainers": [side, container("i")],
        "containers": [container("a")]});
    let mut debug = container("d");
    debug["targetContainerName"] = "a".into();
    let ephemeral = json!({"containers": [container("a")], "ephemeralContainers": [debug]});
    let up = [("s0", 0, true)];
    let down = [("s0", 0, false)];
    for Case { name, spec, observed, want } in [
        Case { name: "new", spec: one.clone(), observed: observed(&[], &[]), want: vec!["sandbox 0"] },
        Case {
            name: "sandbox is up",
            spec: two.clone(),
            observed: observed(&up, &[]),
            want: vec!["start a 0", "start b 0"],
        },
        Case {
            name: "one runs, one was only created",
            spec: two.clone(),
            observed: observed(&up, &[run("a", 0, "running"), run("b", 0, "created")]),
            want: vec!["start b 0"],
        },
        Case {
            name: "all run",
            spec: two,
            observed: observed(&up, &[run("a", 0, "running"), run("b", 3, "running")]),
            want: vec![],
        },
        Case {
            name: "ended, policy Always",
            spec: one.clone(),
            observed: observed(&up, &[run("a", 4, "exited 0")]),
            want: vec!["start a 5"],
        },
        Case {
            name: "ended, policy Never",
            spec: never.clone(),
            observed: observed(&up, &[run("a", 0, "exited 1")]),
            want: vec!["Failed"],
        },
        Case {
            name: "one succeeded, one failed, OnFailure",
            spec: on_failure.clone(),
            observed: observed(&up, &[run("a", 0, "exited 0"), run("b", 0, "exited 1")]),
            want: vec!["start b 1"],
        },
        Case {
            name: "both succeeded, OnFailure",
            spec: on_failure.clone(),
            observed: observed(&up, &[run("a", 0, "exited 0"), run("b", 1, "exited 0")]),
            want: vec!["Succeeded"],
        },
        Case {
            name: "succeeded, sandbox gone",
            spec: on_failure.clone(),
            observed: observed(&down, &[run("a", 0, "exited 0"), run("b", 1, "exited 0")]),
            want: vec!["Succeeded"],
        },
        Case {
            name: "sandbox lost: the one that succeeded stays",
            spec: on_failure.clone(),
            observed: observed(&down, &[run("a", 0, "exited 0"), run("b", 0, "exited 137")]),
            want: vec!["sandbox 1"],
        },
        Case {
            name: "new sandbox: only the one that failed starts",
            spec: on_failure,
            observed: observed(
                &[("s1", 1, true), ("s0", 0, false)],
                &[run("a", 0, "exited 0"), run("b", 0, "exited 137")],
            ),
            want: vec!["start b 1"],
        },
        Case {
            name: "sandbox lost while a container still runs",
            spec: one.clone(),
            observed: observed(&down, &[run("a", 0, "running")]),
            want: vec!["stop s0", "sandbox 1"],
        },
        Case {
            name: "sandbox lost, policy Never",
            spec: never.clone(),
            observed: observed(&down, &[run("a", 0, "running")]),
            want: vec!["Failed"],
        },
        Case {
            name: "sandbox lost before anything ran, policy Never",
            spec: never,
            observed: observed(&down, &[]),
            want: vec!["sandbox 1"],
        },
        Case {
            name: "two live sandboxes",
            spec: one.clone(),
            observed: observed(&[("s1", 1, true), ("s0", 0, true)], &[]),
            want: vec!["stop s0"],
        },
        Case {
            name: "init containers go first, one at a time",
            spec: init.clone(),
            observed: observed(&up, &[]),
            want: vec!["start i 0"],
        },
        Case {
            name: "the first init container runs",
            spec: init.clone(),
            observed: observed(&up, &[run("i", 0, "running")]),
            want: vec![],
        },
        Case {
            name: "the second follows",
            spec: init.clone(),
            observed: observed(&up, &[run("i", 0, "exited 0")]),
            want: vec!["start j 0"],
        },
        Case {
            name: "a failed init container starts again",
            spec: init.clone(),
            observed: observed(&up, &[run("i", 0, "exited 0"), run("j", 0, "exited 2")]),
            want: vec!["start j 1"],
        },
        Case {
            name: "then the app",
            spec: init.clone(),
            observed: observed(&up, &[run("i", 0, "exited 0"), run("j", 1, "exited 0")]),
            want: vec!["start a 0"],
        },
        Case {
            name: "init containers that were cleaned away do not run again",
            spec: init,
            observed: observed(&up, &[run("a", 0, "running")]),
            want: vec![],
        },
        Case {
            name: "a failed init container, policy Never",
            spec: init_never,
            observed: observed(&up, &[run("i", 0, "exited 1")]),
            want: vec!["Failed"],
        },
        Case {
            name: "a sidecar starts in its turn",
            spec: sidecar.clone(),
            observed: observed(&up, &[]),
            want: vec!["start s 0"],
        },
        Case {
            name: "and does not hold up the next once it is started",
            spec: sidecar.clone(),
            observed: observed(&up, &[run("s", 0, "running")]),
            want: vec!["start i 0"],
        },
        Case {
            name: "a sidecar that ended starts again beside the app",
            spec: sidecar.clone(),
            observed: observed(&up, &[run("s", 0, "exited 0"), run("i", 0, "exited 0"), run("a", 0, "running")]),
            want: vec!["start s 1"],
        },
        Case {
            name: "a running sidecar does not keep a pod alive",
            spec: sidecar,
            observed: observed(&up, &[run("s", 0, "running"), run("i", 0, "exited 0"), run("a", 0, "exited 0")]),
            want: vec!["Succeeded"],
        },
        Case {
            name: "ephemeral containers start",
            spec: ephemeral.clone(),
            observed: observed(&up, &[run("a", 0, "running")]),
            want: vec!["start d 0"],
        },
        Case {
            name: "and never again",
            spec: ephemeral,
            observed: observed(&up, &[run("a", 0, "running"), run("d", 0, "exited 1")]),
            want: vec![],
        },
    ] {
        let pod = pod(spec);
        let (verdicts, backoffs, not_before) = (Verdicts::default(), Backoffs::default(), BTreeMap::new());
        let input = Input {
            pod: &pod,
            observed: &observed,
            verdicts: &verdicts,
            backoffs: &backoffs,
            not_before: &not_before,
            now: at(100),
        };
        assert_eq!(words(&plan(&input)), want, "{name}");
    }
}

#[test]
fn probes_and_changes_kill() {
    let mut probed = container("a");
    probed["startupProbe"] = json!({"exec": {"command": ["x"]}});
    probed["livenessProbe"] = json!({"exec": {"command": ["x"]}});
    let always = pod(json!({"containers": [probed]}));
    let never = pod(json!({"restartPolicy": "Never", "containers": [probed]}));
    for (name, pod, verdict, want) in [
        ("nothing known", &always, None, vec![]),
        (
            "startup failed",
            &always,
            Some((ProbeKind::Startup, false)),
            vec!["kill a: Container a failed startup probe, will be restarted"],
        ),
        (
            "liveness failed",
            &always,
            Some((ProbeKind::Liveness, false)),
            vec!["kill a: Container a failed liveness probe, will be restarted"],
        ),
        (
            "liveness failed, never",
            &never,
            Some((ProbeKind::Liveness, false)),
            vec!["kill a: Container a failed liveness probe"],
        ),
        ("not ready", &always, Some((ProbeKind::Readiness, false)), vec![]),
    ] {
        let observed = observed(&[("s0", 0, true)], &[run("a", 0, "running")]);
        let mut verdicts = Verdicts::default();
        if let Some((kind, healthy)) = verdict {
            verdicts.set("a0", kind, healthy);
        }
        let (backoffs, not_before) = (Backoffs::default(), BTreeMap::new());
        let input = Input {
            pod,
            observed: &observed,
            verdicts: &verdicts,
            backoffs: &backoffs,
            not_before: &not_before,
            now: at(0),
        };
        assert_eq!(words(&plan(&input)), want, "{name}");
    }

    let mut old = run("a", 2, "running");
    old.annotations = labels::container_annotations(&always, &Container1::named("a", "old:1"), 2);
    let observed = observed(&[("s0", 0, true)], &[old]);
    let (verdicts, backoffs, not_before) = (Verdicts::default(), Backoffs::default(), BTreeMap::new());
    let input = Input {
        pod: &never,
        observed: &observed,
        verdicts: &verdicts,
        backoffs: &backoffs,
        not_before: &not_before,
        now: at(0),
    };
    assert_eq!(
        words(&plan(&input)),
        ["kill a: Container a definition changed, will be restarted", "start a 3"],
        "whatever the policy"
    );
}

struct Container1;
impl Container1 {
    fn named(name: &str, image: &str) -> sdk_api::k8s_openapi::api::core::v1::Container {
        sdk_api::k8s_openapi::api::core::v1::Container {
            name: name.into(),
            image: Some(image.into()),
            ..Default::default()
        }
    }
}

#[test]
fn crashes_back_off() {
    let pod = pod(json!({"containers": [container("a")]}));
    let observed = observed(&[("s0", 0, true)], &[run("a", 1, "exited 1")]);
    let ended = observed.containers[0].finished.unwrap();
    let verdicts = Verdicts::default();
    let mut backoffs = Backoffs::default();
    let mut not_before = BTreeMap::new();
    backoffs.next(&restart_key("uid", "a"), ended, ended);
    let look = |seconds: i64, not_before: &BTreeMap<String, Timestamp>| {
        let now = ended + Duration::from_secs(u64::try_from(seconds).unwrap());
        plan(&Input { pod: &pod, observed: &observed, verdicts: &verdicts, backoffs: &backoffs, not_before, now })
    };
    let waits = look(4, &not_before);
    assert_eq!(
        waits.waiting["a"],
        Waiting::new("CrashLoopBackOff", "back-off 10s restarting failed container=a pod=p_ns(uid)")
    );
    assert_eq!((waits.again_in, waits.actions.len()), (Some(Duration::from_secs(6)), 0));
    assert_eq!(words(&look(10, &not_before)), ["start a 2"]);
    not_before.insert("a".into(), ended + Duration::from_secs(30));
    let held = look(10, &not_before);
    assert_eq!((held.again_in, held.actions.len()), (Some(Duration::from_secs(20)), 0), "it failed to start before");
}
