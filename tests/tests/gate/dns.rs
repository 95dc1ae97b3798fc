//! A DNS server with a small zone, which tells what it was asked.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::peers::SILENT;

/// How long an answer may be kept, in seconds.
const TTL: u32 = 5;

/// Most bytes of a question.
const MAX_BYTES: usize = 4096;

/// What was asked so far, lower case and without the dot at the end.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// Answers for ever.
pub(crate) async fn serve(socket: Rc<UdpSocket>, zone: Vec<(&'static str, Vec<IpAddr>)>, asked: Asked) {
    let mut buffer = [0; MAX_BYTES];
    while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..count], &zone, &asked) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

fn answer(bytes: &[u8], zone: &[(&str, Vec<IpAddr>)], asked: &Asked) -> Option<Vec<u8>> {
    let message = Message::from_vec(bytes).ok()?;
    let query = message.queries.first()?.clone();
    let name = query.name.to_ascii().to_lowercase().trim_end_matches('.').to_owned();
    asked.lock().ok()?.push(name.clone());
    if name == SILENT {
        return None;
    }
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.add_query(query.clone());
    match zone.iter().find(|(known, _)| *known == name) {
        Some((_, addresses)) => {
            reply.add_answers(addresses.iter().filter_map(|address| record(&query, *address)));
        }
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply.to_vec().ok()
}

fn record(query: &Query, address: IpAddr) -> Option<Record> {
    let data = match (address, query.query_type) {
        (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
        (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
        _ => return None,
    };
    Some(Record::from_rdata(query.name.clone(), TTL, data))
}
