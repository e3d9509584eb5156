//! Conflicts between appliers, and the answer that tells of them.

use sdk_api::{Cause, Details, Reason, Status};
use sdk_schema::fields::Set;

/// The fields that an apply would change although others own them, with their owners as messages name them.
#[derive(Debug, Default)]
pub struct Conflicts(Vec<(String, Set)>);

impl Conflicts {
    pub fn add(&mut self, owner: String, fields: Set) {
        if !fields.is_empty() {
            self.0.push((owner, fields));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conflicts about other fields.
    pub fn without(self, allowed: &Set) -> Self {
        let rest = self.0.into_iter().map(|(owner, fields)| (owner, fields.difference(allowed)));
        Self(rest.filter(|(_, fields)| !fields.is_empty()).collect())
    }
}

impl From<Conflicts> for Status {
    fn from(Conflicts(mut conflicts): Conflicts) -> Self {
        conflicts.sort_by(|(a, _), (b, _)| a.cmp(b));
        let paths: Vec<(&str, String)> = conflicts
            .iter()
            .flat_map(|(owner, fields)| fields.paths().into_iter().map(move |path| (&**owner, path)))
            .collect();
        let message = match &paths[..] {
            [(owner, path)] => format!("Apply failed with 1 conflict: conflict with {owner}: {path}"),
            many => {
                let mut lines = Vec::new();
                let mut before = "";
                for (owner, path) in many {
                    if *owner != before {
                        lines.push(format!("conflicts with {owner}:"));
                        before = owner;
                    }
                    lines.push(format!("- {path}"));
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let causes = paths.iter().map(|(owner, path)| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {owner}"),
            field: path.clone(),
        });
        let mut status = Self::new(409, Reason::Conflict, message);
        status.details = Some(Box::new(Details { causes: causes.collect(), ..Details::default() }));
        status
    }
}
