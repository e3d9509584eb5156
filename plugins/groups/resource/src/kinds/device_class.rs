//! `DeviceClass`: a named choice of devices.

use sdk_api::k8s_openapi::api::resource::v1::DeviceClass;
use sdk_plugin::Kind;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<DeviceClass>().generation()
}
