//! What must hold of DNS messages, whoever sent them. Called by the fuzz target and, over the corpus, by `tests/tests/corpus.rs`.

use weir_exec_server::egress::lookup::config::{MAX_SERVERS, Servers, hosts};
use weir_exec_server::egress::lookup::exchange::{Said, question, said};
use weir_exec_server::egress::lookup::{Family, MAX_ADDRESSES};
use weir_exec_server::egress::resolver::{Reading, host, read};
use weir_protocol::policy::Host;

/// The bytes are a question of a program, an answer of a name server, and the host's files. A reply has the question's number; a name
/// that a rule can be about is spelled in one way; an answer yields addresses of the family that was asked for, within bounds.
pub(crate) fn run(data: &[u8]) {
    match read(data) {
        Reading::Nothing => {}
        Reading::Answer(answer) => {
            let bytes = answer.to_vec().unwrap_or_default();
            assert_eq!(bytes.get(..2), data.get(..2));
        }
        Reading::Question(question) => {
            if let Some(host) = host(question.name()) {
                let Host::Name(name) = &host else { panic!("{host} is no name") };
                assert_eq!(Host::parse(name), Ok(host.clone()));
                assert!(name.is_ascii() && !name.ends_with('.') && *name == name.to_ascii_lowercase());
            }
        }
    }
    for family in [Family::V4, Family::V6] {
        let Some(mut asked) = question("a.example", family) else { panic!("a good name") };
        if let Some([high, low]) = data.first_chunk() {
            asked.metadata.id = u16::from_be_bytes([*high, *low]);
        }
        if let Some(Said::Found(found)) = said(&asked, data) {
            assert!(found.addresses.len() <= MAX_ADDRESSES);
            assert!(found.addresses.iter().all(|address| address.is_ipv6() == (family == Family::V6)));
        }
    }
    assert!(Servers::read(data).servers.len() <= MAX_SERVERS);
    assert!(
        hosts(data).keys().all(|name| matches!(Host::parse(name), Ok(Host::Name(same)) if same == *name))
    );
}
