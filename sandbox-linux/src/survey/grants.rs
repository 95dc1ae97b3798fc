//! What path rules grant, followed name by name down the tree: the access here, and whether something is granted further
//! down. Agrees with `Filesystem::access`. Called by `walk`.

use std::collections::HashMap;

use weir_protocol::policy::{Access, Filesystem};

/// Rules as a tree of names.
#[derive(Debug)]
pub(super) struct Grants {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<[u8]>, usize>,
    /// The rule for exactly this path.
    rule: Option<(usize, Access)>,
    /// The most that a rule below this path grants.
    below: Option<Access>,
}

/// What holds for one directory or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    node: Option<usize>,
    pub(super) access: Access,
    /// The rule that covers the path.
    pub(super) rule: Option<usize>,
}

impl Grants {
    pub(super) fn new(filesystem: &Filesystem) -> Self {
        let mut grants = Self { nodes: vec![Node::default()] };
        for (index, rule) in filesystem.rules().iter().enumerate() {
            let mut at = 0;
            for name in rule.path.components() {
                grants.nodes[at].below = grants.nodes[at].below.max(Some(rule.access));
                at = grants.child(at, name);
            }
            grants.nodes[at].rule = Some((index, rule.access));
        }
        grants
    }

    fn child(&mut self, parent: usize, name: &[u8]) -> usize {
        if let Some(known) = self.nodes[parent].children.get(name) {
            return *known;
        }
        let made = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[parent].children.insert(name.into(), made);
        made
    }

    /// What holds for `/`.
    pub(super) fn start(&self) -> Standing {
        let rule = self.nodes.first().and_then(|root| root.rule);
        Standing {
            node: Some(0),
            access: rule.map_or(Access::None, |(_, access)| access),
            rule: rule.map(|(index, _)| index),
        }
    }

    /// What holds for `name` in a directory.
    pub(super) fn step(&self, above: Standing, name: &[u8]) -> Standing {
        let node = above.node.and_then(|node| self.nodes[node].children.get(name)).copied();
        match node.and_then(|node| self.nodes[node].rule) {
            Some((rule, access)) => Standing { node, access, rule: Some(rule) },
            None => Standing { node, ..above },
        }
    }

    /// The most that is granted on a path or somewhere below it.
    pub(super) fn most(&self, at: Standing) -> Access {
        let below = at.node.and_then(|node| self.nodes[node].below).unwrap_or(Access::None);
        below.max(at.access)
    }

    /// The names in a directory that lead to rules.
    pub(super) fn names(&self, at: Standing) -> impl Iterator<Item = &[u8]> {
        let node = at.node.map(|node| &self.nodes[node]);
        node.into_iter().flat_map(|node| node.children.keys().map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_protocol::AbsPath;
    use weir_protocol::policy::{FilesystemParts, Origin, PathRule};

    use super::*;

    fn path() -> impl Strategy<Value = AbsPath> {
        proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c"]), 0..4)
            .prop_map(|names| AbsPath::parse(format!("/{}", names.join("/"))).unwrap())
    }

    fn access() -> impl Strategy<Value = Access> {
        proptest::sample::select(vec![Access::None, Access::Read, Access::Copy, Access::Write])
    }

    proptest! {
        #[test]
        fn names_lead_to_what_the_rules_say(rules in proptest::collection::vec((path(), access()), 0..6), at in path()) {
            let rule = |(path, access)| PathRule {
                path, access, origin: Origin::implied("a test"), via: None, overruled: Vec::new(),
            };
            let rules = rules.into_iter().map(rule).collect();
            let filesystem = Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() });
            let grants = Grants::new(&filesystem);
            let standing = at.components().fold(grants.start(), |above, name| grants.step(above, name));
            prop_assert_eq!(standing.access, filesystem.access(&at));
            prop_assert_eq!(standing.rule.map(|rule| &filesystem.rules()[rule]), filesystem.covering(&at));
            let below = filesystem.rules().iter().filter(|rule| rule.path.starts_with(&at));
            let most = below.map(|rule| rule.access).max().unwrap_or(Access::None).max(standing.access);
            prop_assert_eq!(grants.most(standing), most);
        }
    }
}
