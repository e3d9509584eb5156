//! What the kernel tells a plugin about its life, beside the calls of its points.

use serde::Deserialize;
use serde_json::Value;

/// A step of a plugin's life. Crosses as its number and a JSON argument; the answer is JSON, too.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// Answers with the [`Descriptor`](crate::Descriptor). Before `Configure`, and without side effects.
    Describe,
    /// The configuration, checked against the descriptor's schema; secrets beside it by name. A refusal is a message for
    /// whoever wrote it.
    Configure { config: Value, secrets: Vec<(String, String)> },
    /// May take long; calls come after it.
    Start,
    /// Answers `null` when well, or a fault.
    Health,
    /// No new calls come; those under way may end.
    Drain,
    /// Everything is to be let go of.
    Stop,
}

impl Control {
    pub fn number(&self) -> u32 {
        match self {
            Self::Describe => 1,
            Self::Configure { .. } => 2,
            Self::Start => 3,
            Self::Health => 4,
            Self::Drain => 5,
            Self::Stop => 6,
        }
    }

    /// The JSON argument that crosses.
    pub fn argument(&self) -> Vec<u8> {
        match self {
            Self::Configure { config, secrets } => {
                serde_json::json!({ "config": config, "secrets": secrets }).to_string().into_bytes()
            }
            _ => b"null".to_vec(),
        }
    }

    /// The other way round; `None` if the number is unknown or the argument is not the number's.
    pub fn parse(number: u32, argument: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Configure {
            config: Value,
            #[serde(default)]
            secrets: Vec<(String, String)>,
        }
        Some(match number {
            1 => Self::Describe,
            2 => {
                let Configure { config, secrets } = serde_json::from_slice(argument).ok()?;
                Self::Configure { config, secrets }
            }
            3 => Self::Start,
            4 => Self::Health,
            5 => Self::Drain,
            6 => Self::Stop,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_step_crosses() {
        let secrets = vec![("token".to_owned(), "x".to_owned())];
        let configure = Control::Configure { config: json!({ "a": 1 }), secrets };
        for step in [Control::Describe, configure, Control::Start, Control::Health, Control::Drain, Control::Stop] {
            assert_eq!(Control::parse(step.number(), &step.argument()), Some(step));
        }
        assert_eq!(Control::parse(0, b"null"), None);
        assert_eq!(Control::parse(2, b"null"), None, "a configuration without its document");
    }
}
