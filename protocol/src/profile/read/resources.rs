//! The `resources` table: sizes, times and counts.

use std::collections::BTreeMap;

use super::reader::{Reader, printable};
use crate::policy::{Resource, Sourced};
use crate::profile::schema;
use crate::profile::source::{Entry, Node, Value};

const SIZES: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000)];

/// Most cores that a limit may name.
const MAX_CORES: f64 = 4096.0;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<Resource, Sourced<u64>> {
    let mut out = BTreeMap::new();
    for entry in reader.known_table::<schema::ResourcesTable>(node, "`resources`") {
        let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.key() == entry.key) else {
            continue;
        };
        let value = match resource {
            Resource::Cpu => read_cores(reader, entry),
            Resource::Processes | Resource::OpenFiles => read_quantity(reader, entry, &[]),
            Resource::WallTime => read_quantity(reader, entry, &TIMES),
            Resource::Memory | Resource::FileSize | Resource::Output => read_quantity(reader, entry, &SIZES),
        };
        if let Some(value) = value {
            out.insert(resource, Sourced { value, origin: reader.entry_origin(entry) });
        }
    }
    out
}

fn read_cores(reader: &mut Reader<'_>, entry: &Entry) -> Option<u64> {
    let cores = match &entry.node.value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of cores is small; larger ones are refused below"
        )]
        Value::Integer(cores) => *cores as f64,
        Value::Float(cores) => *cores,
        _ => f64::NAN,
    };
    if !(0.001..=MAX_CORES).contains(&cores) {
        let reason = format!("`cpu` is a number of cores from 0.001 to {MAX_CORES}");
        reader.error(&entry.node.span, reason, "for instance `cpu = 1.5`");
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked just above"
    )]
    let thousandths = (cores * 1000.0).round() as u64;
    Some(thousandths)
}

fn read_quantity(reader: &mut Reader<'_>, entry: &Entry, units: &[(&str, u64)]) -> Option<u64> {
    let found = match &entry.node.value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::String(text) if !units.is_empty() => parse_quantity(text, units),
        _ => None,
    };
    if let Some(value) = found.filter(|value| *value > 0) {
        return Some(value);
    }
    let shown = match &entry.node.value {
        Value::String(text) => format!("\"{}\"", printable(text)),
        Value::Integer(_) | Value::Float(_) => reader.shown(&entry.node.span),
        other => other.kind().to_owned(),
    };
    let names: Vec<_> = units.iter().map(|(unit, _)| *unit).collect();
    let help = match units.first() {
        None => "write a whole number of 1 or more".to_owned(),
        Some((base, _)) => {
            let (base, example) = if *base == "ms" { ("milliseconds", "30m") } else { ("bytes", "4GiB") };
            format!(
                "write a whole number of {base}, or text such as \"{example}\" with one of {}",
                names.join(", ")
            )
        }
    };
    reader.error(&entry.node.span, format!("`{}` cannot be {shown}", entry.key), &help);
    None
}

fn parse_quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}
