//! What crosses a plugin's boundary, whatever the transport: frames, faults, controls and the descriptor.

pub mod control;
pub mod descriptor;
pub mod fault;
pub mod frame;
pub mod transport;

pub use control::Control;
pub use descriptor::{Descriptor, ExecHints, Mode, Permissions, PointOffer, ResourceRule};
pub use fault::{Fault, FaultCode};
pub use frame::{Blobs, CallMeta, Frame, MethodId, OwnedFrame, Reply};
pub use transport::{Outcome, Transport};
