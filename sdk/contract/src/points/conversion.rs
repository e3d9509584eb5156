//! Conversion: a plugin turns objects of one API version into another. Pure, and total for the pairs it declares.

use serde::{Deserialize, Serialize};

use super::Status;

/// A batch; the blobs are the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConvertRequest {
    /// Such as `example.com/v2`.
    pub desired_api_version: String,
}

/// The blobs are the objects, in the same order. Where `failure` is set there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Converted {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Status>,
}

crate::extension_point! {
    /// Converts objects.
    pub trait Conversion: 5, "conversion", versions 1..=1, vectors "../../vectors/conversion.json" {
        /// Converts a batch.
        1 idempotent convert(ConvertRequest) -> Converted;
    }
}
