//! One request and the answer to it.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::timeout;

use super::Refused;
use super::answer::{self, Body, Law};
use super::judge::{self, Target, Why};
use super::tasks::Tasks;
use super::upstream::{Dial, Upstream};

/// How long a client may take to say that a body holds nothing.
const EMPTY_BODY_TIME: Duration = Duration::from_secs(10);

/// Most frames of a body that hold nothing.
const EMPTY_FRAMES: usize = 16;

/// Of a request that was refused already so much is read and thrown away, so that clients that send all before they read find the answer.
const THROWN_AWAY_BYTES: u64 = 64 * 1024 * 1024;

/// And for so long.
const THROWN_AWAY_TIME: Duration = Duration::from_secs(30);

/// What the requests of one connection share.
pub(super) struct Exchange<D> {
    pub(super) target: Target,
    pub(super) upstream: Upstream<D>,
    pub(super) law: Law,
    pub(super) tasks: Tasks,
    pub(super) record: Rc<dyn Fn(Refused)>,
}

impl<D: Dial> Exchange<D> {
    /// The server's answer, or Weir's own.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let (mut parts, mut body) = request.into_parts();
        let (version, what) = (parts.version, self.what(&parts));
        let method = parts.method.clone();
        let judged = match judge::judge(&mut parts, &self.target) {
            Ok(()) => nothing_in(&mut body, &parts).await,
            Err(why) => Err(why),
        };
        if let Err(why) = judged {
            let response = self.law.refusal(&what, &why, version);
            (self.record)(Refused { target: what, why });
            self.tasks.spawn(throw_away(body));
            return Ok(answer::fitting(&method, response));
        }
        Ok(match self.upstream.send(Request::from_parts(parts, Empty::<Bytes>::new())).await {
            Ok(mut response) => {
                judge::strip_answer(response.headers_mut());
                response.map(Either::Right)
            }
            Err(failure) => answer::fitting(&method, answer::failure(&self.target, &failure, version)),
        })
    }

    /// Method and URL, without the query.
    fn what(&self, parts: &Parts) -> String {
        format!("{} {}{}", parts.method, self.target.url(), parts.uri.path())
    }
}

/// Whether the body holds nothing, which its length need not have said.
async fn nothing_in(body: &mut Incoming, parts: &Parts) -> Result<(), Why> {
    let refusal = || Why::Body(parts.method.clone());
    for _ in 0..EMPTY_FRAMES {
        if body.is_end_stream() {
            return Ok(());
        }
        match timeout(EMPTY_BODY_TIME, body.frame()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
            Ok(Some(Ok(_))) => return Err(refusal()),
            Ok(Some(Err(_))) => return Err(Why::Broken("its body cannot be read")),
            Err(_) => return Err(refusal()),
        }
    }
    Err(refusal())
}

async fn throw_away(mut body: Incoming) {
    let all = async {
        let mut left = THROWN_AWAY_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    let _ = timeout(THROWN_AWAY_TIME, all).await;
}
