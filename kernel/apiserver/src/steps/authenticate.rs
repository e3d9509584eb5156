//! Who sent the request.

use http::HeaderMap;
use sdk_api::Status;
use sdk_client::Subject;
use sdk_plugin::Credentials;

use crate::server::ApiServer;

/// Paths that answer callers without credentials, so that load balancers can ask: health, and nothing else.
const OPEN_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

pub const ANONYMOUS: &str = "system:anonymous";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
pub const AUTHENTICATED: &str = "system:authenticated";

/// The bearer token of a request, from its header or, for WebSockets, from the protocol that carries one.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Asks the authenticators in order; the first that knows the credentials decides.
pub async fn authenticate(server: &ApiServer, credentials: &Credentials, path: &str) -> Result<Subject, Status> {
    for authenticator in &server.authenticators {
        match authenticator.authenticate(credentials).await {
            Ok(Some(mut user)) => {
                if !user.groups.iter().any(|group| group == AUTHENTICATED) {
                    user.groups.push(AUTHENTICATED.into());
                }
                return Ok(user);
            }
            Ok(None) => {}
            Err(status) => {
                tracing::debug!(authenticator = authenticator.name(), %status, "Refused a credential.");
            }
        }
    }
    let has_none = credentials.bearer.is_none() && credentials.client_certificate.is_none();
    let open = OPEN_PATHS
        .iter()
        .any(|open| path == *open || path.strip_prefix(open).is_some_and(|rest| rest.starts_with('/')));
    if has_none && open {
        return Ok(Subject::new(ANONYMOUS, &[UNAUTHENTICATED]));
    }
    Err(Status::unauthorized())
}
