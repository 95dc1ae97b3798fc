//! What the resolver inside tells, and what leaves the machine for it.

use std::io::ErrorKind;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_protocol::denial::MAX_DENIALS;
use weir_protocol::gate::{DNS_PORT, RESOLVER};

use super::world::{Inside, Says, policy, run};

const RULES: &[(&str, bool)] =
    &[("allowed.example", true), ("*.wide.example:443", true), ("not.wide.example", false), ("db", true)];

#[test]
fn allowed_names_get_an_address_and_denied_names_none() {
    run(async {
        let inside = Inside::new(policy(RULES, &[])).await;
        inside.dns.addresses("allowed.example", &["192.0.2.7"]);
        inside.dns.addresses("a.b.wide.example", &["192.0.2.8", "2001:db8::8"]);
        inside.dns.addresses("denied.example", &["192.0.2.9"]);
        let first = inside.resolve("ALLOWED.example.").await.unwrap();
        assert_eq!(inside.resolve("allowed.example").await, Some(first));
        assert_eq!(first.to_string(), "198.18.1.0");
        assert_eq!(inside.resolve6("allowed.example").await, None, "it has none outside");
        assert_eq!(inside.resolve6("a.b.wide.example").await.unwrap().to_string(), "2001:2:0:1::1");
        for name in [
            "denied.example",
            "not.wide.example",
            "wide.example",
            "allowed.example.evil.test",
            "xallowed.example",
        ] {
            let answer = inside.query(name, RecordType::A).await;
            assert_eq!(
                (answer.metadata.response_code, answer.answers.len()),
                (ResponseCode::NXDomain, 0),
                "{name}"
            );
        }
        let answer = inside.query("not.wide.example", RecordType::A).await;
        let text = answer.edns.unwrap().option(EdnsCode::Unknown(15)).map(|option| match option {
            EdnsOption::Unknown(_, bytes) => String::from_utf8_lossy(&bytes[2..]).into_owned(),
            option => panic!("{option:?}"),
        });
        let expect = "weir: resolve not.wide.example: a rule denies it (not.wide.example (config.toml:3))";
        assert_eq!(text.as_deref(), Some(expect));
        let mut names = inside.dns.names();
        names.dedup();
        assert_eq!(names, ["allowed.example", "a.b.wide.example"], "no other question left the machine");
        let refused = inside.refused();
        assert_eq!(refused[0], ("resolve".into(), "denied.example".into(), "no rule allows it".into()));
        assert_eq!(refused[1], ("resolve".into(), "not.wide.example".into(), "a rule denies it".into()));
        assert_eq!(inside.gate.denials().list()[1].origin.as_ref().unwrap().whence(), "config.toml:3");
        assert_eq!(refused.len(), 5);
    });
}

#[test]
fn what_does_not_exist_outside_does_not_exist_inside() {
    run(async {
        let inside = Inside::new(policy(&[("*", true)], &[])).await;
        inside.dns.addresses("empty.example", &[]);
        inside.dns.set("broken.example", Says::Code(ResponseCode::ServFail));
        inside.dns.set("silent.example", Says::Silence);
        inside.dns.set("garbage.example", Says::Garbage);
        let cases = [
            ("missing.example", ResponseCode::NXDomain),
            ("empty.example", ResponseCode::NoError),
            ("broken.example", ResponseCode::ServFail),
            ("silent.example", ResponseCode::ServFail),
            ("garbage.example", ResponseCode::ServFail),
        ];
        for (name, expect) in cases {
            let answer = inside.query(name, RecordType::A).await;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (expect, 0), "{name}");
        }
        assert_eq!(
            inside.unreached(),
            [
                "resolve missing.example: the name does not exist",
                "resolve broken.example: the name servers could not answer",
                "resolve silent.example: no name server answered in time",
                "resolve garbage.example: no name server answered in time"
            ]
        );
    });
}

#[test]
fn an_alias_that_a_rule_denies_is_not_asked_for() {
    run(async {
        let inside = Inside::new(policy(&[("*", true), ("*.evil.example", false)], &[])).await;
        inside.dns.set("a.example", Says::Alias("secret.evil.example."));
        assert!(inside.resolve("a.example").await.is_none());
        assert!(inside.dns.names().iter().all(|name| name == "a.example"), "{:?}", inside.dns.names());
        let reason = "it is an alias of secret.evil.example, which a rule denies";
        let (denied, unreached) = (inside.gate.denials().into_parts().0, inside.gate.unreached());
        let [told] = denied.as_slice() else { panic!("{denied:?}") };
        assert_eq!(
            (told.operation.to_string().as_str(), told.target.to_string().as_str()),
            ("resolve", "a.example")
        );
        assert_eq!(told.reason.as_deref(), Some(reason));
        assert!(told.origin.as_ref().unwrap().rule.contains("evil"), "{told:?}");
        // Another rule for the host itself would not help.
        assert_eq!((&told.edit, unreached.hosts.len()), (&None, 0), "{unreached:?}");
        // One that knew an address before is refused as well.
        inside.dns.addresses("b.example", &["127.0.0.1"]);
        let address = inside.resolve("b.example").await.unwrap();
        inside.dns.set("b.example", Says::Alias("secret.evil.example."));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(301)).await;
        tokio::time::resume();
        let end = inside.connect((address, 443)).await.read(&mut [0]).await;
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        let told = inside.refused().pop().unwrap();
        assert_eq!(told, ("connect".into(), "b.example:443".into(), reason.into()));
    });
}

/// A rule with a port denies the name as well, where no other port is left.
#[test]
fn a_name_that_a_rule_with_a_port_denies_is_told_with_it() {
    run(async {
        let inside = Inside::new(policy(&[("*:443", true), ("**.evil.example:443", false)], &[])).await;
        assert!(inside.resolve("x.evil.example").await.is_none());
        let refused = ("resolve".into(), "x.evil.example".into(), "a rule denies it".into());
        assert_eq!(inside.refused(), [refused]);
    });
}

#[test]
fn answers_are_followed_kept_and_believed_only_from_who_was_asked() {
    run(async {
        let inside = Inside::new(policy(&[("*", true)], &[])).await;
        inside.dns.set("alias.example", Says::Alias("target.example."));
        inside.dns.addresses("target.example", &["192.0.2.1"]);
        inside.dns.set("loop.example", Says::Alias("loop.example."));
        inside.dns.set("long.example", Says::Cut(vec!["192.0.2.2".parse().unwrap()]));
        inside
            .dns
            .set("forged.example", Says::Forged("10.0.0.1".parse().unwrap(), "192.0.2.3".parse().unwrap()));
        for name in ["alias.example", "long.example", "forged.example"] {
            assert!(inside.resolve(name).await.is_some(), "{name}");
            let asked = inside.dns.names().len();
            assert!(inside.resolve(name).await.is_some(), "{name}");
            assert_eq!(inside.dns.names().len(), asked, "{name} was kept");
        }
        let answer = inside.query("loop.example", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(inside.dns.names().len() < 20);
    });
}

#[test]
fn bare_names_and_localhost_leave_without_a_search_list_or_not_at_all() {
    run(async {
        let hosts = b"10.0.0.9 files.example\n".to_vec();
        let inside = Inside::with(policy(RULES, &[]), |around| around.hosts = hosts).await;
        inside.dns.addresses("db", &["192.0.2.4"]);
        inside.dns.addresses("db.corp.example", &["192.0.2.5"]);
        assert!(inside.resolve("db").await.is_some());
        assert!(inside.resolve("other").await.is_none());
        for name in ["localhost", "x.localhost", "LOCALHOST."] {
            assert_eq!(inside.resolve(name).await.unwrap().to_string(), "127.0.0.1", "{name}");
            assert_eq!(inside.resolve6(name).await.unwrap().to_string(), "::1", "{name}");
        }
        assert_eq!(inside.dns.names(), ["db"]);
    });
}

#[test]
fn other_kinds_of_records_are_not_told() {
    run(async {
        let inside = Inside::new(policy(RULES, &[])).await;
        inside.dns.addresses("allowed.example", &["192.0.2.7"]);
        let cases = [
            (RecordType::HTTPS, ResponseCode::NoError),
            (RecordType::SVCB, ResponseCode::NoError),
            (RecordType::TXT, ResponseCode::Refused),
            (RecordType::MX, ResponseCode::Refused),
            (RecordType::ANY, ResponseCode::Refused),
            (RecordType::NULL, ResponseCode::Refused),
        ];
        for (kind, expect) in cases {
            let answer = inside.query("allowed.example", kind).await;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (expect, 0), "{kind}");
            let denied = inside.query("denied.example", kind).await;
            assert_eq!(denied.metadata.response_code, ResponseCode::NXDomain, "{kind}");
        }
        assert_eq!(inside.dns.names(), Vec::<String>::new());
    });
}

#[test]
fn tunnels_by_labels_reach_nobody() {
    run(async {
        let inside = Inside::new(policy(RULES, &[])).await;
        for at in 0..500 {
            let name = format!("{at:060x}.{at:060x}.tunnel.example");
            assert!(inside.resolve(&name).await.is_none());
        }
        assert_eq!(inside.dns.names(), Vec::<String>::new());
        let (denials, left_out) = inside.gate.denials().into_parts();
        assert_eq!(denials.len(), MAX_DENIALS);
        assert_eq!(denials.iter().map(|denial| denial.count).sum::<u64>() + left_out, 500);
    });
}

#[test]
fn ten_thousand_names_stay_within_bounds() {
    run(async {
        let inside = Inside::new(policy(&[("*.wide.example", true)], &[])).await;
        let mut seen = std::collections::HashSet::new();
        for at in 0..10_000 {
            let name = format!("n{at}.wide.example");
            inside.dns.addresses(&name, &["192.0.2.7"]);
            assert!(seen.insert(inside.resolve(&name).await.unwrap()), "{name} got another one's address");
        }
        assert!(inside.gate.names() <= weir_exec_server::egress::names::MAX_NAMES);
        assert_eq!(inside.gate.denials().list(), []);
    });
}

#[test]
fn questions_arrive_over_tcp_as_well_and_broken_ones_get_no_answer() {
    run(async {
        let inside = Inside::new(policy(RULES, &[])).await;
        inside.dns.addresses("allowed.example", &["192.0.2.7"]);
        let mut stream = inside.connect((RESOLVER, DNS_PORT)).await;
        for name in ["allowed.example", "denied.example"] {
            let mut question = Message::query();
            question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
            let bytes = question.to_vec().unwrap();
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut answer).await.unwrap();
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!(answer.metadata.id, question.metadata.id);
            assert_eq!(answer.answers.len(), usize::from(name == "allowed.example"));
        }
        for word in [&b"\xff\xff"[..], b"\x00\x03abc", b"\x00"] {
            let mut stream = inside.connect((RESOLVER, DNS_PORT)).await;
            assert!(super::world::say(&mut stream, word).await.unwrap_or_default().is_empty());
        }
    });
}
