//! `PriorityLevelConfiguration`: a share of the server's concurrency, and its queues.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{
    LimitResponse, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration, PriorityLevelConfigurationSpec,
    QueuingConfiguration,
};
use sdk_api::{Violations, checks};
use sdk_plugin::cells::{NONE, int_or_string};
use sdk_plugin::column::at_path;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::{Value, json};

use super::rules;
use crate::bootstrap::{self, EXEMPT, is_mandatory};

/// Source: `priorityLevelConfigurationQueuingMaxQueues`.
const QUEUES_MAX: i32 = 10_000_000;
/// How many bits of a flow's hash deal its hand. Source: `MaxHashBits` of shuffle sharding.
const HASH_BITS: u32 = 60;

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

pub(crate) struct PriorityLevelStrategy;
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
        let name = new.metadata.name.as_deref().unwrap_or_default();
        check_spec(&mut found, name, spec);
        let fixed = bootstrap::levels().into_iter().find(|fixed| fixed.metadata.name.as_deref() == Some(name));
        if let Some(mut fixed) = fixed.and_then(|fixed| fixed.spec).filter(|_| is_mandatory(name)) {
            let but = if name == EXEMPT { " except the 'spec.exempt' field" } else { "" };
            if name == EXEMPT {
                fixed.exempt.clone_from(&spec.exempt);
            }
            if fixed != *spec {
                found.invalid("spec", json!(spec), format_args!("spec of '{name}'{but} must equal the fixed value"));
            }
        }
        check_status(&mut found, new);
        found
    }

    fn validate_status(&self, new: &PriorityLevelConfiguration, _old: &PriorityLevelConfiguration) -> Violations {
        let mut found = Violations::default();
        check_status(&mut found, new);
        found
    }
}

fn check_spec(found: &mut Violations, name: &str, spec: &PriorityLevelConfigurationSpec) {
    let kind = spec.type_.as_str();
    if (name == EXEMPT) != (kind == "Exempt") {
        found.invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'");
    }
    match (kind, &spec.exempt, &spec.limited) {
        ("Exempt", exempt, limited) => {
            if limited.is_some() {
                found.forbidden("spec.limited", "must be nil if the type is not Limited");
            }
            if let Some(exempt) = exempt {
                let at = "spec.exempt";
                checks::not_negative(
                    found,
                    format!("{at}.nominalConcurrencyShares"),
                    exempt.nominal_concurrency_shares,
                );
                check_percent(found, at, exempt.lendable_percent);
            }
        }
        ("Limited", Some(_), _) => found.forbidden("spec.exempt", "must be nil if the type is Limited"),
        ("Limited", None, None) => found.required("spec.limited", "must not be empty when type is Limited"),
        ("Limited", None, Some(limited)) => check_limited(found, limited),
        (other, ..) => found.not_supported("spec.type", other, &["Exempt", "Limited"]),
    }
}

fn check_limited(found: &mut Violations, limited: &LimitedPriorityLevelConfiguration) {
    let at = "spec.limited";
    checks::not_negative(found, format!("{at}.nominalConcurrencyShares"), limited.nominal_concurrency_shares);
    check_percent(found, at, limited.lendable_percent);
    if let Some(percent) = limited.borrowing_limit_percent.filter(|percent| *percent < 0) {
        found.invalid(
            format_args!("{at}.borrowingLimitPercent"),
            percent,
            "if specified, must be a non-negative integer",
        );
    }
    let response = limited.limit_response.as_ref();
    let kind = response.map_or("Reject", |response| response.type_.as_str());
    match (kind, response.and_then(|response| response.queuing.as_ref())) {
        ("Reject", Some(_)) => found.forbidden(
            "spec.limited.limitResponse.queuing",
            "must be nil if limited.limitResponse.type is not Limited",
        ),
        ("Queue", None) => found.required(
            "spec.limited.limitResponse.queuing",
            "must not be empty if limited.limitResponse.type is Limited",
        ),
        ("Queue", Some(queuing)) => check_queuing(found, queuing),
        ("Reject", None) => {}
        (other, _) => found.not_supported("spec.limited.limitResponse.type", other, &["Queue", "Reject"]),
    }
}

fn check_percent(found: &mut Violations, at: &str, percent: Option<i32>) {
    if let Some(percent) = percent.filter(|percent| !(0..=100).contains(percent)) {
        found.invalid(format_args!("{at}.lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn check_queuing(found: &mut Violations, queuing: &QueuingConfiguration) {
    let at = |field: &str| format!("spec.limited.limitResponse.queuing.{field}");
    let length = queuing.queue_length_limit.unwrap_or(0);
    if length <= 0 {
        found.invalid(at("queueLengthLimit"), length, "must be positive");
    }
    let (queues, hand) = (queuing.queues.unwrap_or(0), queuing.hand_size.unwrap_or(0));
    if queues <= 0 {
        found.invalid(at("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        found.invalid(at("queues"), queues, format_args!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        found.invalid(at("handSize"), hand, "must be positive");
    } else if hand > queues {
        found.invalid(at("handSize"), hand, format_args!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        found.invalid(at("handSize"), hand, why);
    }
}

/// How many bits of a hash it takes to deal any hand.
fn entropy_bits(deck: i32, hand: i32) -> u32 {
    let bits: f64 = (0..hand).map(|dealt| f64::from(deck - dealt).log2()).sum();
    bits.ceil() as u32
}

fn check_status(found: &mut Violations, level: &PriorityLevelConfiguration) {
    let conditions = level.status.as_ref().and_then(|status| status.conditions.as_ref());
    let types = conditions.into_iter().flatten().map(|condition| condition.type_.as_deref().unwrap_or_default());
    rules::check_condition_types(found, types);
}

fn default_queuing(queuing: &mut QueuingConfiguration) {
    queuing.hand_size.get_or_insert(8);
    queuing.queues.get_or_insert(64);
    queuing.queue_length_limit.get_or_insert(50);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        let queue = |queues: i32, hand: i32, length: i32| {
            let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": length});
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}})
        };
        let limited = |limited: Value| json!({"type": "Limited", "limited": limited});
        const QUEUING: &str = "spec.limited.limitResponse.queuing";
        let queuing = |field: &str| format!("{QUEUING}.{field}");
        for (case, name, spec, wrong) in [
            ("plain", "a", limited(json!({})), vec![]),
            ("queues", "a", queue(128, 6, 50), vec![]),
            ("exempt by another name", "a", json!({"type": "Exempt"}), vec!["spec.type".to_owned()]),
            ("exempt", "exempt", json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 9}}), vec![]),
            ("not exempt", "exempt", limited(json!({})), vec!["spec.type".into(), "spec".into()]),
            ("neither", "a", json!({"type": "Both"}), vec!["spec.type".into()]),
            (
                "negative shares",
                "a",
                limited(json!({"nominalConcurrencyShares": -1})),
                vec!["spec.limited.nominalConcurrencyShares".into()],
            ),
            (
                "lends more than all",
                "a",
                limited(json!({"lendablePercent": 101})),
                vec!["spec.limited.lendablePercent".into()],
            ),
            (
                "borrows less than nothing",
                "a",
                limited(json!({"borrowingLimitPercent": -1})),
                vec!["spec.limited.borrowingLimitPercent".into()],
            ),
            ("no length", "a", queue(64, 6, 0), vec![queuing("queueLengthLimit")]),
            ("too many queues", "a", queue(10_000_001, 1, 50), vec![queuing("queues")]),
            ("a hand larger than the deck", "a", queue(4, 5, 50), vec![queuing("handSize")]),
            ("a hand beyond the hash", "a", queue(512, 8, 50), vec![queuing("handSize")]),
            ("no queues", "a", limited(json!({"limitResponse": {"type": "Queue"}})), vec![QUEUING.into()]),
            (
                "another response",
                "a",
                limited(json!({"limitResponse": {"type": "Wait"}})),
                vec!["spec.limited.limitResponse.type".into()],
            ),
            ("catch-all is fixed", "catch-all", limited(json!({"nominalConcurrencyShares": 6})), vec!["spec".into()]),
        ] {
            let document = json!({"metadata": {"name": name}, "spec": spec});
            let mut level: PriorityLevelConfiguration = serde_json::from_value(document).unwrap();
            if case != "no queues" {
                PriorityLevelStrategy.default(&mut level);
            }
            assert_eq!(PriorityLevelStrategy.validate(&level, None).fields(), wrong, "{case}");
        }
    }
}
