//! What everybody speaks: objects, keys, selectors, quantities, `Status`, `Violations`, the clock.

pub mod checks;
pub mod clock;
pub mod conditions;
pub mod domains;
pub mod names;
pub mod object;
pub mod quantity;
pub mod resource;
pub mod selector;
pub mod status;
pub mod time;
mod views;
pub mod violations;

pub use clock::{Clock, SystemClock};
pub use jiff::Timestamp;
pub use k8s_openapi;
pub use object::{Key, Meta, Object, OwnerRef};
pub use quantity::Quantity;
pub use resource::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, Scope, Typed};
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Cause, Details, Reason, Status};
pub use violations::{Violation, Violations};
