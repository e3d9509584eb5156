//! Volumes in a temporary directory, with the API in memory.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use sdk_testkit::{FakeApi, ManualClock, settle};
use serde_json::{Value, json};

use super::*;
use crate::pod::test_support::pod;
use crate::settings::Ground;
use crate::test_support::NoRuntime;

struct World {
    api: FakeApi,
    volumes: Volumes,
    settings: Settings,
    told: Arc<Mutex<Vec<String>>>,
    temp: tempfile::TempDir,
}

fn world(ground: Ground) -> World {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let temp = tempfile::tempdir().unwrap();
    let mut settings = Settings::new("n1", ground, Arc::new(NoRuntime));
    settings.root_dir = temp.path().into();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = {
        let told = told.clone();
        move |uids: &[String]| told.lock().unwrap().extend_from_slice(uids)
    };
    let objects = Objects::new(api.admin(), clock.clone(), Arc::new(listener));
    let volumes = Volumes::new(api.admin(), clock, objects);
    World { api, volumes, settings, told, temp }
}

impl World {
    fn config(&self, data: Value) {
        let meta = json!({"name": "settings", "namespace": "ns"});
        self.api.seed(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}));
    }

    async fn set_up(&self, volumes: Value) -> Result<BTreeMap<String, PathBuf>, String> {
        let pod = pod(json!({"containers": [], "volumes": volumes}));
        self.volumes.set_up(&pod, &self.settings).await.map_err(|failure| failure.message)
    }
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn contents_follow_their_objects() {
    let world = world(Ground::Host);
    let volumes = json!([
        {"name": "v", "projected": {"sources": [
            {"configMap": {"name": "settings"}},
            {"downwardAPI": {"items": [{"path": "pod/name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"secret": {"name": "absent", "optional": true}}]}},
        {"name": "e", "emptyDir": {}}]);
    assert_eq!(world.set_up(volumes.clone()).await.unwrap_err(), "configmap \"settings\" not found");
    world.config(json!({"a": "1"}));
    settle().await;
    assert_eq!(
        world.told.lock().unwrap().last().map(String::as_str),
        Some("uid"),
        "the pod hears that it is there now"
    );
    let paths = world.set_up(volumes.clone()).await.unwrap();
    assert_eq!((read(&paths["v"], "a"), read(&paths["v"], "pod/name")), ("1".into(), "p".into()));
    fs::write(paths["e"].join("mine"), "kept").unwrap();

    let before = world.told.lock().unwrap().len();
    world.config(json!({"a": "2"}));
    settle().await;
    assert!(world.told.lock().unwrap().len() > before);
    world.set_up(volumes.clone()).await.unwrap();
    assert_eq!(read(&paths["v"], "a"), "2");
    assert_eq!(read(&paths["e"], "mine"), "kept");

    world.volumes.objects.release("uid");
    let before = world.told.lock().unwrap().len();
    world.config(json!({"a": "3"}));
    settle().await;
    assert_eq!(world.told.lock().unwrap().len(), before, "nobody listens any more");
    world.volumes.tear_down("uid", &world.settings).await.unwrap();
    assert!(!paths["v"].exists() && !paths["e"].exists());
    assert!(fs::read_dir(world.temp.path().join("pods/uid")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_simulated_node_notices_what_is_missing_and_writes_nothing() {
    let world = world(Ground::Simulated);
    let volumes = json!([{"name": "v", "configMap": {"name": "settings"}}, {"name": "e", "emptyDir": {}},
        {"name": "h", "hostPath": {"path": "/definitely/not/there", "type": "Directory"}}]);
    assert_eq!(world.set_up(volumes.clone()).await.unwrap_err(), "configmap \"settings\" not found");
    world.config(json!({"a": "1"}));
    assert!(world.set_up(volumes).await.unwrap().is_empty());
    assert!(fs::read_dir(world.temp.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn claims_lead_to_paths_of_the_node() {
    let world = world(Ground::Host);
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    assert_eq!(world.set_up(volumes.clone()).await.unwrap_err(), "persistentvolumeclaim \"data\" not found");
    let claim = |phase: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "ns"},
            "spec": {"volumeName": "pv"}, "status": {"phase": phase}})
    };
    world.api.seed(claim("Pending"));
    assert_eq!(world.set_up(volumes.clone()).await.unwrap_err(), "PVC ns/data is not bound");
    world.api.seed(claim("Bound"));
    let path = world.temp.path().join("disk");
    world.api.seed(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
        "spec": {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}}));
    assert_eq!(world.set_up(volumes).await.unwrap()["v"], path);
    assert!(path.is_dir());
}

#[tokio::test]
async fn other_kinds_of_volumes_are_refused() {
    let world = world(Ground::Host);
    let volumes = json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]);
    assert_eq!(world.set_up(volumes).await.unwrap_err(), "no volume plugin matched");
}
