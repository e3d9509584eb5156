//! What crosses a plugin's boundary, whatever the transport: frames, faults, controls, the descriptor, and the extension
//! points with their heads.

pub mod control;
pub mod descriptor;
pub mod fault;
pub mod frame;
pub mod local;
pub mod point;
pub mod points;
pub mod transport;

pub use bytes::Bytes;
pub use control::Control;
pub use descriptor::{Descriptor, ExecHints, Mode, Permissions, PointOffer, ResourceRule};
pub use fault::{Fault, FaultCode};
pub use frame::{Blobs, CallMeta, Frame, MethodId, OwnedFrame, Reply};
pub use point::Point;
pub use transport::{Outcome, Transport};
