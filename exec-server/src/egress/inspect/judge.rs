//! Which requests limited mode lets through, and in which form they go on.
//!
//! Pure. Nothing of how a client framed its request goes on: it is read whole, judged, and written anew from method, path and headers,
//! without a body. So two readers cannot disagree about where it ends, and what a client hides in its framing reaches no server.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, StatusCode, Version};
use hyper::http;
use weir_protocol::policy::Host;

/// The methods that limited mode lets through.
pub const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

/// Headers by which some frameworks take another method than the one of the request.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Headers that concern one connection only (RFC 9110, 7.6.1), and those that speak of a body, which there is none of.
const OF_ONE_CONNECTION: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::CONTENT_LENGTH,
];

/// Headers of an answer that do not go on: what concerns one connection, and the offer to come again over QUIC, which the gate refuses.
const OF_ONE_ANSWER: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ALT_SVC,
];

/// The protocol that an `Upgrade` may offer, which is then not taken up: some clients offer it with every request.
const OFFER_LEFT_ASIDE: &str = "h2c";

/// How bytes look on the client's side, and so on the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 as it is.
    Plain,
    /// TLS, which is taken off and put on again.
    Tls,
}

/// The server that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name or address, which is what was decided about.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Plain or TLS.
    pub wire: Wire,
}

/// Why limited mode refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Another method.
    #[error("`mode = \"limited\"` allows GET, HEAD and OPTIONS alone, not {0}")]
    Method(Method),
    /// A header that asks the server to take the request for one with another method.
    #[error("`mode = \"limited\"` allows no header {0} that makes another method of it")]
    Override(&'static str),
    /// A request that carries data although its method has no use for any.
    #[error("`mode = \"limited\"` allows no {0} with a body")]
    Body(Method),
    /// A change of protocol, as for a WebSocket.
    #[error("`mode = \"limited\"` allows no change of protocol (to {0})")]
    Upgrade(String),
    /// A request for another host than the connection leads to.
    #[error("a request for {0}, which is not the host of the connection")]
    OtherHost(String),
    /// TLS for another server name, or for none.
    #[error("TLS for {0}, which is not the host of the connection")]
    OtherServerName(String),
    /// A request that names its host not at all, twice, or in a way that nobody can read.
    #[error("a broken HTTP request: {0}")]
    Broken(&'static str),
    /// Bytes that are no HTTP.
    #[error("`mode = \"limited\"` allows HTTP alone, and this is something else")]
    NotHttp,
    /// No bytes at all.
    #[error("`mode = \"limited\"` allows HTTP alone, in which the client speaks first, and this one waits")]
    Silent,
    /// The program refused the certificate that was made for it.
    #[error("the program does not trust the certificate that Weir made for inspecting the connection: {0}")]
    NotTrusted(String),
}

impl Why {
    /// The status that the client is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Broken(_) | Self::NotHttp | Self::Silent => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

impl Target {
    /// `https://registry.example.org:8443`, without the port where it goes without saying.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    fn scheme(&self) -> Scheme {
        match self.wire {
            Wire::Plain => Scheme::HTTP,
            Wire::Tls => Scheme::HTTPS,
        }
    }

    const fn usual_port(&self) -> u16 {
        match self.wire {
            Wire::Plain => 80,
            Wire::Tls => 443,
        }
    }

    fn authority(&self) -> String {
        if self.port == self.usual_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether `text`, a `Host` header or the authority of a URL, is this target.
    #[must_use]
    pub fn is_named(&self, text: &str) -> bool {
        let Ok(authority) = text.parse::<Authority>() else { return false };
        let rest = text.strip_prefix(authority.host());
        let port = match rest {
            Some("") => Some(self.usual_port()),
            Some(_) => authority.port_u16(),
            // What stands before the host is a user's name.
            None => None,
        };
        port == Some(self.port) && Host::parse(authority.host()).is_ok_and(|host| host == self.host)
    }
}

/// Judges a request, and makes of it what goes on to the server.
///
/// # Errors
/// Why it does not.
pub fn judge(parts: &mut Parts, target: &Target) -> Result<(), Why> {
    if !METHODS.contains(&parts.method) {
        return Err(Why::Method(parts.method.clone()));
    }
    names_target(parts, target)?;
    for name in OVERRIDES {
        // Servers that pass headers on as variables take `_` for `-`.
        let is_one = |found: &&HeaderName| found.as_str().replace('_', "-") == name;
        let found: Vec<HeaderName> = parts.headers.keys().filter(is_one).cloned().collect();
        for found in found {
            if parts.headers.get_all(&found).iter().any(|value| !is_harmless(value)) {
                return Err(Why::Override(name));
            }
            parts.headers.remove(found);
        }
    }
    check_upgrade(&parts.headers)?;
    if parts.headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(Why::Body(parts.method.clone()));
    }
    rewrite(parts, target)
}

/// Every name of the host that the request holds is the target's, and there is one.
fn names_target(parts: &Parts, target: &Target) -> Result<(), Why> {
    let hosts: Vec<&HeaderValue> = parts.headers.get_all(header::HOST).iter().collect();
    if hosts.len() > 1 {
        return Err(Why::Broken("more than one Host"));
    }
    if let Some(scheme) = parts.uri.scheme()
        && *scheme != target.scheme()
    {
        return Err(Why::OtherHost(named(&parts.uri.to_string())));
    }
    let header = hosts.first().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let authority = parts.uri.authority().map(ToString::to_string);
    if header.is_none() && authority.is_none() {
        return Err(Why::Broken("it names no Host"));
    }
    match header.into_iter().chain(authority).find(|name| !target.is_named(name)) {
        Some(other) => Err(Why::OtherHost(named(&other))),
        None => Ok(()),
    }
}

/// Most characters of another host's name that are told.
const MAX_NAMED: usize = 100;

fn named(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_NAMED).collect()
}

fn is_harmless(method: &HeaderValue) -> bool {
    METHODS.iter().any(|allowed| method.as_bytes().eq_ignore_ascii_case(allowed.as_str().as_bytes()))
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Why> {
    let offers = headers
        .get_all(header::UPGRADE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let taken =
        offers.map(<[u8]>::trim_ascii).find(|offer| !offer.eq_ignore_ascii_case(OFFER_LEFT_ASIDE.as_bytes()));
    taken.map_or(Ok(()), |offer| Err(Why::Upgrade(named(&String::from_utf8_lossy(offer)))))
}

fn rewrite(parts: &mut Parts, target: &Target) -> Result<(), Why> {
    let path = match parts.uri.path_and_query() {
        Some(path) if path.as_str().starts_with('/') => path.clone(),
        Some(path) if path == "*" && parts.method == Method::OPTIONS => path.clone(),
        _ => return Err(Why::Broken("it names no path")),
    };
    let is_http2 = parts.version == Version::HTTP_2;
    let trailers = is_http2 && parts.headers.get(header::TE).is_some_and(|value| value == "trailers");
    strip(&mut parts.headers, &OF_ONE_CONNECTION);
    if trailers {
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let authority = target.authority();
    parts.headers.remove(header::HOST);
    parts.uri = if is_http2 {
        absolute(target, &authority, path)?
    } else {
        let host = HeaderValue::from_str(&authority).map_err(|_| Why::Broken("it names no host"))?;
        parts.headers.insert(header::HOST, host);
        parts.version = Version::HTTP_11;
        Uri::from(path)
    };
    Ok(())
}

fn absolute(target: &Target, authority: &str, path: PathAndQuery) -> Result<Uri, Why> {
    let parts = Uri::builder().scheme(target.scheme()).authority(authority).path_and_query(path);
    parts.build().map_err(|_| Why::Broken("it names no path"))
}

/// Takes from an answer what does not go on to the client.
pub fn strip_answer(headers: &mut HeaderMap) {
    strip(headers, &OF_ONE_ANSWER);
}

/// Removes `names`, and what `Connection` names.
fn strip(headers: &mut HeaderMap, names: &[HeaderName]) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in names.iter().chain(&listed) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Request, Version};
    use hyper::http;
    use weir_protocol::policy::Host;

    use super::{Target, Why, Wire, judge};

    fn target(text: &str, port: u16, wire: Wire) -> Target {
        Target { host: Host::parse(text).unwrap(), port, wire }
    }

    /// `GET /a` and lines `name: value`.
    fn parts(text: &str, version: Version) -> Parts {
        let mut lines = text.lines();
        let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// What goes on, as it would be written, or the refusal.
    fn judged(text: &str, target: &Target, version: Version) -> String {
        let mut parts = parts(text, version);
        match judge(&mut parts, target) {
            Ok(()) => {
                let headers = parts.headers.iter();
                let lines = headers.map(|(name, value)| format!("\n{name}: {}", value.to_str().unwrap()));
                format!("{} {}{}", parts.method, parts.uri, lines.collect::<String>())
            }
            Err(why) => format!("{} {why}", why.status().as_u16()),
        }
    }

    fn plain(text: &str) -> String {
        judged(text, &target("a.example", 80, Wire::Plain), Version::HTTP_11)
    }

    #[test]
    fn three_methods_pass_and_no_other() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(
                plain(&format!("{method} /a?b\nhost: a.example\nx: y")),
                format!("{method} /a?b\nx: y\nhost: a.example")
            );
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "Head", "X"] {
            let expect = format!("403 {}", Why::Method(method.parse().unwrap()));
            assert_eq!(plain(&format!("{method} /a\nhost: a.example")), expect);
        }
        assert!(plain("CONNECT a.example:80\nhost: a.example").starts_with("403 "));
        assert_eq!(plain("OPTIONS *\nhost: a.example"), "OPTIONS *\nhost: a.example");
        assert_eq!(plain("GET *\nhost: a.example"), "400 a broken HTTP request: it names no path");
    }

    #[test]
    fn the_host_is_the_targets_in_every_spelling() {
        let other = |name: &str| format!("403 {}", Why::OtherHost(name.to_owned()));
        for same in ["a.example", "A.EXAMPLE", "a.example.", "a.example:80", "A.example.:80"] {
            assert_eq!(plain(&format!("GET /\nhost: {same}")), "GET /\nhost: a.example", "{same}");
        }
        for name in [
            "b.example",
            "a.example:81",
            "a.example:",
            "a.example:080x",
            "x@a.example",
            "a.example@b.example",
            "a.example,b.example",
            "a.example b.example",
            "a.example/b",
            "[a.example]",
            "",
        ] {
            assert_eq!(plain(&format!("GET /\nhost: {name}")), other(name), "{name}");
        }
        assert_eq!(plain("GET /"), "400 a broken HTTP request: it names no Host");
        assert_eq!(
            plain("GET /\nhost: a.example\nhost: a.example"),
            "400 a broken HTTP request: more than one Host"
        );
        assert_eq!(plain("GET http://a.example/x\nhost: a.example"), "GET /x\nhost: a.example");
        assert_eq!(plain("GET http://a.example/x"), "GET /x\nhost: a.example");
        assert_eq!(plain("GET http://b.example/x\nhost: a.example"), other("b.example"));
        assert_eq!(plain("GET http://a.example/x\nhost: b.example"), other("b.example"));
        assert_eq!(plain("GET http://u:p@a.example/x\nhost: a.example"), other("u:p@a.example"));
        assert_eq!(plain("GET https://a.example/x\nhost: a.example"), other("https://a.example/x"));
        assert_eq!(plain("GET a.example\nhost: a.example"), "400 a broken HTTP request: it names no path");
    }

    #[test]
    fn addresses_and_ports_are_compared_as_such() {
        let check = |host: &str, port, wire, header: &str| {
            judged(&format!("GET /\nhost: {header}"), &target(host, port, wire), Version::HTTP_11)
        };
        assert_eq!(check("192.0.2.7", 80, Wire::Plain, "192.0.2.7"), "GET /\nhost: 192.0.2.7");
        assert_eq!(check("[2001:db8::1]", 443, Wire::Tls, "[2001:DB8:0::1]"), "GET /\nhost: [2001:db8::1]");
        assert_eq!(
            check("[2001:db8::1]", 444, Wire::Tls, "[2001:db8::1]:444"),
            "GET /\nhost: [2001:db8::1]:444"
        );
        assert_eq!(check("a.example", 8080, Wire::Plain, "a.example:8080"), "GET /\nhost: a.example:8080");
        assert!(check("a.example", 8080, Wire::Plain, "a.example").starts_with("403 "));
        assert_eq!(check("a.example", 443, Wire::Tls, "a.example:443"), "GET /\nhost: a.example");
        assert!(check("a.example", 443, Wire::Tls, "a.example:80").starts_with("403 "));
    }

    #[test]
    fn another_method_by_header_is_refused() {
        for name in super::OVERRIDES {
            let expect = format!("403 {}", Why::Override(name));
            assert_eq!(plain(&format!("GET /\nhost: a.example\n{name}: DELETE")), expect);
            assert_eq!(plain(&format!("GET /\nhost: a.example\n{name}: GET\n{name}: DELETE")), expect);
            assert_eq!(plain(&format!("GET /\nhost: a.example\n{name}: get")), "GET /\nhost: a.example");
            let lines = name.replace('-', "_");
            assert_eq!(plain(&format!("GET /\nhost: a.example\n{lines}: DELETE")), expect);
            assert_eq!(plain(&format!("GET /\nhost: a.example\n{lines}: get")), "GET /\nhost: a.example");
        }
    }

    #[test]
    fn no_change_of_protocol_and_no_body() {
        let with = |lines: &str| plain(&format!("GET /\nhost: a.example\n{lines}"));
        assert_eq!(
            with("connection: Upgrade\nupgrade: websocket"),
            format!("403 {}", Why::Upgrade("websocket".to_owned()))
        );
        assert!(with("upgrade: h2c, websocket").starts_with("403 "));
        assert!(with("upgrade: h2c\nupgrade: tls/1.2").starts_with("403 "));
        assert_eq!(
            with("connection: Upgrade, HTTP2-Settings\nupgrade: h2c\nhttp2-settings: AA"),
            "GET /\nhost: a.example"
        );
        assert_eq!(with("content-length: 5"), "403 `mode = \"limited\"` allows no GET with a body");
        assert_eq!(with("content-length: 00"), "403 `mode = \"limited\"` allows no GET with a body");
        assert_eq!(
            with("content-length: 0\ncontent-type: text/plain"),
            "GET /\ncontent-type: text/plain\nhost: a.example"
        );
    }

    #[test]
    fn what_concerns_one_connection_does_not_go_on() {
        let with = |lines: &str| plain(&format!("GET /\nhost: a.example\n{lines}"));
        assert_eq!(
            with(
                "connection: close, X-Secret\nx-secret: 1\nkeep-alive: 5\nproxy-authorization: x\nte: trailers\nexpect: 100-continue\ny: z"
            ),
            "GET /\ny: z\nhost: a.example"
        );
        assert_eq!(with("connection: host"), "GET /\nhost: a.example");
        assert_eq!(with("transfer-encoding: chunked\ntrailer: x"), "GET /\nhost: a.example");
    }

    #[test]
    fn http2_names_its_target_by_authority() {
        let tls = target("a.example", 443, Wire::Tls);
        let check = |text: &str| judged(text, &tls, Version::HTTP_2);
        assert_eq!(check("GET https://a.example/x?y"), "GET https://a.example/x?y");
        assert_eq!(
            check("GET https://a.example:443/x\nte: trailers"),
            "GET https://a.example/x\nte: trailers"
        );
        assert_eq!(check("OPTIONS https://a.example/"), "OPTIONS https://a.example/");
        assert!(check("GET https://b.example/x").starts_with("403 "));
        assert!(check("GET https://a.example/x\nhost: b.example").starts_with("403 "));
        assert!(check("GET http://a.example/x").starts_with("403 "));
        assert!(check("POST https://a.example/x").starts_with("403 "));
    }
}
