//! `publish` of the `network` table.

use super::reader::{Reader, printable};
use crate::policy::publish::MAX_PUBLISHED;
use crate::policy::{Origin, PublishRule, Published};
use crate::profile::source::{Node, Value};

const EXAMPLE: &str = "for instance `publish = [8080, \"3000:80\"]`, the host's port first";

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<PublishRule>> {
    let Value::Array(items) = &node.value else {
        reader.error(&node.span, format!("`publish` is a list of ports, not {}", node.value.kind()), EXAMPLE);
        return None;
    };
    let mut out: Vec<PublishRule> = Vec::new();
    for item in items {
        reader.count_rule(&item.span);
        let Some(what) = read_one(reader, item) else { continue };
        if let Some(first) = out.iter().find(|rule| rule.what.host() == what.host()) {
            let port =
                what.host().map_or_else(|| "`*`".to_owned(), |port| format!("port {port} of the host"));
            let reason = format!("{port} stands twice (see {})", first.origin.whence());
            reader.error(&item.span, reason, "a port leads to one place");
        } else {
            let rule = format!("publish = [\"{what}\"]");
            let origin = Origin { rule, ..reader.origin(&item.span, &item.span) };
            out.push(PublishRule { what, origin });
        }
    }
    if out.len() > MAX_PUBLISHED {
        let reason = format!("more than {MAX_PUBLISHED} published ports");
        reader.error(&node.span, reason, "publish those that are used");
    }
    Some(out)
}

fn read_one(reader: &mut Reader<'_>, item: &Node) -> Option<Published> {
    let text = match &item.value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => {
            reader.error(&item.span, format!("a port is expected here, not {}", other.kind()), EXAMPLE);
            return None;
        }
    };
    match text.parse() {
        Ok(what) => Some(what),
        Err(error) => {
            reader.error(&item.span, format!("`{}`: {error}", printable(&text)), EXAMPLE);
            None
        }
    }
}
