//! Reads methods, types and limits out of the Rust sources that define them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::{Attribute, Expr, Fields, Item as SynItem, Lit, Meta, Type};

/// Sources of what travels.
const METHODS: [&str; 17] = [
    "protocol/src/method.rs",
    "protocol/src/method/server.rs",
    "protocol/src/method/context.rs",
    "protocol/src/method/process.rs",
    "protocol/src/method/output.rs",
    "protocol/src/method/policy.rs",
    "protocol/src/method/file.rs",
    "protocol/src/method/network.rs",
    "protocol/src/method/denial.rs",
    "protocol/src/method/changes.rs",
    "protocol/src/denial.rs",
    "protocol/src/denial/run.rs",
    "protocol/src/denial/sight.rs",
    "protocol/src/unreached.rs",
    "protocol/src/held.rs",
    "protocol/src/policy/explain.rs",
    "protocol/src/policy/lease.rs",
];

/// Sources of limits that a client may meet.
const LIMITS: [&str; 24] = [
    "protocol/src/frame.rs",
    "protocol/src/method/context.rs",
    "protocol/src/method/process.rs",
    "protocol/src/method/output.rs",
    "protocol/src/method/file.rs",
    "protocol/src/method/network.rs",
    "protocol/src/method/denial.rs",
    "protocol/src/method/changes.rs",
    "protocol/src/denial/ledger.rs",
    "protocol/src/denial/run.rs",
    "protocol/src/unreached.rs",
    "exec-server/src/wire.rs",
    "exec-server/src/serve.rs",
    "exec-server/src/serve/connection.rs",
    "exec-server/src/serve/carried.rs",
    "exec-server/src/serve/journal.rs",
    "exec-server/src/serve/outbox.rs",
    "exec-server/src/serve/wire.rs",
    "exec-server/src/serve/command.rs",
    "exec-server/src/serve/command/start.rs",
    "exec-server/src/serve/files.rs",
    "exec-server/src/daemon.rs",
    "exec-server/src/daemon/listen.rs",
    "exec-server/src/daemon/tally.rs",
];

/// A method, or a notification.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// The type of its parameters.
    pub(crate) params: Option<String>,
}

/// A type that travels: its fields, or its variants.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// The key that tells variants apart, where there is one.
    pub(crate) tag: Option<String>,
    pub(crate) is_choice: bool,
    pub(crate) fields: Vec<Field>,
}

/// A field, or a variant with what it carries.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) shape: String,
    pub(crate) is_needed: bool,
}

/// A limit.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) value: String,
}

fn read(path: &str) -> syn::File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap()
}

fn enumeration(name: &str) -> Vec<Method> {
    let files = METHODS.map(read);
    let items = files.into_iter().flat_map(|file| file.items);
    let mut found = items.filter_map(|item| match item {
        SynItem::Enum(item) if item.ident == name => Some(item),
        _ => None,
    });
    let variants = found.next().unwrap().variants.into_iter();
    let method = |variant: syn::Variant| Method {
        name: serde(&variant.attrs, "rename").unwrap(),
        doc: doc(&variant.attrs),
        params: match &variant.fields {
            Fields::Unnamed(fields) => fields.unnamed.first().map(|field| shape(&field.ty)),
            _ => None,
        },
    };
    variants.map(method).collect()
}

/// Every method, in the order of the code.
pub(crate) fn methods() -> Vec<Method> {
    enumeration("Call")
}

/// What the server says unasked.
pub(crate) fn notifications() -> Vec<Method> {
    enumeration("Event")
}

/// Every type that travels, but for those two enumerations and what frames them.
pub(crate) fn types() -> BTreeMap<String, Item> {
    const FRAMES: [&str; 6] = ["Call", "Event", "Request", "Response", "Notification", "Ask"];
    // What the server keeps of a lease.
    const KEPT: [&str; 3] = ["Lease", "LeaseError", "Use"];
    let items = METHODS.map(read).into_iter().flat_map(|file| file.items).filter_map(item);
    let items = items.filter(|item| ![&FRAMES[..], &KEPT].concat().contains(&item.name.as_str()));
    let mut found = BTreeMap::new();
    for item in items {
        let earlier = found.insert(item.name.clone(), item);
        assert!(earlier.is_none(), "two types are called {}", earlier.unwrap().name);
    }
    found
}

fn item(item: SynItem) -> Option<Item> {
    match item {
        SynItem::Struct(item) => Some(Item {
            name: item.ident.to_string(),
            doc: doc(&item.attrs),
            tag: None,
            is_choice: false,
            fields: item.fields.iter().map(field).collect(),
        }),
        SynItem::Enum(item) => Some(Item {
            name: item.ident.to_string(),
            doc: doc(&item.attrs),
            tag: serde(&item.attrs, "tag"),
            is_choice: true,
            fields: item.variants.iter().map(variant).collect(),
        }),
        _ => None,
    }
}

fn field(field: &syn::Field) -> Field {
    let shape = shape(&field.ty);
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_needed = !has(&field.attrs, "default") && !shape.ends_with('?');
    Field { name: serde(&field.attrs, "rename").unwrap_or(name), doc: doc(&field.attrs), shape, is_needed }
}

/// Variants are named in kebab case everywhere.
fn variant(variant: &syn::Variant) -> Field {
    let mut name = String::new();
    for letter in variant.ident.to_string().chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    let carried: Vec<String> = variant
        .fields
        .iter()
        .map(field)
        .map(|field| {
            if field.name.is_empty() {
                return field.shape;
            }
            let mark = if field.is_needed { "" } else { "?" };
            format!("`{}`{mark} {}: {}", field.name, field.shape, field.doc)
        })
        .collect();
    Field { name, doc: doc(&variant.attrs), shape: carried.join("<br>"), is_needed: true }
}

/// The first paragraph of a doc comment, without rustdoc's links.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(text) => match &text.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let text = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let text = text.replace("[`Self::", "[`").replace("Self::", "");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        out.push_str(&format!("{before}`{name}`"));
        rest =
            after.strip_prefix('(').and_then(|link| link.split_once(')')).map_or(after, |(_, after)| after);
    }
    out + rest
}

/// The value of a key in `#[serde(…)]`.
fn serde(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            let is_it = meta.path.is_ident(key);
            if let Ok(value) = meta.value() {
                let text: syn::LitStr = value.parse()?;
                if is_it {
                    found = Some(text.value());
                }
            }
            Ok(())
        });
    }
    found
}

fn has(attributes: &[Attribute], key: &str) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident(key);
            if let Ok(value) = meta.value() {
                value.parse::<syn::LitStr>()?;
            }
            Ok(())
        });
    }
    found
}

/// A type as JSON has it; a `?` at its end: or nothing.
fn shape(of: &Type) -> String {
    match of {
        Type::Array(array) => {
            format!("list of {} {}", value(&array.len, &BTreeMap::new()), shape(&array.elem))
        }
        Type::Tuple(tuple) => {
            format!("[{}]", tuple.elems.iter().map(shape).collect::<Vec<_>>().join(", "))
        }
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            let name = last.ident.to_string();
            let inner = match &last.arguments {
                syn::PathArguments::AngleBracketed(inner) => {
                    inner.args.iter().find_map(|inner| match inner {
                        syn::GenericArgument::Type(inner) => Some(shape(inner)),
                        _ => None,
                    })
                }
                _ => None,
            };
            match (name.as_str(), inner) {
                ("Box", Some(inner)) => inner,
                ("Within", Some(inner)) => format!("Within of {inner}"),
                ("Option", Some(inner)) => format!("{inner}?"),
                ("Vec", Some(inner)) => format!("list of {inner}"),
                ("String" | "Since" | "SocketAddr", _) => "text".to_owned(),
                ("bool", _) => "true or false".to_owned(),
                ("u64" | "i64" | "u32" | "i32" | "u16" | "ProcessId" | "ContextId" | "LeaseId", _) => {
                    "number".to_owned()
                }
                ("Value", _) => "any value".to_owned(),
                _ => name,
            }
        }
        _ => "?".to_owned(),
    }
}

/// Every named limit, by its name, with where it is defined.
pub(crate) fn limits() -> Vec<(&'static str, Vec<Limit>)> {
    let files = LIMITS.map(|path| (path, read(path)));
    let constants = |file: &syn::File| -> Vec<syn::ItemConst> {
        let items = file.items.iter();
        items
            .filter_map(|item| if let SynItem::Const(item) = item { Some(item.clone()) } else { None })
            .collect()
    };
    let known: BTreeMap<String, Expr> = files
        .iter()
        .flat_map(|(_, file)| constants(file))
        .map(|item| (item.ident.to_string(), *item.expr))
        .collect();
    let limit = |item: syn::ItemConst| {
        let is_limit = matches!(shape(&item.ty).as_str(), "number" | "usize" | "Duration");
        let (name, doc) = (item.ident.to_string(), doc(&item.attrs));
        let value = value(&item.expr, &known);
        is_limit.then_some(Limit { name, doc, value })
    };
    files
        .iter()
        .map(|(path, file)| (*path, constants(file).into_iter().filter_map(limit).collect()))
        .collect()
}

fn value(of: &Expr, known: &BTreeMap<String, Expr>) -> String {
    if let Expr::Call(call) = of
        && let (Expr::Path(path), Some(argument)) = (&*call.func, call.args.first())
    {
        let unit = match path.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
            Some("from_secs") => "s",
            Some("from_millis") => "ms",
            _ => "?",
        };
        return number(argument, known).map_or_else(|| "?".to_owned(), |number| format!("{number} {unit}"));
    }
    number(of, known).map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn number(of: &Expr, known: &BTreeMap<String, Expr>) -> Option<u64> {
    match of {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Paren(inner) => number(&inner.expr, known),
        Expr::Cast(inner) => number(&inner.expr, known),
        Expr::Path(path) => number(known.get(&path.path.segments.last()?.ident.to_string())?, known),
        Expr::Binary(both) => {
            let (left, right) = (number(&both.left, known)?, number(&both.right, known)?);
            match both.op {
                syn::BinOp::Shl(_) => left.checked_shl(right.try_into().ok()?),
                syn::BinOp::Add(_) => left.checked_add(right),
                syn::BinOp::Mul(_) => left.checked_mul(right),
                syn::BinOp::Div(_) => left.checked_div(right),
                _ => None,
            }
        }
        _ => None,
    }
}
