//! What a person wrote: the profile document, read strictly, every value with its place.
//!
//! Reading has two steps. [`source`] turns TOML or JSON text into one tree with byte spans; [`read`] turns the tree into a
//! [`Document`], reporting every problem at once. Inside `permissions` an unknown key or word is an error; tables that are
//! not about permissions belong to others and are left alone. Nothing here touches the file system.

pub mod diagnostic;
pub mod document;
pub mod read;
pub mod schema;
pub mod source;
pub mod trust;

pub use diagnostic::{Diagnostic, Report, Severity};
pub use document::{Base, Document, PathEntry, Profile, Token};
pub use source::{Format, Source};
pub use trust::{Standing, Trust};

/// Largest document accepted, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Most rules (paths, patterns, hosts, sockets, variables) in one document.
pub const MAX_RULES: usize = 10_000;

/// Most patterns in one document: each costs memory in every policy made from it.
pub const MAX_PATTERNS: usize = 1_000;

/// Deepest nesting of tables and arrays.
pub const MAX_DEPTH: usize = 32;

/// Most problems reported for one document.
pub const MAX_DIAGNOSTICS: usize = 50;
