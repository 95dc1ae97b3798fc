//! What the network gate costs: time to set a connection up, throughput, and five hundred connections at once, each beside the
//! same without a gate, in one run. What matters are the ratios, which are printed.
//!
//! At first client, gate and server are threads of this program; the gate's is one, as in the server part. The connections are brought to
//! the gate by hand, so that no namespace is needed. Then the same client runs inside `weir run`, where `weir` lies in the same build, and
//! inside the sandboxes of others, where `SRT` and `CODEX` name them (`peers`); `bwrap`, `socat` and `rg`, which they want, are looked for in
//! `PATH`. With arguments that cargo does not pass on by itself: `--mib N`, and `--peer-mib N` for the transfers of whole programs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for people, whose answer is its output"
)]

#[path = "support/built.rs"]
mod built;
#[path = "gate/client.rs"]
mod client;
#[path = "gate/peers.rs"]
mod peers;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::task::{LocalSet, spawn_local};
use weir_exec_server::egress::{Gate, Sockets, Surroundings};
use weir_protocol::Policy;
use weir_protocol::policy::{
    Confinement, DomainPattern, DomainRule, Environment, Filesystem, Network, NetworkParts, Origin,
    PolicyParts, Resources, Sourced,
};

/// Bytes of the transfer, in MiB, where nothing else is asked for.
const MIB: usize = 1024;

/// Turns of the transfer.
const TURNS: usize = 3;

/// Connections that are set up one after the other.
const SETUPS: usize = 2000;

/// Connections at once.
const AT_ONCE: usize = 500;

/// Bytes that each of them sends and gets back.
const EACH_BYTES: usize = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == client::WORD) {
        return print!("{}", client::Errand::read(&arguments[at + 1..]).run());
    }
    let asked = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let mib = asked("--mib").unwrap_or(MIB);
    let sink = sink();
    let echo = echo();
    let (gated_sink, gated_echo) = (gate(sink), gate(echo));
    transfers(mib, sink, gated_sink);
    setups(echo, gated_echo);
    at_once(echo, gated_echo);
    peers::compare(asked("--peer-mib").unwrap_or(mib), [echo.port(), sink.port()], built::weir().as_deref());
}

/// A server that is told how many bytes come, takes them and then says one byte. It waits for no end: not every proxy carries one.
fn sink() -> SocketAddr {
    serve(|mut stream| {
        let mut left = [0; 8];
        if stream.read_exact(&mut left).is_err() {
            return;
        }
        let mut left = u64::from_be_bytes(left);
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => left = left.saturating_sub(count as u64),
                _ => return,
            }
        }
        let _ = stream.write_all(b"!");
    })
}

/// Sends so much to it, and waits until it has come.
fn transfer(stream: &mut TcpStream, mib: usize) -> std::io::Result<Duration> {
    let chunk = vec![b'x'; 1 << 20];
    let begun = Instant::now();
    stream.write_all(&((mib * chunk.len()) as u64).to_be_bytes())?;
    for _ in 0..mib {
        stream.write_all(&chunk)?;
    }
    stream.read_exact(&mut [0])?;
    Ok(begun.elapsed())
}

fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    })
}

fn serve(each: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Where connections to `server` through a gate are accepted.
fn gate(server: SocketAddr) -> SocketAddr {
    let (told, hear) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async move {
            let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = resolver.local_addr().unwrap();
            let sockets = Sockets { tcp: Vec::new(), resolver: resolver.into(), refused: None };
            let around = Surroundings { hosts: b"127.0.0.1 a.example\n".to_vec(), ..Surroundings::default() };
            let gate = Gate::open(Arc::new(policy()), sockets, around, None).unwrap();
            let destination = SocketAddr::from((resolve(address).await, server.port()));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let gate = Rc::clone(&gate);
                spawn_local(async move { gate.serve(stream, destination).await });
            }
        });
    });
    hear.recv().unwrap()
}

fn policy() -> Policy {
    let sourced = || Origin::implied("bench");
    let rule =
        DomainRule { pattern: DomainPattern::parse("a.example").unwrap(), allow: true, origin: sourced() };
    let network = NetworkParts {
        enabled: Sourced { value: true, origin: sourced() },
        domains: Some(vec![rule]),
        allow_private: Some(Sourced { value: vec!["127.0.0.1/32".parse().unwrap()], origin: sourced() }),
        ..NetworkParts::default()
    };
    Policy::from(PolicyParts {
        profile: "bench".to_owned(),
        confinement: Sourced { value: Confinement::Managed, origin: sourced() },
        filesystem: Filesystem::default(),
        network: Network::new(network),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: std::collections::BTreeMap::default(),
        kernel: std::collections::BTreeMap::default(),
        background: weir_protocol::policy::background_ends(),
    })
}

async fn resolve(resolver: SocketAddr) -> Ipv4Addr {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii("a.example.").unwrap(), RecordType::A));
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), resolver).await.unwrap();
    let mut buffer = [0; 512];
    let count = socket.recv(&mut buffer).await.unwrap();
    match Message::from_vec(&buffer[..count]).unwrap().answers[0].data {
        RData::A(address) => address.0,
        _ => unreachable!("an address was asked for"),
    }
}

fn transfers(mib: usize, direct: SocketAddr, gated: SocketAddr) {
    let once = |to| transfer(&mut TcpStream::connect(to).unwrap(), mib).unwrap();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.push(once(direct));
        with.push(once(gated));
    }
    let (without, with) = (rate(mib, median(&mut without)), rate(mib, median(&mut with)));
    println!(
        "{mib} MiB: {without:6.0} MiB/s direct, {with:6.0} MiB/s through the gate: {:.2} of direct   aim 0.5",
        with / without
    );
}

/// MiB in a second.
fn rate(mib: usize, time: Duration) -> f64 {
    mib as f64 / time.as_secs_f64()
}

fn setups(direct: SocketAddr, gated: SocketAddr) {
    let once = |to| {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"\0").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        begun.elapsed()
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..SETUPS {
        without.push(once(direct));
        with.push(once(gated));
    }
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (without, with) = (us(median(&mut without)), us(median(&mut with)));
    println!(
        "connection and first byte back: {without:5.0} µs direct, {with:5.0} µs through the gate: {:5.0} µs added   aim < 1000",
        with - without
    );
}

fn at_once(direct: SocketAddr, gated: SocketAddr) {
    let once = |to: SocketAddr| {
        let begun = Instant::now();
        let word = vec![0; EACH_BYTES];
        let mut all: Vec<TcpStream> = (0..AT_ONCE).map(|_| TcpStream::connect(to).unwrap()).collect();
        for stream in &mut all {
            stream.write_all(&word).unwrap();
        }
        for stream in &mut all {
            let mut back = vec![1; EACH_BYTES];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, word);
        }
        begun.elapsed()
    };
    let (without, with) = (once(direct), once(gated));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{AT_ONCE} at once, {EACH_BYTES} bytes there and back: {:.0} ms direct, {:.0} ms through the gate: {:.2} ×",
        ms(without),
        ms(with),
        ms(with) / ms(without)
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
