//! `CronJob`: Jobs by the clock.

mod schedule;

use sdk_api::k8s_openapi::api::batch::v1::{CronJob, CronJobSpec};
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::cells::{self, NONE, UNSET};
use sdk_plugin::column::age_of;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

use super::job;

/// Names of its Jobs get eleven characters more.
const NAME_MAX: usize = 52;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Schedule", ".spec.schedule"),
    Column::compute("Timezone", |cron, _| cron["spec"]["timeZone"].as_str().unwrap_or(NONE).into()),
    Column::compute("Suspend", |cron, _| match cron["spec"]["suspend"].as_bool() {
        None => UNSET.into(),
        Some(true) => "True".into(),
        Some(false) => "False".into(),
    })
    .typed("boolean"),
    Column::compute("Active", |cron, _| cron["status"]["active"].as_array().map_or(0, Vec::len).into())
        .typed("integer"),
    Column::compute("Last Schedule", |cron, now| match &cron["status"]["lastScheduleTime"] {
        Value::Null => NONE.into(),
        time => age_of(time, now),
    }),
    Column::AGE,
    Column::compute("Containers", |cron, _| cells::container_names(pod_spec(cron)).into()).wide(),
    Column::compute("Images", |cron, _| cells::container_images(pod_spec(cron)).into()).wide(),
    Column::compute("Selector", |cron, _| {
        cells::selector_text(&cron["spec"]["jobTemplate"]["spec"]["selector"]).into()
    })
    .wide(),
];

fn pod_spec(cron: &Value) -> &Value {
    &cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(CronJobStrategy).short_names(&["cj"]).categories(&["all"]).columns(COLUMNS).status().generation()
}

struct CronJobStrategy;
impl Strategy for CronJobStrategy {
    type Object = CronJob;

    fn default(&self, cron: &mut CronJob) {
        let spec = &mut cron.spec;
        spec.concurrency_policy.get_or_insert_with(|| "Allow".into());
        spec.suspend.get_or_insert(false);
        spec.successful_jobs_history_limit.get_or_insert(3);
        spec.failed_jobs_history_limit.get_or_insert(1);
        if let Some(template) = &mut spec.job_template.spec {
            job::default_template(template);
        }
    }

    fn prepare_create(&self, new: &mut CronJob, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &CronJob, old: Option<&CronJob>) -> Violations {
        let mut found = Violations::default();
        let spec = &new.spec;
        validate_schedule(&mut found, spec, old.map(|old| &old.spec));
        checks::not_negative(&mut found, "spec.startingDeadlineSeconds", spec.starting_deadline_seconds);
        if old.is_none_or(|old| old.spec.time_zone != spec.time_zone) {
            validate_zone(&mut found, spec.time_zone.as_deref());
        }
        match spec.concurrency_policy.as_deref().unwrap_or_default() {
            "Allow" | "Forbid" | "Replace" => {}
            "" => found.required("spec.concurrencyPolicy", ""),
            other => found.not_supported("spec.concurrencyPolicy", other, &["Allow", "Forbid", "Replace"]),
        }
        validate_template(&mut found, spec);
        for (limit, value) in [
            ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
            ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
        ] {
            checks::not_negative(&mut found, format!("spec.{limit}"), value);
        }
        let name = new.metadata.name.as_deref().unwrap_or_default();
        if old.is_none() && name.len() > NAME_MAX {
            found.invalid("metadata.name", name, format!("must be no more than {NAME_MAX} characters"));
        }
        found
    }

    fn warnings(&self, new: &CronJob) -> Vec<String> {
        let mut all = sdk_workload::name_warnings(&new.metadata);
        if let Some(spec) = &new.spec.job_template.spec {
            all.extend(job::spec_warnings(spec, "spec.jobTemplate.spec"));
        }
        if new.spec.schedule.contains("TZ") {
            all.push(
                "CRON_TZ or TZ used in spec.schedule is not officially supported, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .into(),
            );
        }
        all
    }
}

fn validate_template(found: &mut Violations, spec: &CronJobSpec) {
    const FIELD: &str = "spec.jobTemplate.spec";
    let job = spec.job_template.spec.clone().unwrap_or_default();
    job::validate_spec(found, FIELD, &job);
    if job.selector.is_some() {
        let value = serde_json::to_value(&job.selector).unwrap_or(Value::Null);
        found.invalid(format!("{FIELD}.selector"), value, "`selector` will be auto-generated");
    }
    if job.manual_selector == Some(true) {
        found.not_supported(format!("{FIELD}.manualSelector"), true, &["nil", "false"]);
    }
}

/// A zone in the schedule is only left where it was, from before there was a field for it.
fn validate_schedule(found: &mut Violations, spec: &CronJobSpec, before: Option<&CronJobSpec>) {
    const FIELD: &str = "spec.schedule";
    let text = spec.schedule.as_str();
    if text.is_empty() {
        return found.required(FIELD, "");
    }
    if let Err(why) = schedule::check(text) {
        found.invalid(FIELD, text, why);
    }
    if !text.contains("TZ") {
        return;
    }
    if before.is_none_or(|before| !before.schedule.contains("TZ")) {
        found.invalid(FIELD, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if spec.time_zone.is_some() {
        found.invalid(FIELD, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

/// Source: the naming rules of the IANA time zone database.
fn validate_zone(found: &mut Violations, zone: Option<&str>) {
    const FIELD: &str = "spec.timeZone";
    const PART_MAX: usize = 14;
    let Some(zone) = zone else { return };
    if zone.is_empty() {
        return found.invalid(FIELD, zone, "timeZone must be nil or non-empty string");
    }
    let is_part = |part: &str| {
        (1..=PART_MAX).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b))
    };
    if !zone.split('/').all(is_part) {
        found.invalid(FIELD, zone, format!("unknown time zone {zone}"));
    } else if zone.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        found.invalid(FIELD, zone, why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron(changes: Value) -> CronJob {
        let mut spec = json!({
            "schedule": "*/5 * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}],
            }}}},
        });
        for (name, value) in changes.as_object().unwrap() {
            match name.strip_prefix("job.") {
                Some(name) => spec["jobTemplate"]["spec"][name] = value.clone(),
                None => spec[name] = value.clone(),
            }
        }
        let mut cron = serde_json::from_value(json!({"metadata": {"name": "tick"}, "spec": spec})).unwrap();
        CronJobStrategy.default(&mut cron);
        cron
    }

    #[test]
    fn defaults_are_upstreams() {
        let spec = serde_json::to_value(cron(json!({})).spec).unwrap();
        for (field, value) in [
            ("concurrencyPolicy", json!("Allow")),
            ("suspend", json!(false)),
            ("successfulJobsHistoryLimit", json!(3)),
            ("failedJobsHistoryLimit", json!(1)),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
        // A Job's own defaults come when the Job is made.
        assert_eq!(spec["jobTemplate"]["spec"]["backoffLimit"], Value::Null);
    }

    #[test]
    fn specs_are_checked() {
        for (case, changes, wrong) in [
            ("plain", json!({}), vec![]),
            ("no schedule", json!({"schedule": ""}), vec!["spec.schedule"]),
            ("half a schedule", json!({"schedule": "* * *"}), vec!["spec.schedule"]),
            ("a zone in the schedule", json!({"schedule": "TZ=UTC 0 0 * * *"}), vec!["spec.schedule"]),
            ("a zone", json!({"timeZone": "Europe/Berlin"}), vec![]),
            ("this place's zone", json!({"timeZone": "local"}), vec!["spec.timeZone"]),
            ("a path", json!({"timeZone": "../../etc/passwd"}), vec!["spec.timeZone"]),
            ("a zone with a long part", json!({"timeZone": "Europe/Llanfairpwllgwyngyll"}), vec!["spec.timeZone"]),
            ("no zone", json!({"timeZone": ""}), vec!["spec.timeZone"]),
            ("an unknown policy", json!({"concurrencyPolicy": "Race"}), vec!["spec.concurrencyPolicy"]),
            (
                "a selector",
                json!({"job.selector": {"matchLabels": {"a": "b"}}}),
                vec!["spec.jobTemplate.spec.selector"],
            ),
            ("a negative limit", json!({"failedJobsHistoryLimit": -1}), vec!["spec.failedJobsHistoryLimit"]),
            ("a bad job", json!({"job.parallelism": -1}), vec!["spec.jobTemplate.spec.parallelism"]),
        ] {
            assert_eq!(CronJobStrategy.validate(&cron(changes), None).fields(), wrong, "{case}");
        }
        let zoned = cron(json!({"schedule": "CRON_TZ=UTC 0 0 * * *"}));
        for (case, changes, wrong) in [
            ("the zone stays", json!({"schedule": "CRON_TZ=UTC 1 0 * * *"}), vec![]),
            ("two zones", json!({"schedule": "TZ=UTC 1 0 * * *", "timeZone": "Etc/UTC"}), vec!["spec.schedule"]),
            ("a zone and nonsense", json!({"schedule": "TZ=UTC 99 0 * * *"}), vec!["spec.schedule"]),
        ] {
            assert_eq!(CronJobStrategy.validate(&cron(changes), Some(&zoned)).fields(), wrong, "{case}");
        }
        let mut long = cron(json!({}));
        long.metadata.name = Some("x".repeat(53));
        assert_eq!(CronJobStrategy.validate(&long, None).fields(), ["metadata.name"]);
    }
}
