//! The shortest way to a plugin: a function call. Built-in plugins and tests take it.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Control, Descriptor, Fault, FaultCode, Frame, Outcome, Reply, Transport};

type Steps = dyn Fn(&Control) -> Result<Bytes, Fault> + Send + Sync;

/// A transport that calls a function in the same process.
pub struct Local<F> {
    dispatch: F,
    steps: Option<Box<Steps>>,
}

impl<F> Local<F>
where
    F: Fn(Frame<'_>) -> Result<Reply, Fault> + Send + Sync + 'static,
{
    /// Frames go to `dispatch`; every step of its life succeeds, and it has no descriptor.
    pub fn new(dispatch: F) -> Self {
        Self { dispatch, steps: None }
    }

    /// The same with an answer to each step of its life.
    pub fn with_steps(dispatch: F, steps: impl Fn(&Control) -> Result<Bytes, Fault> + Send + Sync + 'static) -> Self {
        Self { dispatch, steps: Some(Box::new(steps)) }
    }
}

impl<F> Transport for Local<F>
where
    F: Fn(Frame<'_>) -> Result<Reply, Fault> + Send + Sync + 'static,
{
    fn call<'a>(&'a self, frame: Frame<'a>) -> Outcome<'a> {
        Outcome::Ready((self.dispatch)(frame))
    }

    fn control<'a>(&'a self, control: &'a Control) -> BoxFuture<'a, Result<Bytes, Fault>> {
        let answer = match (&self.steps, control) {
            (Some(steps), control) => steps(control),
            (None, Control::Describe) => Err(Fault::new(FaultCode::Unimplemented, "it has no descriptor")),
            (None, _) => Ok(Bytes::from_static(b"null")),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// The answer to [`Control::Describe`].
pub fn described(descriptor: &Descriptor) -> Result<Bytes, Fault> {
    crate::point::encode(descriptor).map(Bytes::from)
}
