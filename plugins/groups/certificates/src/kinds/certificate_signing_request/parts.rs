//! `approval` and `status`: who approves writes the conditions, who signs writes the rest. Source: API reference,
//! "CertificateSigningRequest".

use std::sync::Arc;

use sdk_api::{Clock, Status, time};
use sdk_plugin::{Part, PartOf};
use serde_json::Value;

const VERDICTS: [&str; 2] = ["Approved", "Denied"];

/// Who approves or denies writes the conditions alone.
pub struct Approval(pub Arc<dyn Clock>);

impl Part for Approval {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let before = object["status"]["conditions"].clone();
        PartOf { fields: &[], metadata: true }.write(object, new)?;
        match new["status"].get("conditions") {
            Some(conditions) => object["status"]["conditions"] = conditions.clone(),
            None => drop(object["status"].as_object_mut().and_then(|status| status.remove("conditions"))),
        }
        date(object, &before, &self.0);
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        let metadata = PartOf { fields: &[], metadata: true }.writes();
        metadata.into_iter().chain(["status.conditions".into()]).collect()
    }
}

/// The signer writes the certificate and other conditions. Verdicts stay as they are; that none comes or goes is for
/// validation.
pub struct Signed(pub Arc<dyn Clock>);

impl Part for Signed {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let before = object["status"]["conditions"].clone();
        PartOf { fields: &["status"], metadata: true }.write(object, new)?;
        for verdict in VERDICTS {
            keep(object, &before, verdict);
        }
        date(object, &before, &self.0);
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        PartOf { fields: &["status"], metadata: true }.writes()
    }
}

fn is_of(condition: &Value, kind: &str) -> bool {
    condition["type"] == kind
}

/// Puts the stored conditions of a type in the place of the new ones, if there are as many.
fn keep(object: &mut Value, before: &Value, kind: &str) {
    let known: Vec<_> = before.as_array().into_iter().flatten().filter(|condition| is_of(condition, kind)).collect();
    let list = object["status"].get_mut("conditions").and_then(Value::as_array_mut);
    let new: Vec<_> = list.into_iter().flatten().filter(|condition| is_of(condition, kind)).collect();
    if known.len() == new.len() {
        for (new, known) in new.into_iter().zip(known) {
            *new = known.clone();
        }
    }
}

/// Says of conditions that do not say so when they came; one that is there already keeps its time.
fn date(object: &mut Value, before: &Value, clock: &Arc<dyn Clock>) {
    let now = time::rfc3339(clock.now());
    let Some(list) = object["status"].get_mut("conditions").and_then(Value::as_array_mut) else { return };
    for condition in list {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.as_str().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let same = |known: &&Value| {
                known["type"] == condition["type"]
                    && known["status"] == condition["status"]
                    && !known["lastTransitionTime"].is_null()
            };
            let since =
                before.as_array().into_iter().flatten().find(same).map(|known| known["lastTransitionTime"].clone());
            condition["lastTransitionTime"] = since.unwrap_or_else(|| now.as_str().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::ManualClock;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_part_writes_its_own() {
        let clock = ManualClock::new();
        let now = time::rfc3339(clock.now());
        let dated = |kind: &str, message: &str| json!({"type": kind, "status": "True", "message": message, "lastUpdateTime": now, "lastTransitionTime": now});
        let plain = |kind: &str, message: &str| json!({"type": kind, "status": "True", "message": message});
        let mut stored = json!({"metadata": {}, "spec": {"signerName": "s"}, "status": {}});
        let new = json!({
            "metadata": {"labels": {"a": "b"}}, "spec": {"signerName": "x"},
            "status": {"conditions": [plain("Approved", "fine")], "certificate": "stolen"},
        });
        Approval(clock.clone()).write(&mut stored, &new).unwrap();
        assert_eq!(
            stored,
            json!({
                "metadata": {"labels": {"a": "b"}}, "spec": {"signerName": "s"},
                "status": {"conditions": [dated("Approved", "fine")]},
            })
        );
        let signed = json!({"metadata": {}, "status": {
            "certificate": "Yw==", "conditions": [plain("Approved", "changed"), plain("Failed", "no")],
        }});
        Signed(clock.clone()).write(&mut stored, &signed).unwrap();
        let conditions = json!([dated("Approved", "fine"), dated("Failed", "no")]);
        assert_eq!(stored["status"], json!({"certificate": "Yw==", "conditions": conditions}));
        // A verdict that is missing stays missing, and validation refuses it.
        Signed(clock).write(&mut stored, &json!({"metadata": {}, "status": {"conditions": []}})).unwrap();
        assert_eq!(stored["status"]["conditions"], json!([]));
    }
}
