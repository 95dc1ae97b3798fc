//! The end of a sandbox: what its programs said last goes out, or is told as lost.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Interval, MissedTickBehavior, interval};
use weir_exec_server::egress::ending::Parting;

use super::world::{Inside, LOOPBACK, policy, run};

const RULES: &[(&str, bool)] = &[("a.example", true)];

/// More than the gate waits for where nothing moves, and less than it waits at all.
const SOON: Duration = Duration::from_secs(8);

/// Ticks that lie so far apart, however late one is.
fn paced(apart: Duration) -> Interval {
    let mut pace = interval(apart);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// A connection to `a.example`, and the server's end of it.
async fn connected(inside: &Inside) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    inside.dns.addresses("a.example", &["127.0.0.1"]);
    let client = inside.connect_to("a.example", listener.local_addr().unwrap().port()).await;
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

/// Says so much that it stands everywhere on the way, and goes; how much that was.
async fn say_much_and_go(client: TcpStream) -> usize {
    let (chunk, mut said, mut full) = (vec![0; 64 << 10], 0, 0);
    // The gate may take more when it has its turn.
    while full < 100 {
        match client.try_write(&chunk) {
            Ok(count) => (said, full) = (said + count, 0),
            Err(_) => full += 1,
        }
        tokio::task::yield_now().await;
    }
    said
}

#[test]
fn what_was_said_last_goes_out() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let (client, mut server) = connected(&inside).await;
        let said = say_much_and_go(client).await;
        let hearing = spawn_local(async move {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.map(|_| heard.len())
        });
        inside.gate.settle(Parting::Willing).await;
        inside.gate.close();
        assert_eq!(hearing.await.unwrap().unwrap(), said);
        assert_eq!(inside.unreached(), [""; 0]);
    });
}

#[test]
fn what_nobody_takes_is_cut_and_told_and_waited_for_no_longer() {
    run(async {
        for (parting, most) in [(Parting::Willing, SOON), (Parting::Forced, Duration::from_secs(1))] {
            let inside = Inside::new(policy(RULES, LOOPBACK)).await;
            let (client, mut server) = connected(&inside).await;
            let said = say_much_and_go(client).await;
            let started = Instant::now();
            inside.gate.settle(parting).await;
            assert!(started.elapsed() < most, "{parting:?}: {:?}", started.elapsed());
            let port = server.local_addr().unwrap().port();
            let lost = "the command had ended before all that it sent had gone out, and the rest is lost";
            assert_eq!(inside.unreached(), [format!("connect a.example:{port}: {lost}")]);
            inside.gate.close();
            let mut heard = Vec::new();
            let end = server.read_to_end(&mut heard).await;
            assert!(heard.len() < said);
            assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
        }
    });
}

/// What a large buffer holds is read for seconds before the gate may write again.
#[test]
fn a_server_that_reads_steadily_and_slowly_is_not_cut() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let (client, mut server) = connected(&inside).await;
        let said = say_much_and_go(client).await;
        tokio::time::pause();
        let reading = spawn_local(async move {
            let (mut buffer, mut heard) = (vec![0; 16 << 10], Vec::new());
            let mut pace = paced(Duration::from_millis(100));
            for _ in 0..70 {
                let count = server.read(&mut buffer).await?;
                heard.extend(buffer.iter().take(count));
                pace.tick().await;
            }
            server.read_to_end(&mut heard).await.map(|_| heard.len())
        });
        inside.gate.settle(Parting::Willing).await;
        assert_eq!(inside.unreached(), [""; 0]);
        assert_eq!(reading.await.unwrap().unwrap(), said);
    });
}

/// A server that reads on to the last moment, and too slowly, does not take what it has for the whole.
#[test]
fn what_is_still_on_its_way_when_the_time_is_over_is_cut_and_told() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let (client, mut server) = connected(&inside).await;
        let port = server.local_addr().unwrap().port();
        let said = say_much_and_go(client).await;
        tokio::time::pause();
        let started = tokio::time::Instant::now();
        let reading = spawn_local(async move {
            let (mut buffer, mut heard) = (vec![0; 64 << 10], 0);
            let mut pace = paced(Duration::from_millis(250));
            loop {
                match server.read(&mut buffer).await {
                    Ok(0) => return (heard, Ok(())),
                    Ok(count) => heard += count,
                    Err(error) => return (heard, Err(error.kind())),
                }
                pace.tick().await;
            }
        });
        inside.gate.settle(Parting::Willing).await;
        let lost = "the command had ended before all that it sent had gone out, and the rest is lost";
        assert_eq!(inside.unreached(), [format!("connect a.example:{port}: {lost}")]);
        assert!(started.elapsed() > SOON, "it is read to the last: {:?}", started.elapsed());
        let (heard, end) = reading.await.unwrap();
        assert!(heard < said, "{heard} of {said}");
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    });
}

/// Somebody says meanwhile that they wait no more.
#[test]
fn what_nobody_waits_for_any_more_is_cut_at_once_and_told() {
    run(async {
        for before in [true, false] {
            let inside = Inside::new(policy(RULES, LOOPBACK)).await;
            let (client, mut server) = connected(&inside).await;
            let port = server.local_addr().unwrap().port();
            say_much_and_go(client).await;
            let reading = spawn_local(async move {
                let (mut buffer, mut pace) = (vec![0; 16 << 10], paced(Duration::from_millis(100)));
                loop {
                    match server.read(&mut buffer).await {
                        Ok(0) => return Ok(()),
                        Ok(_) => pace.tick().await,
                        Err(error) => return Err(error.kind()),
                    };
                }
            });
            let started = Instant::now();
            let gate = std::rc::Rc::clone(&inside.gate);
            if before {
                gate.give_up();
            }
            let settling = spawn_local(async move { gate.settle(Parting::Willing).await });
            paced(Duration::from_millis(300)).tick().await;
            inside.gate.give_up();
            settling.await.unwrap();
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
            let lost = "the command had ended before all that it sent had gone out, and the rest is lost";
            assert_eq!(inside.unreached(), [format!("connect a.example:{port}: {lost}")]);
            assert_eq!(reading.await.unwrap(), Err(std::io::ErrorKind::ConnectionReset));
        }
    });
}

/// The gate itself goes while a program speaks.
#[test]
fn what_is_given_up_is_reset() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let address = inside.resolve("a.example").await.unwrap();
        let (mut client, arrived) = pair().await;
        let place = (address, listener.local_addr().unwrap().port()).into();
        let gate = std::rc::Rc::clone(&inside.gate);
        let serving = spawn_local(async move { gate.serve(arrived, place).await });
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"\x00a part").await.unwrap();
        let mut heard = [0; 7];
        server.read_exact(&mut heard).await.unwrap();
        serving.abort();
        let end = server.read(&mut heard).await;
        assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
        assert_eq!(inside.unreached(), [""; 0]);
    });
}

/// A connection of a program's, and where it arrives.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// A server has all day to answer: that is not waited for.
#[test]
fn a_connection_on_which_all_is_said_is_not_waited_for() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let (client, server) = connected(&inside).await;
        drop(client);
        let started = Instant::now();
        inside.gate.settle(Parting::Willing).await;
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(inside.unreached(), [""; 0]);
        drop(server);
    });
}
