//! What is wrong with an object: the rules of its kind, and those of the version it came through.

use sdk_api::{Status, Violations};
use sdk_plugin::{Kind, Laid};
use serde_json::Value;

/// Asks the strategy of the stored version about an object that is written whole, and then that of `kind`, if that is a
/// version which is stored as another and has more to say (events of `events.k8s.io` are judged more strictly than those
/// of the core group). Both see the stored form. A version with rules of its own judges alone, in its own form.
pub fn judge(kind: &Kind, hub: &Kind, new: &Value, old: Option<&Value>, laid: &mut Laid) -> Result<Violations, Status> {
    if let Some(found) = own_rules(kind, new, old) {
        return found;
    }
    let mut found = hub.strategy.validate_in(new, old, laid)?;
    if kind.stored_as.is_some() {
        found.extend(kind.strategy.validate(new, old)?);
    }
    Ok(found)
}

/// Asks about a part that is written through its subresource.
pub fn judge_part(kind: &Kind, hub: &Kind, part: &str, new: &Value, old: &Value) -> Result<Violations, Status> {
    if let Some(found) = own_rules(kind, new, Some(old)) {
        return found;
    }
    match part {
        "status" => hub.strategy.validate_status(new, old),
        part => hub.strategy.validate_part(part, new, old),
    }
}

/// The verdict of a version that judges alone; `None` if `kind` is none.
fn own_rules(kind: &Kind, new: &Value, old: Option<&Value>) -> Option<Result<Violations, Status>> {
    let stored = kind.stored_as.as_ref().filter(|stored| stored.own_rules)?;
    let back = |document: &Value| {
        let mut shown = document.clone();
        (stored.from_stored)(&mut shown);
        shown
    };
    Some(kind.strategy.validate(&back(new), old.map(back).as_ref()))
}
