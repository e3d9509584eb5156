//! The kinds of `autoscaling`, one file each.

mod annotations_v1;
pub mod horizontal_pod_autoscaler;
pub mod horizontal_pod_autoscaler_v1;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(horizontal_pod_autoscaler::kind());
    tables.kind(horizontal_pod_autoscaler_v1::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "autoscaling/v2 horizontalpodautoscalers namespaced hpa in all /status",
            "autoscaling/v1 horizontalpodautoscalers namespaced hpa in all /status",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["autoscaling"]), Vec::<String>::new());
    }
}
