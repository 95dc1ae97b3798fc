//! Hosts that no rule covers, put to somebody: what an answer opens, and what is never asked about.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_local;
use weir_exec_server::egress::asking::{Asked, Asks, Reply};
use weir_exec_server::egress::authority::Authority;
use weir_protocol::Policy;
use weir_protocol::gate::{HTTP_PORT, PROXY};
use weir_protocol::method::network::{Asking, MAX_WAITING_QUESTIONS};
use weir_protocol::policy::{
    DomainPattern, DomainRule, Host, Layer, Network, NetworkMode, NetworkParts, Origin, PolicyParts,
};

use super::world::{Inside, LOOPBACK, echo, policy, policy_with, run, say};

const RULES: &[(&str, bool)] =
    &[("a.example", true), ("ported.example:1", true), ("denied.example", false), ("*", false)];

/// Longer than any test.
const PATIENT: Asking = Asking { answer_ms: 60_000, most: 200 };

async fn inside(policy: Policy, bounds: Asking) -> (Inside, Receiver<Asked>) {
    let (asks, asked) = Asks::within(bounds);
    let inside = Inside::with(policy, |around| around.asks = Some(asks)).await;
    (inside, asked)
}

/// What a program hears of a server behind this name, which tells what it was told.
async fn hear(inside: &Inside, name: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let mut client = inside.connect_to(name, port).await;
    say(&mut client, "\x00word").await
}

/// Answers one question after another.
fn answer(mut asked: Receiver<Asked>, replies: Vec<Reply>) -> tokio::task::JoinHandle<Vec<String>> {
    spawn_local(async move {
        let mut heard = Vec::new();
        for reply in replies {
            let Some(question) = asked.recv().await else { break };
            heard.push(format!("{}:{}", question.host, question.port));
            question.reply.send(reply).unwrap();
        }
        while let Ok(question) = asked.try_recv() {
            heard.push(format!("{}:{} unanswered", question.host, question.port));
        }
        heard
    })
}

#[test]
fn once_is_one_connection_and_a_denial_stays() {
    run(async {
        let server = echo("").await;
        let (inside, asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        inside.dns.addresses("new.example", &["127.0.0.1"]);
        let answers = answer(asked, vec![Reply::Once, Reply::Denied]);
        let port = server.port();
        assert_eq!(hear(&inside, "new.example", port).await.unwrap(), b"\x00word");
        assert!(hear(&inside, "new.example", port).await.is_err());
        assert!(hear(&inside, "new.example", port).await.is_err(), "denied, and not asked again");
        let target = format!("new.example:{port}");
        assert_eq!(answers.await.unwrap(), [target.clone(), target.clone()]);
        let why = "no rule allows it, and it was denied when asked about".to_owned();
        assert_eq!(inside.refused(), [("connect".to_owned(), target, why)]);
    });
}

#[test]
fn a_name_is_looked_up_after_its_answer_alone() {
    run(async {
        let server = echo("").await;
        let (inside, mut asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        inside.dns.addresses("new.example", &["127.0.0.1"]);
        let gate = inside.resolve("new.example").await.unwrap();
        assert!(inside.resolve6("new.example").await.is_none());
        let mut client = inside.connect((gate, server.port())).await;
        let question = asked.recv().await.unwrap();
        assert_eq!(question.rule.as_ref().map(|rule| rule.rule.as_str()), Some("*"));
        assert_eq!(inside.dns.names(), Vec::<String>::new());
        question.reply.send(Reply::Once).unwrap();
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"\x00");
        assert_eq!(inside.dns.names(), ["new.example", "new.example"]);
    });
}

#[test]
fn what_is_granted_for_good_is_that_host_and_port() {
    run(async {
        let (server, other) = (echo("").await, echo("").await);
        let (inside, asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        for name in ["new.example", "sub.new.example"] {
            inside.dns.addresses(name, &["127.0.0.1"]);
        }
        let answers = answer(asked, vec![Reply::Always, Reply::Denied, Reply::Denied]);
        for _ in 0..3 {
            assert!(hear(&inside, "new.example", server.port()).await.is_ok());
        }
        assert!(hear(&inside, "new.example", other.port()).await.is_err());
        assert!(hear(&inside, "sub.new.example", server.port()).await.is_err());
        assert_eq!(answers.await.unwrap().len(), 3);
        // As another command of the same context is told of it.
        inside.gate.widen(&Host::Name("sub.new.example".to_owned()), server.port()).unwrap();
        assert!(hear(&inside, "sub.new.example", server.port()).await.is_ok());
        let denied = Host::Name("denied.example".to_owned());
        assert!(inside.gate.widen(&denied, server.port()).is_err());
    });
}

#[test]
fn without_an_answer_it_stays_refused() {
    run(async {
        let server = echo("").await;
        let bounds = Asking { answer_ms: 20, most: 2 };
        let (inside, mut asked) = inside(policy(RULES, LOOPBACK), bounds).await;
        inside.dns.addresses("new.example", &["127.0.0.1"]);
        assert!(hear(&inside, "new.example", server.port()).await.is_err());
        let late = asked.recv().await.unwrap();
        assert_eq!(late.reply.send(Reply::Always), Err(Reply::Always));
        // Whoever could answer is gone.
        drop(asked);
        assert!(hear(&inside, "new.example", server.port()).await.is_err());
        let reasons: Vec<String> = inside.refused().into_iter().map(|(.., reason)| reason).collect();
        let in_time = "no rule allows it, and nobody answered the question in time";
        assert_eq!(reasons, [in_time, "a rule denies it"]);
        // As many were asked as may be: names are as they were without questions.
        assert_eq!(inside.resolve("new.example").await, None);
        assert_eq!(inside.dns.names(), Vec::<String>::new());
    });
}

#[test]
fn what_a_rule_denies_or_needs_a_rule_of_its_own_is_not_asked_about() {
    run(async {
        let (inside, mut asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        assert_eq!(inside.resolve("denied.example").await, None);
        assert_eq!(inside.resolve("deep.denied.example").await.map(|_| ()), Some(()));
        let own = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let own = own.connect("192.0.2.1:9").ok().and_then(|()| own.local_addr().ok());
        let addresses = ["10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "fd00::1", "198.18.0.9"]
            .map(|text| text.parse::<IpAddr>().unwrap());
        for address in addresses.into_iter().chain(own.map(|own| own.ip())) {
            let mut client = inside.connect((address, 443)).await;
            assert!(say(&mut client, "").await.is_err(), "{address}");
        }
        let mut client = inside.connect((PROXY, HTTP_PORT)).await;
        let refused = say(&mut client, "CONNECT denied.example:443 HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(refused.starts_with(b"HTTP/1.1 403 "));
        assert!(asked.try_recv().is_err());
        // The control: a public address is.
        let _client = inside.connect((Ipv4Addr::new(203, 0, 114, 5), 443)).await;
        assert_eq!(asked.recv().await.unwrap().host, Host::Address([203, 0, 114, 5].into()));
    });
}

/// The administrator's denial of everything, and a network that is off, are no defaults that somebody could lift.
#[test]
fn the_administrators_denials_are_not_asked_about() {
    run(async {
        let mut parts = PolicyParts::from(policy(RULES, LOOPBACK));
        let mut network = NetworkParts::from(parts.network);
        let origin = Origin { layer: Layer::Requirements, ..super::world::origin("*", 1) };
        network.domains = Some(vec![DomainRule { pattern: DomainPattern::ANY, allow: false, origin }]);
        parts.network = Network::new(network);
        let (inside, mut asked) = inside(parts.into(), PATIENT).await;
        assert_eq!(inside.resolve("new.example").await, None);
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn a_host_above_the_ceiling_is_told_to_be() {
    run(async {
        let (inside, asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        let answers = answer(asked, vec![Reply::Above("the requirements allow less".to_owned())]);
        assert!(hear(&inside, "new.example", 443).await.is_err());
        answers.await.unwrap();
        let (.., why) = inside.refused().remove(0);
        assert!(why.ends_with("the ceiling lets nobody grant it: the requirements allow less"), "{why}");
    });
}

#[test]
fn the_same_host_is_asked_about_once_at_a_time_and_not_too_many_at_all() {
    run(async {
        let server = echo("").await;
        let (inside, mut asked) = inside(policy(RULES, LOOPBACK), PATIENT).await;
        inside.dns.addresses("new.example", &["127.0.0.1"]);
        let gate = inside.resolve("new.example").await.unwrap();
        let place = SocketAddr::from((gate, server.port()));
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(inside.connect(place).await);
        }
        let question = asked.recv().await.unwrap();
        let mut others = Vec::new();
        for at in 1..=MAX_WAITING_QUESTIONS {
            others.push(inside.connect_to(&format!("n{at}.example"), 443).await);
        }
        let mut told = 0;
        while told < MAX_WAITING_QUESTIONS - 1 {
            told += usize::from(asked.recv().await.is_some());
        }
        // One too many: refused at once.
        let last = others.last_mut().unwrap();
        assert!(say(last, "").await.is_err());
        assert!(asked.try_recv().is_err());
        question.reply.send(Reply::Once).unwrap();
        for client in &mut clients {
            assert_eq!(say(client, "\x00").await.unwrap(), b"\x00");
        }
    });
}

#[test]
fn limited_mode_and_the_proxies_ask_as_well() {
    run(async {
        let limited = policy_with(RULES, LOOPBACK, NetworkMode::Limited);
        let (asks, asked) = Asks::within(PATIENT);
        let inside = Inside::with(limited, |around| {
            around.asks = Some(asks);
            around.roots = Some(Authority::new().unwrap().certificate_pem().into());
        })
        .await;
        inside.dns.addresses("new.example", &["127.0.0.1"]);
        let server = echo("").await;
        let answers = answer(asked, vec![Reply::Always]);
        let host = format!("new.example:{}", server.port());
        let mut client = inside.connect((PROXY, HTTP_PORT)).await;
        let request = format!("DELETE http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let refused = String::from_utf8(say(&mut client, request).await.unwrap()).unwrap();
        assert!(refused.contains("allows GET, HEAD and OPTIONS alone"), "{refused}");
        assert_eq!(answers.await.unwrap(), [host]);
    });
}
