//! Why a call has no answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of failure, for whoever decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum FaultCode {
    /// The frame makes no sense to the receiver.
    Invalid = 1,
    /// A method that is not offered; a normal answer.
    Unimplemented,
    /// A host call that was not granted.
    Denied,
    Conflict,
    NotFound,
    /// A limit of the plugin: calls in flight, payload, log lines.
    Exhausted,
    /// Not there now: absent, starting, paused, quarantined, disconnected.
    Unavailable,
    Deadline,
    Cancelled,
    /// The plugin says that it failed.
    Internal,
    /// The plugin panicked, trapped or died in the middle of the call.
    Crashed,
    /// No common version.
    Incompatible,
}

impl FaultCode {
    /// The code of a number; unknown numbers are `Internal`.
    pub fn of(number: u8) -> Self {
        use FaultCode::*;
        let all = [
            Invalid,
            Unimplemented,
            Denied,
            Conflict,
            NotFound,
            Exhausted,
            Unavailable,
            Deadline,
            Cancelled,
            Internal,
            Crashed,
            Incompatible,
        ];
        all.into_iter().find(|code| *code as u8 == number).unwrap_or(Internal)
    }
}

/// A typed failure of a call. The kernel names plugin, deadline and failure policy around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Fault {
    pub code: FaultCode,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// Whatever a program could use, by code.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
}

impl Fault {
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, details: serde_json::Value::Null }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(|ms| Duration::from_millis(ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for number in 1..=12 {
            assert_eq!(FaultCode::of(number) as u8, number);
        }
        assert_eq!((FaultCode::of(0), FaultCode::of(99)), (FaultCode::Internal, FaultCode::Internal));
    }
}
