//! The extension points: a file each, with the heads that cross and the numbers that never change.

pub mod admission;
pub mod audit;
pub mod authenticator;
pub mod authorizer;
pub mod controller;
pub mod conversion;
pub mod host;
pub mod policy;
pub mod scheduler;
mod shared;

pub use admission::{Admission, dispatch as dispatch_admission};
pub use audit::{AuditSink, dispatch as dispatch_audit};
pub use authenticator::{Authenticator, dispatch as dispatch_authenticator};
pub use authorizer::{Authorizer, dispatch as dispatch_authorizer};
pub use controller::{Controller, dispatch as dispatch_controller};
pub use conversion::{Conversion, dispatch as dispatch_conversion};
pub use policy::{PolicyEngine, dispatch as dispatch_policy};
pub use scheduler::{SchedulerPlugin, dispatch as dispatch_scheduler};
pub use shared::{Done, GroupVersionKind, GroupVersionResource, ObjectRef, Status, UserInfo};

use crate::Point;

/// The points that plugins implement.
pub const POINTS: &[Point] = &[
    authenticator::POINT,
    authorizer::POINT,
    admission::POINT,
    policy::POINT,
    conversion::POINT,
    scheduler::POINT,
    controller::POINT,
    audit::POINT,
];

/// A point that plugins implement, by its name in descriptors and bindings.
pub fn point(name: &str) -> Option<&'static Point> {
    POINTS.iter().find(|point| point.name == name)
}

/// The same by its number.
pub fn point_of_number(number: u16) -> Option<&'static Point> {
    POINTS.iter().find(|point| point.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_given_once() {
        let all: Vec<_> = POINTS.iter().chain([&host::client::POINT, &host::events::POINT]).collect();
        for (place, a) in all.iter().enumerate() {
            for b in &all[place + 1..] {
                assert!(a.number != b.number && a.name != b.name, "{} and {}", a.name, b.name);
            }
            for (place, method) in a.methods.iter().enumerate() {
                assert!((1..64).contains(&method.0), "{}.{}: a bit of the bitmap", a.name, method.1);
                assert!(a.methods[place + 1..].iter().all(|other| other.0 != method.0), "{}.{}", a.name, method.1);
            }
        }
        assert_eq!(point("admission").map(|point| point.number), Some(3));
        assert_eq!(point_of_number(8).map(|point| point.name), Some("audit"));
        assert_eq!((point("network"), point_of_number(0x100)), (None, None));
    }
}
