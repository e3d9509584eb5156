//! Tables of pod statuses.

use serde_json::{Value, json};

use super::*;
use crate::pod::test_support::{at, container, pod, run, sandbox};
use crate::probe::ProbeKind;

#[derive(Default)]
struct World {
    observed: Observed,
    verdicts: Verdicts,
    waiting: BTreeMap<String, Waiting>,
    messages: HashMap<String, String>,
    life: Life,
}

impl World {
    fn with(runs: &[Container]) -> Self {
        let mut world = Self::default();
        world.observed.put_sandbox(sandbox("s0", 0, true));
        runs.iter().for_each(|run| world.observed.put_container(run.clone()));
        world
    }

    fn status(&self, pod: &Pod) -> PodStatus {
        compute(&Input {
            pod,
            observed: &self.observed,
            verdicts: &self.verdicts,
            waiting: &self.waiting,
            messages: &self.messages,
            life: &self.life,
            runtime_name: "containerd",
            node_ips: &[IpAddr::from([192, 168, 0, 1])],
            now: at(60),
        })
    }
}

fn conditions(status: &PodStatus) -> String {
    let short = |c: &PodCondition| {
        let letters: String = c.type_.chars().filter(char::is_ascii_uppercase).collect();
        format!("{letters}={}", &c.status[..1])
    };
    status.conditions.iter().flatten().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn phases_and_conditions_by_state() {
    let always = json!({"containers": [container("a"), container("b")]});
    let never = json!({"restartPolicy": "Never", "containers": [container("a"), container("b")]});
    let failing = json!({"restartPolicy": "OnFailure", "containers": [container("a"), container("b")]});
    let init = json!({"initContainers": [container("i")], "containers": [container("a")]});
    let init_never =
        json!({"restartPolicy": "Never", "initContainers": [container("i")], "containers": [container("a")]});
    let (a, b) = (run("a", 0, "running"), run("b", 0, "running"));
    for (case, spec, runs, phase, expected) in [
        ("nothing yet", &always, vec![], "Pending", "PRTSC=T I=T R=F CR=F PS=T"),
        ("one of two", &always, vec![a.clone()], "Pending", "PRTSC=T I=T R=F CR=F PS=T"),
        ("both", &always, vec![a.clone(), b.clone()], "Running", "PRTSC=T I=T R=T CR=T PS=T"),
        ("one ended", &always, vec![a.clone(), run("b", 0, "exited 1")], "Running", "PRTSC=T I=T R=F CR=F PS=T"),
        (
            "both ended, always",
            &always,
            vec![run("a", 0, "exited 0"), run("b", 0, "exited 1")],
            "Running",
            "PRTSC=T I=T R=F CR=F PS=T",
        ),
        (
            "both ended, never",
            &never,
            vec![run("a", 0, "exited 0"), run("b", 0, "exited 1")],
            "Failed",
            "PRTSC=T I=T R=F CR=F PS=T",
        ),
        (
            "both succeeded",
            &never,
            vec![run("a", 0, "exited 0"), run("b", 0, "exited 0")],
            "Succeeded",
            "PRTSC=T I=T R=F CR=F PS=T",
        ),
        (
            "one failed, will restart",
            &failing,
            vec![run("a", 0, "exited 0"), run("b", 0, "exited 1")],
            "Running",
            "PRTSC=T I=T R=F CR=F PS=T",
        ),
        ("init runs", &init, vec![run("i", 0, "running")], "Pending", "PRTSC=T I=F R=F CR=F PS=T"),
        ("init done", &init, vec![run("i", 0, "exited 0")], "Pending", "PRTSC=T I=T R=F CR=F PS=T"),
        ("init failed", &init, vec![run("i", 0, "exited 1")], "Pending", "PRTSC=T I=F R=F CR=F PS=T"),
        ("init failed, never", &init_never, vec![run("i", 0, "exited 1")], "Failed", "PRTSC=T I=F R=F CR=F PS=T"),
        ("after init", &init, vec![run("i", 0, "exited 0"), a.clone()], "Running", "PRTSC=T I=T R=T CR=T PS=T"),
    ] {
        let status = World::with(&runs).status(&pod(spec.clone()));
        assert_eq!((status.phase.as_deref(), conditions(&status).as_str()), (Some(phase), expected), "{case}");
    }
}

#[test]
fn containers_are_described_in_full() {
    let pod = pod(json!({"containers": [container("a"), container("b")]}));
    let mut world = World::with(&[run("a", 2, "exited 1"), run("a", 1, "exited 3"), run("b", 0, "running")]);
    world.waiting.insert("a".into(), Waiting::new("CrashLoopBackOff", "back-off"));
    world.messages.insert("a2".into(), "last words".into());
    let status = serde_json::to_value(world.status(&pod)).unwrap();
    let a = &status["containerStatuses"][0];
    assert_eq!(a["state"], json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}));
    assert_eq!(a["restartCount"], 2);
    let last = &a["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["message"], &last["reason"]),
        (&json!(1), &json!("last words"), &json!("Error"))
    );
    assert_eq!(a["containerID"], "containerd://a2");
    let b = &status["containerStatuses"][1];
    assert_eq!((&b["ready"], &b["started"]), (&json!(true), &json!(true)));
    assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.5"}]));
    assert_eq!((&status["hostIP"], &status["qosClass"]), (&json!("192.168.0.1"), &json!("BestEffort")));
    let ready = &status["conditions"][2];
    assert_eq!(
        (&ready["reason"], &ready["message"]),
        (&json!("ContainersNotReady"), &json!("containers with unready status: [a]"))
    );
}

#[test]
fn probes_and_gates_decide_readiness() {
    let mut probed = container("a");
    probed["readinessProbe"] = json!({"exec": {}});
    probed["startupProbe"] = json!({"exec": {}});
    let pod_of = |status: Value| {
        let mut pod = pod(json!({"containers": [probed], "readinessGates": [{"conditionType": "x/y"}]}));
        pod.status = serde_json::from_value(status).unwrap();
        pod
    };
    let gate = |status: &str| json!({"conditions": [{"type": "x/y", "status": status}]});
    for (case, pod, verdicts, started, ready, reason) in [
        ("nothing known", pod_of(Value::Null), vec![], false, false, "ContainersNotReady"),
        (
            "ready but not started",
            pod_of(Value::Null),
            vec![(ProbeKind::Readiness, true)],
            false,
            false,
            "ContainersNotReady",
        ),
        (
            "gate missing",
            pod_of(Value::Null),
            vec![(ProbeKind::Startup, true), (ProbeKind::Readiness, true)],
            true,
            false,
            "ReadinessGatesNotReady",
        ),
        (
            "gate closed",
            pod_of(gate("False")),
            vec![(ProbeKind::Startup, true), (ProbeKind::Readiness, true)],
            true,
            false,
            "ReadinessGatesNotReady",
        ),
        (
            "gate open",
            pod_of(gate("True")),
            vec![(ProbeKind::Startup, true), (ProbeKind::Readiness, true)],
            true,
            true,
            "",
        ),
    ] {
        let mut world = World::with(&[run("a", 0, "running")]);
        for (kind, healthy) in verdicts {
            world.verdicts.set("a0", kind, healthy);
        }
        let status = world.status(&pod);
        let of = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind).unwrap().clone();
        assert_eq!(status.container_statuses.as_ref().unwrap()[0].started, Some(started), "{case}");
        let condition = of("Ready");
        assert_eq!((condition.status == "True", condition.reason.as_deref().unwrap_or("")), (ready, reason), "{case}");
        let others = status.conditions.iter().flatten().filter(|c| c.type_ == "x/y").count();
        assert_eq!(others, usize::from(case.starts_with("gate ") && case != "gate missing"), "{case}");
    }
}

#[test]
fn an_ended_pod_has_no_open_containers() {
    let pod = pod(
        json!({"initContainers": [container("i"), container("j")], "containers": [container("a"), container("b")]}),
    );
    let mut world = World::with(&[run("i", 0, "exited 0"), run("a", 0, "exited 0")]);
    world.life.terminal = true;
    let status = serde_json::to_value(world.status(&pod)).unwrap();
    assert_eq!(status["phase"], "Failed");
    assert_eq!(status["containerStatuses"][1]["state"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert!(status["initContainerStatuses"][1]["state"]["waiting"].is_object(), "it never had its turn");

    let mut never_began = World::with(&[]);
    never_began.life = Life { terminal: true, reason: Some(("OutOfcpu".into(), "no room".into())) };
    let status = serde_json::to_value(never_began.status(&pod)).unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert!(status["containerStatuses"][0]["state"]["waiting"].is_object());
}

#[test]
fn a_final_phase_stays_and_cleaned_containers_keep_their_end() {
    let mut pod = pod(json!({"restartPolicy": "Never", "containers": [container("a")]}));
    let done = World::with(&[run("a", 0, "exited 0")]).status(&pod);
    pod.status = Some(done.clone());
    let later = World::default().status(&pod);
    assert_eq!(later.phase.as_deref(), Some("Succeeded"));
    assert_eq!(later.container_statuses, done.container_statuses);
    assert_eq!(later.pod_ip, done.pod_ip);
}

#[test]
fn patches_hold_only_what_changed() {
    let mut pod = pod(json!({"containers": [container("a")]}));
    let old = json!({"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": "m"});
    let conditions = json!([{"type": "x/y", "status": "True"}, old]);
    pod.status = serde_json::from_value(json!({"phase": "Pending", "conditions": conditions})).unwrap();
    let mut world = World::with(&[run("a", 0, "running")]);
    let first = world.status(&pod);
    let sent = patch(&pod, &first).unwrap();
    assert_eq!(sent["metadata"], json!({"uid": "uid"}));
    assert_eq!(sent["status"]["conditions"].as_array().unwrap().len(), 5, "not the stranger's");
    let conditions = sent["status"]["conditions"].as_array().unwrap();
    let initialized = conditions.iter().find(|condition| condition["type"] == "Initialized").unwrap();
    let words = (initialized.get("reason"), initialized.get("message"));
    assert_eq!(words, (Some(&json!(null)), Some(&json!(null))), "a merge would keep the old words");
    pod.status = Some(first);
    assert_eq!(patch(&pod, &world.status(&pod)), None);
    world.observed.put_sandbox(Sandbox2::with_ip("10.0.0.9"));
    let sent = patch(&pod, &world.status(&pod)).unwrap();
    assert_eq!(sent["status"], json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}, {"$patch": "replace"}]}));
}

struct Sandbox2;
impl Sandbox2 {
    fn with_ip(ip: &str) -> node::Sandbox {
        node::Sandbox { ips: vec![ip.into()], ..sandbox("s1", 1, true) }
    }
}
