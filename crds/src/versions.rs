//! The order of versions: GA before beta before alpha, then the larger number, then everything else by name.

/// The larger rank comes first. Source: `k8s.io/apimachinery/pkg/version`, `CompareKubeAwareVersionStrings`.
pub fn rank(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let other = || (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let Some(numbers) = version.strip_prefix('v') else { return other() };
    let (stage, major, minor) = match (numbers.split_once("beta"), numbers.split_once("alpha")) {
        (Some((major, minor)), _) => (2, major, minor),
        (_, Some((major, minor))) => (1, major, minor),
        _ => (3, numbers, "0"),
    };
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (stage, major, minor, std::cmp::Reverse(String::new())),
        _ => other(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_have_an_order() {
        let mut all = ["foo1", "v11alpha2", "v3beta1", "v10", "v2", "v12alpha1", "v10beta3", "v11beta2", "foo10", "v1"];
        all.sort_by_key(|version| std::cmp::Reverse(super::rank(version)));
        assert_eq!(
            all,
            ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
        );
    }
}
