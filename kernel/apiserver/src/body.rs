//! Bodies: read within bounds, written whole or as a stream.

use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use sdk_api::Status;

/// Why a body broke off; the connection then ends too.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Chunks as they come.
pub fn streamed(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

/// How much of a body that nobody wants is still taken in.
const UNWANTED_BYTES_MAX: usize = 16 << 20;

/// The body of a request.
///
/// A request may be answered before its body was read: it is refused, or the body is too large. What then comes is still
/// taken in, within bounds, since the connection would otherwise reset the stream under the client's upload, and clients
/// such as curl give up without having read the answer.
pub struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub fn new(incoming: Incoming) -> Self {
        Self(Some(incoming))
    }

    /// Reads a body of at most `bytes_max`.
    pub async fn read(mut self, bytes_max: usize) -> Result<Bytes, Status> {
        let mut whole = BytesMut::new();
        let Some(incoming) = &mut self.0 else { return Ok(Bytes::new()) };
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| Status::bad_request(format!("the body broke off: {error}")))?;
            if let Some(data) = frame.data_ref() {
                if whole.len() + data.len() > bytes_max {
                    return Err(Status::too_large(bytes_max));
                }
                whole.extend_from_slice(data);
            }
        }
        Ok(whole.freeze())
    }

    /// To be passed on to another server.
    pub fn pass_on(mut self) -> Body {
        self.0.take().map_or_else(|| whole(""), |incoming| incoming.map_err(Into::into).boxed_unsync())
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut incoming) = self.0.take().filter(|incoming| !incoming.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Ends with the connection at the latest.
        runtime.spawn(async move {
            let mut bytes = 0;
            while let Some(Ok(frame)) = incoming.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > UNWANTED_BYTES_MAX {
                    break;
                }
            }
        });
    }
}
