//! A gate with a DNS server and programs around it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{LocalSet, spawn_local};
use weir_exec_server::egress::authority::Authority;
use weir_exec_server::egress::{Gate, Sockets, Surroundings};
use weir_protocol::Policy;
use weir_protocol::denial::{Denial, Mechanism};
use weir_protocol::policy::{
    Confinement, DomainPattern, DomainRule, Environment, Filesystem, Layer, Network, NetworkMode,
    NetworkParts, Origin, Place, PolicyParts, Resources, Sourced,
};

/// Runs a test on one thread, as the server part does.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// The rule of line `line`.
pub(crate) fn origin(rule: &str, line: u32) -> Origin {
    let place = Place { file: "config.toml".to_owned(), line, column: 1 };
    Origin { layer: Layer::User, profile: "team".to_owned(), place: Some(place), rule: rule.to_owned() }
}

/// A policy of these domains, each in a line of its own, and these private ranges.
pub(crate) fn policy(domains: &[(&str, bool)], private: &[&str]) -> Policy {
    policy_with(domains, private, NetworkMode::Full)
}

pub(crate) fn policy_with(domains: &[(&str, bool)], private: &[&str], mode: NetworkMode) -> Policy {
    let rules = domains.iter().zip(1..).map(|((pattern, allow), line)| DomainRule {
        pattern: DomainPattern::parse(pattern).unwrap(),
        allow: *allow,
        origin: origin(pattern, line),
    });
    let parts = NetworkParts {
        enabled: Sourced { value: true, origin: origin("enabled", 100) },
        mode: Sourced { value: mode, origin: origin("mode", 101) },
        domains: Some(rules.collect()),
        allow_private: (!private.is_empty()).then(|| Sourced {
            value: private.iter().map(|range| range.parse().unwrap()).collect(),
            origin: origin("allow_private", 102),
        }),
        ..NetworkParts::default()
    };
    Policy::from(PolicyParts {
        profile: "team".to_owned(),
        confinement: Sourced { value: Confinement::Managed, origin: origin("profile", 103) },
        filesystem: Filesystem::default(),
        network: Network::new(parts),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: std::collections::BTreeMap::default(),
        kernel: std::collections::BTreeMap::default(),
        background: weir_protocol::policy::background_ends(),
    })
}

/// What the DNS server does about a name.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// These addresses, of both families.
    Addresses(Vec<IpAddr>),
    /// The first time the first, then the second for ever.
    Rebinds(IpAddr, IpAddr),
    /// Another name's.
    Alias(&'static str),
    /// An error.
    Code(ResponseCode),
    /// Nothing at all.
    Silence,
    /// Over UDP that the answer was cut, over TCP these.
    Cut(Vec<IpAddr>),
    /// An answer with a wrong number, then the right one with this address.
    Forged(IpAddr, IpAddr),
    /// Bytes that are no message.
    Garbage,
}

/// A DNS server on loopback.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: RefCell<HashMap<String, Says>>,
    /// What was asked, in order.
    pub(crate) asked: RefCell<Vec<(String, RecordType)>>,
    rebound: Cell<usize>,
}

impl Dns {
    pub(crate) async fn start() -> Rc<Self> {
        // A port that is free for one protocol may be taken for the other.
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let dns = Rc::new(Self {
            address,
            zone: RefCell::default(),
            asked: RefCell::default(),
            rebound: Cell::new(0),
        });
        spawn_local(Rc::clone(&dns).serve_udp(udp));
        spawn_local(Rc::clone(&dns).serve_tcp(tcp));
        dns
    }

    pub(crate) fn set(&self, name: &str, says: Says) {
        self.zone.borrow_mut().insert(name.to_owned(), says);
    }

    pub(crate) fn addresses(&self, name: &str, all: &[&str]) {
        self.set(name, Says::Addresses(all.iter().map(|address| address.parse().unwrap()).collect()));
    }

    /// The names that were asked for.
    pub(crate) fn names(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|(name, _)| name.clone()).collect()
    }

    async fn serve_udp(self: Rc<Self>, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
            for answer in self.answer(&buffer[..count], false) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    }

    async fn serve_tcp(self: Rc<Self>, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = usize::from(stream.read_u16().await.unwrap());
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await.unwrap();
            for answer in self.answer(&bytes, true) {
                stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    }

    fn answer(&self, bytes: &[u8], tcp: bool) -> Vec<Vec<u8>> {
        let message = Message::from_vec(bytes).unwrap();
        let query = message.queries[0].clone();
        let name = query.name.to_ascii().to_lowercase().trim_end_matches('.').to_owned();
        self.asked.borrow_mut().push((name.clone(), query.query_type));
        let reply = || {
            let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
            reply.add_query(query.clone());
            reply
        };
        let with = |all: &[IpAddr]| {
            let mut reply = reply();
            reply.add_answers(all.iter().filter_map(|address| record(&query, *address)));
            reply.to_vec().unwrap()
        };
        let says = self.zone.borrow().get(&name).cloned().unwrap_or(Says::Code(ResponseCode::NXDomain));
        match says {
            Says::Addresses(all) => vec![with(&all)],
            Says::Rebinds(first, then) => {
                let of_family = query.query_type == RecordType::A;
                let turn = self.rebound.get();
                self.rebound.set(turn + usize::from(of_family));
                vec![with(&[if turn == 0 { first } else { then }])]
            }
            Says::Alias(target) => {
                let mut reply = reply();
                let target = Name::from_ascii(target).unwrap();
                reply.add_answer(Record::from_rdata(query.name.clone(), 1, RData::CNAME(CNAME(target))));
                vec![reply.to_vec().unwrap()]
            }
            Says::Code(code) => {
                let mut reply = reply();
                reply.metadata.response_code = code;
                vec![reply.to_vec().unwrap()]
            }
            Says::Silence => Vec::new(),
            Says::Cut(_) if !tcp => {
                let mut reply = reply();
                reply.metadata.truncation = true;
                vec![reply.to_vec().unwrap()]
            }
            Says::Cut(all) => vec![with(&all)],
            Says::Forged(wrong, right) => {
                let mut forged = with(&[wrong]);
                forged[0] ^= 0xff;
                vec![forged, with(&[right])]
            }
            Says::Garbage => vec![vec![0xff; 40]],
        }
    }
}

fn record(query: &Query, address: IpAddr) -> Option<Record> {
    let data = match (address, query.query_type) {
        (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
        (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
        _ => return None,
    };
    Some(Record::from_rdata(query.name.clone(), 1, data))
}

/// A gate, and the place of a program behind it.
pub(crate) struct Inside {
    pub(crate) gate: Rc<Gate>,
    pub(crate) dns: Rc<Dns>,
    pub(crate) resolver: SocketAddr,
}

impl Inside {
    pub(crate) async fn new(policy: Policy) -> Self {
        Self::with(policy, |_| ()).await
    }

    pub(crate) async fn with(policy: Policy, change: impl FnOnce(&mut Surroundings)) -> Self {
        let dns = Dns::start().await;
        let resolver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = resolver.local_addr().unwrap();
        let conf = format!(
            "nameserver [{}]:{}\nsearch corp.example\noptions timeout:1 attempts:1\n",
            dns.address.ip(),
            dns.address.port()
        );
        let mut surroundings = Surroundings { resolv_conf: conf.into_bytes(), ..Surroundings::default() };
        change(&mut surroundings);
        let sockets = Sockets { tcp: Vec::new(), resolver: resolver.into(), refused: None };
        let authority = surroundings.roots.is_some().then(|| Authority::new().unwrap());
        let gate = Gate::open(Arc::new(policy), sockets, surroundings, authority).unwrap();
        Self { gate, dns, resolver: address }
    }

    /// The answer of the resolver inside.
    pub(crate) async fn query(&self, name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.set_edns(Edns::new());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&message.to_vec().unwrap(), self.resolver).await.unwrap();
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..count]).unwrap();
        assert_eq!(answer.metadata.id, message.metadata.id);
        answer
    }

    /// The synthetic address of a name.
    pub(crate) async fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        match self.query(name, RecordType::A).await.answers.first()?.data {
            RData::A(A(address)) => Some(address),
            _ => None,
        }
    }

    pub(crate) async fn resolve6(&self, name: &str) -> Option<Ipv6Addr> {
        match self.query(name, RecordType::AAAA).await.answers.first()?.data {
            RData::AAAA(AAAA(address)) => Some(address),
            _ => None,
        }
    }

    /// A connection of a program to an address inside.
    pub(crate) async fn connect(&self, destination: impl Into<SocketAddr>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (arrived, _) = listener.accept().await.unwrap();
        let (gate, destination) = (Rc::clone(&self.gate), destination.into());
        spawn_local(async move { gate.serve(arrived, destination).await });
        client
    }

    /// A connection of a program to a name.
    pub(crate) async fn connect_to(&self, name: &str, port: u16) -> TcpStream {
        let address = self.resolve(name).await.unwrap_or_else(|| panic!("{name} has no address inside"));
        self.connect((address, port)).await
    }

    /// Operation, target and reason of every refusal so far.
    pub(crate) fn refused(&self) -> Vec<(String, String, String)> {
        let text = |denial: Denial| {
            assert_eq!(denial.mechanism, Mechanism::NetworkGate);
            (denial.operation.to_string(), denial.target.to_string(), denial.reason.unwrap_or_default())
        };
        self.gate.denials().into_parts().0.into_iter().map(text).collect()
    }

    /// What was allowed and not reached so far, in words; nothing of it is refused.
    pub(crate) fn unreached(&self) -> Vec<String> {
        assert_eq!(self.refused(), []);
        self.gate.unreached().hosts.iter().map(ToString::to_string).collect()
    }
}

/// A server on loopback that answers each connection with what it heard up to the end, behind a greeting.
pub(crate) async fn echo(greeting: &'static str) -> SocketAddr {
    echo_at(Ipv4Addr::LOCALHOST.into(), greeting).await
}

pub(crate) async fn echo_at(address: IpAddr, greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn_local(async move {
                stream.write_all(greeting.as_bytes()).await?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await?;
                to.shutdown().await
            });
        }
    });
    address
}

/// Says something, ends, and hears everything.
pub(crate) async fn say(client: &mut TcpStream, word: impl AsRef<[u8]>) -> std::io::Result<Vec<u8>> {
    client.write_all(word.as_ref()).await?;
    client.shutdown().await?;
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await?;
    Ok(heard)
}

/// A TLS ClientHello for these server names, each in an extension of its own, in records of at most `record` bytes.
pub(crate) fn client_hello(names: &[&str], record: usize) -> Vec<u8> {
    let long = |bytes: Vec<u8>| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
    let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
    for name in names {
        let entry = [&[0_u8][..], &long(name.as_bytes().to_vec())].concat();
        extensions.extend([0, 0]);
        extensions.extend(long(long(entry)));
    }
    let hello = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &long(extensions)].concat();
    let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &hello].concat();
    message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &long(part.to_vec())].concat()).collect()
}

/// Addresses that lead to the test's servers.
pub(crate) const LOOPBACK: &[&str] = &["127.0.0.1/32", "127.0.0.2/32", "::1/128"];

/// The same policy, which lets the host's proxy be used.
pub(crate) fn with_upstream(policy: Policy) -> Policy {
    let mut parts = PolicyParts::from(policy);
    let mut network = NetworkParts::from(parts.network);
    network.allow_upstream_proxy = Sourced { value: true, origin: origin("allow_upstream_proxy", 104) };
    parts.network = Network::new(network);
    Policy::from(parts)
}
