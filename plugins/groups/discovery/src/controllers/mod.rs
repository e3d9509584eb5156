//! The controllers of the `discovery` group, one file each.

mod endpoint_slice;

use sdk_plugin::Tables;

pub fn register(tables: &mut Tables) {
    tables.controller(endpoint_slice::EndpointSliceController);
}
