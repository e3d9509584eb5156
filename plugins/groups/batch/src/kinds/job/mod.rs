//! `Job`: pods that run to completion.

mod defaults;
mod indexes;
mod policy;
mod status;
mod update;
mod validate;

use sdk_api::k8s_openapi::api::batch::v1::{Job, JobSpec};
use sdk_api::{Timestamp, Violations};
use sdk_client::Propagation;
use sdk_plugin::cells::{self, duration, has_condition, number};
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use serde_json::Value;

use defaults::default_spec;
pub(super) use defaults::default_template;
pub(super) use validate::validate_spec;

/// The label of a job's pods that its own selector is made of.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Their names before they had a prefix, still set.
const OLD_CONTROLLER_UID: &str = "controller-uid";
const OLD_JOB_NAME: &str = "job-name";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Status", |job, _| state(job).into()).describe("Status of the job."),
    Column::compute("Completions", |job, _| completions(job).into()),
    Column::compute("Duration", |job, now| {
        duration(&job["status"]["startTime"], &job["status"]["completionTime"], now).into()
    })
    .describe("Time required to complete the job."),
    Column::AGE,
    Column::compute("Containers", cells::template_containers).wide(),
    Column::compute("Images", cells::template_images).wide(),
    Column::compute("Selector", cells::spec_selector).wide(),
];

const FIELDS: &[FieldOf] =
    &[FieldOf { name: "status.successful", value: |job| number(&job["status"]["succeeded"]).to_string().into() }];

/// The row. Without a word about dependents a deleted Job leaves its pods, as it did in the first version.
pub fn kind() -> Kind {
    Kind::of(JobStrategy)
        .categories(&["all"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .status()
        .generation()
        .propagation(Propagation::Orphan)
}

fn state(job: &Value) -> &'static str {
    let has = |condition: &str| has_condition(&job["status"]["conditions"], condition);
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !job["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let succeeded = number(&job["status"]["succeeded"]);
    match (job["spec"]["completions"].as_i64(), number(&job["spec"]["parallelism"])) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

struct JobStrategy;
impl Strategy for JobStrategy {
    type Object = Job;

    fn default(&self, job: &mut Job) {
        if let Some(spec) = &mut job.spec {
            default_spec(spec);
        }
        label_as_its_pods(job);
    }

    fn prepare_create(&self, new: &mut Job, _now: Timestamp) {
        new.status = None;
        let name = new.metadata.name.clone().unwrap_or_default();
        let uid = new.metadata.uid.clone().unwrap_or_default();
        if let Some(spec) = new.spec.as_mut().filter(|spec| spec.manual_selector != Some(true)) {
            select_own_pods(spec, &name, &uid);
        }
        label_as_its_pods(new);
    }

    fn validate(&self, new: &Job, old: Option<&Job>) -> Violations {
        let mut found = Violations::default();
        validate::validate_job(&mut found, new, old);
        found
    }

    fn validate_status(&self, new: &Job, old: &Job) -> Violations {
        let mut found = Violations::default();
        status::validate(&mut found, new, old);
        found
    }

    fn warnings(&self, new: &Job) -> Vec<String> {
        let mut all = sdk_workload::name_warnings(&new.metadata);
        all.extend(new.spec.iter().flat_map(|spec| spec_warnings(spec, "spec")));
        all
    }
}

/// What is legal in a spec at `field` and still worth telling.
pub(super) fn spec_warnings(spec: &JobSpec, field: &str) -> Vec<String> {
    const COMPLETIONS_MAX: i32 = 100_000;
    const PARALLELISM_MAX: i32 = 10_000;
    let mut all = Vec::new();
    let over = |number: Option<i32>, max: i32| number.is_some_and(|number| number > max);
    if validate::is_indexed(spec) && over(spec.completions, COMPLETIONS_MAX) && over(spec.parallelism, PARALLELISM_MAX)
    {
        all.push(format!(
            "{field}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    all.extend(sdk_workload::template_warnings(&spec.template, &format!("{field}.template")));
    all
}

/// A Job without labels has those of its pods.
fn label_as_its_pods(job: &mut Job) {
    let template = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let labels = template.and_then(|meta| meta.labels.clone()).filter(|labels| !labels.is_empty());
    if job.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty()) && labels.is_some() {
        job.metadata.labels = labels;
    }
}

/// The selector that only this Job's pods match, since no other object has its uid.
fn select_own_pods(spec: &mut JobSpec, name: &str, uid: &str) {
    let labels = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
    for (label, value) in [(CONTROLLER_UID, uid), (OLD_CONTROLLER_UID, uid), (JOB_NAME, name), (OLD_JOB_NAME, name)] {
        labels.entry(label.into()).or_insert_with(|| value.into());
    }
    let selector = spec.selector.get_or_insert_default().match_labels.get_or_insert_default();
    selector.entry(CONTROLLER_UID.into()).or_insert_with(|| uid.into());
}

#[cfg(test)]
mod samples {
    //! Jobs for the tests of this kind.

    use sdk_api::k8s_openapi::api::batch::v1::Job;
    use serde_json::{Value, json};

    /// A valid Job with a selector given by hand, changed in fields of its spec, or with `pod.` of its pods' spec.
    pub fn job(changes: Value) -> Job {
        let mut spec = json!({
            "manualSelector": true,
            "selector": {"matchLabels": {"u": "1"}},
            "template": {
                "metadata": {"labels": {"u": "1"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
            },
        });
        for (name, value) in changes.as_object().expect("changes are an object") {
            match name.strip_prefix("pod.") {
                Some(name) => spec["template"]["spec"][name] = value.clone(),
                None => spec[name] = value.clone(),
            }
        }
        let mut job: Job = serde_json::from_value(json!({"metadata": {"name": "j"}, "spec": spec})).expect("a Job");
        super::default_spec(job.spec.as_mut().expect("it has a spec"));
        job
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_selects_its_own_pods() {
        let mut job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "uid": "u"},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}},
        }))
        .unwrap();
        JobStrategy.default(&mut job);
        JobStrategy.prepare_create(&mut job, Timestamp::UNIX_EPOCH);
        let spec = job.spec.clone().unwrap();
        assert_eq!(spec.selector.unwrap().match_labels.unwrap()[CONTROLLER_UID], "u");
        assert_eq!(spec.template.metadata.unwrap().labels.unwrap()[JOB_NAME], "j");
        assert_eq!(job.metadata.labels.as_ref().unwrap()[JOB_NAME], "j");
        assert_eq!(JobStrategy.validate(&job, None).fields(), Vec::<&str>::new());
    }

    #[test]
    fn columns_are_upstreams() {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        for (spec, status, cells) in [
            (
                json!({"completions": 3}),
                json!({"succeeded": 1, "startTime": "2026-01-01T00:00:00Z"}),
                ["Running", "1/3", "60s"],
            ),
            (json!({"parallelism": 2}), json!({}), ["Running", "0/1 of 2", ""]),
            (
                json!({}),
                json!({
                    "conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1,
                    "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z",
                }),
                ["Complete", "1/1", "7s"],
            ),
        ] {
            let job = json!({"metadata": {"name": "j"}, "spec": spec, "status": status});
            let shown: Vec<_> = COLUMNS[1..4].iter().map(|column| column.value(&job, now)).collect();
            assert_eq!(shown, cells.map(Value::from));
        }
    }
}
