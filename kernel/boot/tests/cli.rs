//! The command line as scripts see it: exit codes, lines, and the files it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Signal, geteuid, kill_process};
use serde_json::Value;

mod support;

use support::{Place, Running};

/// The cluster's name in these tests.
const NAME: &str = "process-test";
/// A user without rights.
const NOBODY: u32 = 65_534;

fn run(place: &Place, command: &[&str]) -> Output {
    place.kubernel(command).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// It failed, with one line that says all these words.
fn assert_fails(output: &Output, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.starts_with("kubernel: "), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
}

fn assert_succeeds(output: &Output) -> &str {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// All paths below a folder, with what is in the files.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.append(&mut snapshot(&path));
            all.insert(path, None);
        } else {
            let bytes = fs::read(&path).expect("a file");
            all.insert(path, Some(bytes));
        }
    }
    all
}

#[test]
fn a_cluster_comes_up_and_goes_down() {
    let place = Place::new(NAME);
    assert_fails(&run(&place, &["status"]), &["no cluster was ever started", "kubernel up"]);
    assert_fails(&run(&place, &["down"]), &["no cluster was ever started"]);

    let mut running = Running::start(&place, place.up("none"));
    let lines = running.until("ready");
    for line in &lines {
        assert!(line["message"].is_string() && line["milliseconds"].is_number(), "{line}");
    }
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_str().unwrap_or_default()).collect();
    for step in ["store", "certificates", "server", "kubeconfig"] {
        assert!(steps.contains(&step), "{step} is not in {steps:?}");
    }
    let ready = lines.last().expect("there is a last line");
    assert!(ready["next"].as_str().is_some_and(|next| next.starts_with("kubectl ")), "{ready}");
    assert_eq!(ready["pid"], running.pid().as_raw_nonzero().get());

    let mode = fs::metadata(place.kubeconfig()).expect("the kubeconfig").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kubeconfig = fs::read_to_string(place.kubeconfig()).expect("the kubeconfig");
    assert!(kubeconfig.contains(&format!("current-context: {NAME}")), "{kubeconfig}");
    assert!(!place.path("home").exists(), "only the file named is written");

    let status: Value = serde_json::from_str(assert_succeeds(&run(&place, &["status", "-o", "json"]))).expect("JSON");
    assert_eq!((&status["name"], &status["ready"], &status["pid"]), (&NAME.into(), &true.into(), &ready["pid"]));
    assert!(assert_succeeds(&run(&place, &["status"])).contains("ready"));

    let second = place.up("none").output().expect("the binary runs");
    assert_fails(&second, &["runs already", &ready["pid"].to_string(), "kubernel down"]);
    assert_eq!(text(&second.stdout), "");
    assert_fails(&run(&place, &["reset"]), &["stop it first: kubernel down"]);

    assert!(assert_succeeds(&run(&place, &["down"])).contains("Stopped"));
    assert_eq!(running.wait().code(), Some(0), "{}", running.log());
    assert_fails(&run(&place, &["status"]), &["is not running", "kubernel up"]);
    assert!(assert_succeeds(&run(&place, &["down"])).contains("is not running"));
}

#[test]
fn signals_stop_in_order() {
    let place = Place::new(NAME);
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Running::start(&place, place.up("none"));
        running.until("ready");
        kill_process(running.pid(), signal).expect("a running process");
        running.until("stopped");
        assert_eq!(running.wait().code(), Some(0), "{}", running.log());
    }
}

#[test]
fn an_occupied_port_leaves_no_trace() {
    let place = Place::new(NAME);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut up = place.kubernel(&["up", "--runtime", "none", "--listen", &address]);
    let output = up.arg("--kubeconfig").arg(place.kubeconfig()).output().expect("the binary runs");
    assert_fails(&output, &[&address, "--listen"]);
    assert_eq!(snapshot(place.temp.path()), BTreeMap::new());
}

#[test]
fn reset_removes_what_it_lists() {
    let place = Place::new(NAME);
    let theirs = "apiVersion: v1\nkind: Config\nclusters: [{name: other, cluster: {server: 'https://other'}}]\n\
                  contexts: [{name: other, context: {cluster: other, user: other}}]\nusers: [{name: other, user: {}}]\n\
                  current-context: other\n";
    fs::write(place.kubeconfig(), theirs).expect("a kubeconfig");
    let mut running = Running::start(&place, place.up("none"));
    running.until("ready");
    fs::write(place.data().join("notes.txt"), "not ours").expect("a file");
    // A killed cluster leaves more than one that stopped.
    running.kill();

    let before = snapshot(place.temp.path());
    let listed = assert_succeeds(&run(&place, &["reset", "--dry-run"])).to_owned();
    assert_eq!(snapshot(place.temp.path()), before, "a dry run changes nothing");
    let kubeconfig = place.kubeconfig();
    let path = |name: &str| place.data().join(name).display().to_string();
    for line in [
        format!("context   {NAME} in {}", kubeconfig.display()),
        format!("file      {}", path("store/FORMAT")),
        format!("folder    {}", path("store")),
        format!("file      {}", path("pki/ca.key")),
        format!("file      {}", path("admin.kubeconfig")),
        format!("file      {}", path("state.json")),
    ] {
        assert!(listed.lines().any(|listed| listed == line), "{line:?} is not in {listed}");
    }

    let reset = run(&place, &["reset"]);
    assert_eq!(assert_succeeds(&reset), listed);
    assert!(text(&reset.stderr).contains("notes.txt"), "what stays is said");
    let listed: Vec<PathBuf> =
        listed.lines().filter_map(|line| line.split_once(' ')).map(|(_, path)| path.trim().into()).collect();
    let after = snapshot(place.temp.path());
    let mut wanted = before.clone();
    wanted.retain(|path, _| !listed.contains(path));
    assert_eq!(after.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    let kubeconfig = fs::read_to_string(kubeconfig).expect("the kubeconfig stays");
    assert!(kubeconfig.contains("https://other") && !kubeconfig.contains(NAME), "{kubeconfig}");

    let again = run(&place, &["reset"]);
    assert_eq!((assert_succeeds(&again), text(&again.stderr).starts_with("Nothing")), ("", true));
    fs::remove_file(place.data().join("notes.txt")).expect("a file");
    Running::start(&place, place.up("none")).until("ready");
}

#[test]
fn a_kubeconfig_of_ours_alone_goes_too() {
    let place = Place::new(NAME);
    Running::start(&place, place.up("none")).until("ready");
    assert_succeeds(&run(&place, &["reset"]));
    fs::remove_file(place.path("stderr")).expect("the log of this test");
    assert_eq!(snapshot(place.temp.path()), BTreeMap::new());
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    type Spoil = fn(&Place, &mut Command);
    for (case, spoil, words) in [
        (
            "a newer format",
            (|place, _| {
                fs::create_dir_all(place.data().join("store")).expect("a folder");
                fs::write(place.data().join("store/lock"), "").expect("a file");
                fs::write(place.data().join("store/FORMAT"), "kubernel-store 4000\n").expect("a file");
            }) as Spoil,
            ["format 4000", "--data-dir"],
        ),
        (
            "a damaged kubeconfig",
            |place, _| fs::write(place.kubeconfig(), "a: [").expect("a file"),
            ["is no kubeconfig", "--kubeconfig"],
        ),
        (
            "a kubeconfig that is a folder",
            |place, _| fs::create_dir(place.kubeconfig()).expect("a folder"),
            ["cannot read", "--kubeconfig"],
        ),
        (
            "a file in the way of the data",
            |place, _| fs::write(place.data(), "").expect("a file"),
            ["cannot write", "--data-dir"],
        ),
        (
            "somebody else's folder",
            |place, _| {
                fs::create_dir_all(place.data().join("pki")).expect("a folder");
                fs::write(place.data().join("pki/theirs.key"), "").expect("a file");
            },
            ["not ours", "--data-dir"],
        ),
        (
            "no nodes",
            |_, up| {
                up.args(["--nodes", "0"]);
            },
            ["--nodes 0", "--runtime none"],
        ),
    ] {
        let place = Place::new(NAME);
        let mut up = place.up("none");
        spoil(&place, &mut up);
        let before = snapshot(place.temp.path());
        let output = up.output().expect("the binary runs");
        println!("{case}: {}", text(&output.stderr).trim_end());
        assert_fails(&output, &words);
        let mut after = snapshot(place.temp.path());
        // Who locked last, the one thing written before the format is looked at.
        after.entry(place.data().join("store/lock")).and_modify(|pid| *pid = Some(vec![]));
        assert_eq!(after, before, "{case}");
    }
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let place = Place::new(NAME);
    fs::create_dir_all(place.data().join("store")).expect("a folder");
    let lock = fs::File::create(place.data().join("store/lock")).expect("a file");
    lock.try_lock().expect("nobody else has it");
    assert_fails(&place.up("none").output().expect("the binary runs"), &["in use", "kubernel down"]);
    assert_fails(&run(&place, &["reset"]), &["kubernel down"]);
}

#[test]
fn a_missing_runtime_is_refused() {
    let place = Place::new(NAME);
    let socket = place.path("none.sock");
    for command in [&["images", "list"][..], &["images", "load", "/none.tar"]] {
        let mut images = place.kubernel(command);
        let output = images.arg("--runtime-endpoint").arg(&socket).output().expect("the binary runs");
        assert_fails(&output, &["none.sock does not exist", "Start containerd"]);
    }
    let mut up = place.up("cri");
    let output = up.arg("--runtime-endpoint").arg(&socket).output().expect("the binary runs");
    let words = text(&output.stderr);
    if words.contains("needs root") || words.contains("is not on the PATH") {
        println!("Left out, since this machine cannot have containers: {words}");
    } else {
        assert_fails(&output, &["none.sock does not exist", "Start containerd"]);
    }
    assert_eq!(snapshot(place.temp.path()), BTreeMap::new());
}

#[test]
fn without_rights_what_is_needed_is_said() {
    let unprivileged = |mut command: Command| {
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir("/").output()
    };
    let place = Place::new(NAME);
    fs::set_permissions(place.temp.path(), fs::Permissions::from_mode(0o777)).expect("a folder of ours");
    if unprivileged(place.kubernel(&["version"][..0])).is_err() {
        println!("Left out: another user cannot run the binary where it is.");
        return;
    }

    let mut cri = place.kubernel(&["up"]);
    cri.arg("--kubeconfig").arg(place.kubeconfig());
    let output = unprivileged(cri).expect("the binary runs");
    assert_fails(&output, &["--runtime cri needs root", "--runtime sim"]);
    assert_eq!(snapshot(place.temp.path()), BTreeMap::new());

    let locked = |path: PathBuf, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    fs::write(place.kubeconfig(), "").expect("a file");
    locked(place.kubeconfig(), 0);
    assert_fails(
        &unprivileged(place.up("none")).expect("the binary runs"),
        &["cannot read", "Permission", "--kubeconfig"],
    );
    fs::remove_file(place.kubeconfig()).expect("a file");
    fs::create_dir(place.data()).expect("a folder");
    locked(place.data(), 0o555);
    assert_fails(
        &unprivileged(place.up("none")).expect("the binary runs"),
        &["cannot write", "Permission", "--data-dir"],
    );
}
