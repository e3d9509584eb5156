//! The way to a plugin. Built in, native, wasm and remote plugins differ in what implements this, and in nothing else.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Control, Fault, Frame, Reply};

/// The way to one generation of a plugin.
pub trait Transport: Send + Sync + 'static {
    /// Makes a call. The deadline in the frame's meta is kept by the caller as well: dropping what is returned gives the
    /// call up.
    fn call<'a>(&'a self, frame: Frame<'a>) -> Outcome<'a>;
    /// A step of the plugin's life; the answer is JSON.
    fn control<'a>(&'a self, control: &'a Control) -> BoxFuture<'a, Result<Bytes, Fault>>;
}

/// The answer of a call that needed no waiting, or the wait.
pub enum Outcome<'a> {
    Ready(Result<Reply, Fault>),
    Later(BoxFuture<'a, Result<Reply, Fault>>),
}

impl Outcome<'_> {
    pub async fn wait(self) -> Result<Reply, Fault> {
        match self {
            Self::Ready(result) => result,
            Self::Later(future) => future.await,
        }
    }
}
