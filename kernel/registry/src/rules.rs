//! What is wrong with an object that is written whole: the rules of its kind, and those of the version it came through.

use sdk_api::{Status, Violations};
use sdk_plugin::{Kind, Laid};
use serde_json::Value;

/// Asks the strategy of the stored version, and then that of `kind`, if that is a version which is stored as another and
/// has more to say (events of `events.k8s.io` are judged more strictly than those of the core group). Both see the stored
/// form.
pub fn judge(
    kind: &Kind,
    hub: &Kind,
    new: &Value,
    old: Option<&Value>,
    laid: &mut Laid,
) -> Result<Violations, Status> {
    let mut found = hub.strategy.validate_in(new, old, laid)?;
    if kind.stored_as.as_ref().is_some_and(|stored| !stored.own_rules) {
        found.extend(kind.strategy.validate(new, old)?);
    }
    Ok(found)
}
