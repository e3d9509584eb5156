//! `PriorityLevelConfiguration`: a share of the server's concurrency, and its queues.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{LimitResponse, PriorityLevelConfiguration, QueuingConfiguration};
use sdk_api::{Violations, checks};
use sdk_plugin::cells::{NONE, int_or_string};
use sdk_plugin::column::at_path;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Type", ".spec.type"),
    Column::compute("NominalConcurrencyShares", |level, _| {
        let limited = &level["spec"]["limited"]["nominalConcurrencyShares"];
        int_or_string(limited)
            .or_else(|| int_or_string(&level["spec"]["exempt"]["nominalConcurrencyShares"]))
            .unwrap_or_else(|| NONE.into())
            .into()
    }),
    Column::compute("Queues", |level, _| queuing(level, "queues")),
    Column::compute("HandSize", |level, _| queuing(level, "handSize")),
    Column::compute("QueueLengthLimit", |level, _| queuing(level, "queueLengthLimit")),
    Column::AGE,
];

fn queuing(level: &Value, field: &str) -> Value {
    let queuing = at_path(level, ".spec.limited.limitResponse.queuing");
    int_or_string(&queuing[field]).unwrap_or_else(|| NONE.into()).into()
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(PriorityLevelStrategy).columns(COLUMNS).status().generation().revision_required()
}

struct PriorityLevelStrategy;
impl Strategy for PriorityLevelStrategy {
    type Object = PriorityLevelConfiguration;

    fn default(&self, level: &mut PriorityLevelConfiguration) {
        let Some(spec) = &mut level.spec else { return };
        match spec.type_.as_str() {
            "Exempt" => {
                let exempt = spec.exempt.get_or_insert_default();
                exempt.nominal_concurrency_shares.get_or_insert(0);
                exempt.lendable_percent.get_or_insert(0);
            }
            "Limited" => {
                let limited = spec.limited.get_or_insert_default();
                limited.nominal_concurrency_shares.get_or_insert(30);
                limited.lendable_percent.get_or_insert(0);
                let response = limited
                    .limit_response
                    .get_or_insert_with(|| LimitResponse { type_: "Reject".into(), ..LimitResponse::default() });
                if let Some(queuing) = &mut response.queuing {
                    default_queuing(queuing);
                }
            }
            _ => {}
        }
    }

    fn validate(&self, new: &PriorityLevelConfiguration, _old: Option<&PriorityLevelConfiguration>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        match spec.type_.as_str() {
            "Exempt" if spec.limited.is_some() => {
                found.forbidden("spec.limited", "must be nil if the type is not Limited");
            }
            "Limited" if spec.exempt.is_some() => {
                found.forbidden("spec.exempt", "must be nil if the type is Limited");
            }
            "Limited" => {
                let Some(limited) = &spec.limited else {
                    found.required("spec.limited", "must not be empty when type is Limited");
                    return found;
                };
                let shares = limited.nominal_concurrency_shares;
                checks::not_negative(&mut found, "spec.limited.nominalConcurrencyShares", shares);
                let response = limited.limit_response.as_ref();
                match (response.map(|r| r.type_.as_str()), response.and_then(|r| r.queuing.as_ref())) {
                    (Some("Reject"), Some(_)) => found.forbidden(
                        "spec.limited.limitResponse.queuing",
                        "must be nil if limited.limitResponse.type is not Limited",
                    ),
                    (Some("Queue"), None) => found.required(
                        "spec.limited.limitResponse.queuing",
                        "must not be empty if limited.limitResponse.type is Limited",
                    ),
                    (Some("Reject" | "Queue") | None, _) => {}
                    (Some(other), _) => {
                        found.not_supported("spec.limited.limitResponse.type", other, &["Queue", "Reject"]);
                    }
                }
            }
            "Exempt" => {}
            other => found.not_supported("spec.type", other, &["Exempt", "Limited"]),
        }
        found
    }
}

fn default_queuing(queuing: &mut QueuingConfiguration) {
    queuing.hand_size.get_or_insert(8);
    queuing.queues.get_or_insert(64);
    queuing.queue_length_limit.get_or_insert(50);
}
