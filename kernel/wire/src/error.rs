//! Why bytes are no document, in upstream's words.

use sdk_api::{GroupVersionKind, Status};

use crate::identity::summary;

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Malformed JSON: `unexpected end of JSON input`, `invalid character '}' looking for beginning of value`.
    #[error("{0}")]
    Json(String),
    /// Malformed YAML: `yaml: line 3: did not find expected key`.
    #[error("{0}")]
    Yaml(String),
    /// Malformed protobuf: `unexpected EOF`, `proto: integer overflow`.
    #[error("{words}")]
    Protobuf {
        words: String,
        /// What the envelope names, once it could be read.
        kind: Option<Box<GroupVersionKind>>,
    },
    /// Deeper than [`crate::DEPTH_MAX`].
    #[error("exceeded max depth")]
    TooDeep,
}

impl WireError {
    /// The error with the kind of the object that it was found in.
    pub(crate) fn of_kind(self, gvk: &GroupVersionKind) -> Self {
        match self {
            Self::Protobuf { words, kind: None } => Self::Protobuf { words, kind: Some(Box::new(gvk.clone())) },
            other => other,
        }
    }

    /// The answer to a request whose body was meant to be an object of kind `expected`.
    pub fn status(&self, expected: &str, body: &[u8]) -> Status {
        let words = match self {
            Self::Json(_) | Self::TooDeep => format!("couldn't get version/kind; json parse error: {self}"),
            Self::Protobuf { words, kind: Some(found) } => {
                let (kind, version) = (&found.kind, &found.version);
                return Status::bad_request(format!(
                    "{kind} in version {version:?} cannot be handled as a {expected}: {words}"
                ));
            }
            Self::Yaml(_) | Self::Protobuf { .. } => self.to_string(),
        };
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {expected}): {words} ({})",
            summary(body)
        ))
    }

    /// The answer to a request whose body was meant to be a patch.
    pub fn patch_status(&self) -> Status {
        Status::bad_request(format!("error decoding patch: {self}"))
    }
}
