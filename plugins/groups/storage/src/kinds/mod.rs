//! The kinds of `storage.k8s.io`, one file each.

pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
mod drivers;
pub mod storage_class;
pub mod volume_attachment;
pub mod volume_attributes_class;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(storage_class::kind());
    tables.kind(volume_attributes_class::kind());
    tables.kind(volume_attachment::kind());
    tables.kind(csi_driver::kind());
    tables.kind(csi_node::kind());
    tables.kind(csi_storage_capacity::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "storage.k8s.io/v1 storageclasses cluster sc",
            "storage.k8s.io/v1 volumeattributesclasses cluster vac",
            "storage.k8s.io/v1 volumeattachments cluster /status",
            "storage.k8s.io/v1 csidrivers cluster",
            "storage.k8s.io/v1 csinodes cluster",
            "storage.k8s.io/v1 csistoragecapacities namespaced",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["storage.k8s.io"]), Vec::<String>::new());
    }
}
