//! What is told of refusals: the right rule, the right path, and an edit that allows the act and nothing else; and nothing where a
//! command fails for reasons of its own.

mod case;
mod hosts;
mod kept;
mod limits;
mod names;
mod none;
mod records;
