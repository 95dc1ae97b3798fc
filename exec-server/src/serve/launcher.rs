//! What the server part says to a launcher: one order, and the first word about it.

use std::os::fd::BorrowedFd;

use serde_json::Value;
use weir_protocol::frame::Frame;
use weir_protocol::method::changes::Ask;
use weir_protocol::method::process::Planned;
use weir_protocol::method::{Error, code};

use super::wire::{Incoming, Wire};
use crate::launch::inquiry::{Answered, Inquiry};
use crate::launch::{Launch, Order, Told};
use crate::wire::WireError;

pub(super) fn failed(error: impl std::fmt::Display) -> Error {
    Error { code: code::LAUNCH, message: format!("the command could not be started: {error}") }
}

pub(super) fn unexpected() -> Error {
    failed("the launcher has said something else")
}

/// Sends one order and hears the first word about it.
pub(super) async fn order(
    launcher: &Wire,
    incoming: &mut Incoming,
    order: &Order,
    passed: &[BorrowedFd<'_>],
) -> Result<Told, Error> {
    launcher.say(order, passed).await.map_err(failed)?;
    match hear(launcher, incoming).await.map_err(failed)? {
        Some(Told::Refused { code, message }) => Err(Error { code, message }),
        Some(told) => Ok(told),
        None => Err(failed("the launcher has gone")),
    }
}

pub(super) async fn hear(launcher: &Wire, incoming: &mut Incoming) -> Result<Option<Told>, WireError> {
    loop {
        if let Some(frame) = incoming.take()? {
            let Frame::Control(payload) = frame else { return Err(WireError::Gone) };
            return Ok(Some(serde_json::from_slice(payload)?));
        }
        if !launcher.read(incoming).await? {
            return Ok(None);
        }
    }
}

/// Compiles a plan.
pub(super) async fn plan(launcher: Wire, launch: Launch) -> Result<Value, Error> {
    let mut incoming = Incoming::default();
    match order(&launcher, &mut incoming, &Order::Plan(Box::new(launch)), &[]).await? {
        Told::Planned { enforcement, listing } => {
            serde_json::to_value(Planned { enforcement, listing }).map_err(failed)
        }
        _ => Err(unexpected()),
    }
}

/// Asks what of a plan holds the answers to questions.
pub(super) async fn hold(launcher: Wire, inquiry: Inquiry) -> Result<Vec<Answered>, Error> {
    match order(&launcher, &mut Incoming::default(), &Order::Hold(Box::new(inquiry)), &[]).await? {
        Told::Held(answers) => Ok(answers),
        _ => Err(unexpected()),
    }
}

/// Tries what this host can enforce.
pub(super) async fn examine(launcher: Wire) -> Result<Value, Error> {
    match order(&launcher, &mut Incoming::default(), &Order::Examine, &[]).await? {
        Told::Examined(examined) => serde_json::to_value(examined).map_err(failed),
        _ => Err(unexpected()),
    }
}

/// Asks about copies, which only who has the user's rights can reach.
pub(super) async fn copies(launcher: Wire, ask: Ask) -> Result<Value, Error> {
    match order(&launcher, &mut Incoming::default(), &Order::Copies(Box::new(ask)), &[]).await? {
        Told::Copies(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}
