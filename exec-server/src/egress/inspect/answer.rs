//! What Weir itself answers in place of a server: in words, for whoever reads the program's output.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::Version;
use hyper::{Method, Response, StatusCode};
use weir_protocol::Policy;

use super::judge::{Target, Why};
use super::upstream::Failure;

/// The body of an answer: Weir's own, or the server's.
pub(super) type Body = Either<Full<Bytes>, Incoming>;

/// The profile and the rule that stand behind a refusal.
#[derive(Debug, Clone)]
pub struct Law {
    /// The profile's name.
    pub profile: String,
    /// Where its `mode` is set.
    pub whence: String,
}

impl Law {
    /// The law of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self { profile: policy.profile().to_owned(), whence: policy.network().mode.origin.whence() }
    }

    /// The answer to a request that is refused. `what` is the method and the URL.
    pub(super) fn refusal(&self, what: &str, why: &Why, version: Version) -> Response<Body> {
        let text = format!(
            "weir: {what} was refused: {why}\nprofile: {}\nrule: mode = \"limited\" ({})\n",
            self.profile, self.whence
        );
        said(why.status(), text, version)
    }
}

/// The answer to a request that no server answered.
pub(super) fn failure(target: &Target, failure: &Failure, version: Version) -> Response<Body> {
    let status = if failure.is_timeout() { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    said(status, format!("weir: no answer from {}: {failure}\n", target.url()), version)
}

/// A request for the head alone has no body in its answer.
pub(super) fn fitting(method: &Method, response: Response<Body>) -> Response<Body> {
    if *method == Method::HEAD { response.map(|_| Either::Left(Full::default())) } else { response }
}

/// HTTP/1.1 is closed behind it, so that nothing that the client still sends is taken for another request.
fn said(status: StatusCode, text: String, version: Version) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if version != Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
