//! The addresses that stand for names inside one sandbox.
//!
//! Bounded: where all places are taken, the name that was used longest ago and has no connection gives way. An address is given
//! to another name only after all others of its range have had their turn, for programs keep addresses longer than they should.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use weir_protocol::gate::{FIRST_V4, FIRST_V6, SYNTHETIC_V4, SYNTHETIC_V6};

/// Names that have an address at a time.
pub const MAX_NAMES: usize = 4096;

/// The table.
#[derive(Debug)]
pub struct Names {
    by_name: HashMap<Rc<str>, Entry>,
    by_number: HashMap<u32, Rc<str>>,
    /// When each was used last: the first gives way first.
    by_use: BTreeMap<u64, Rc<str>>,
    uses: u64,
    next: u32,
    most: usize,
}

#[derive(Debug)]
struct Entry {
    number: u32,
    used: u64,
    connections: usize,
}

/// Addresses that a range has for names.
fn room() -> u32 {
    u32::from(SYNTHETIC_V4.broadcast()) - u32::from(FIRST_V4)
}

impl Default for Names {
    fn default() -> Self {
        Self::new(MAX_NAMES)
    }
}

impl Names {
    /// A table of at most `most` names.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            by_number: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            next: 0,
            most,
        }
    }

    /// The addresses of a name, given to it now where it had none; `None` where every place is taken by an open connection.
    pub fn addresses(&mut self, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        if !self.by_name.contains_key(name) {
            self.add(name)?;
        }
        let number = self.by_name.get(name)?.number;
        self.touch(name);
        Some((
            Ipv4Addr::from(u32::from(FIRST_V4) + number),
            Ipv6Addr::from(u128::from(FIRST_V6) + u128::from(number)),
        ))
    }

    /// The name that an address stands for.
    pub fn name(&mut self, address: IpAddr) -> Option<Rc<str>> {
        let name = Rc::clone(self.by_number.get(&number(address)?)?);
        self.touch(&name);
        Some(name)
    }

    /// A connection to a name begins: it stays until as many have ended.
    pub fn begin(&mut self, name: &str) {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.connections += 1;
        }
    }

    /// A connection to a name has ended.
    pub fn end(&mut self, name: &str) {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn add(&mut self, name: &str) -> Option<()> {
        if self.by_name.len() >= self.most {
            self.give_way()?;
        }
        while self.by_number.contains_key(&self.next) {
            self.next = (self.next + 1) % room();
        }
        let (name, number) = (Rc::<str>::from(name), self.next);
        self.next = (self.next + 1) % room();
        self.by_number.insert(number, Rc::clone(&name));
        self.by_name.insert(Rc::clone(&name), Entry { number, used: self.uses, connections: 0 });
        self.by_use.insert(self.uses, name);
        self.uses += 1;
        Some(())
    }

    fn touch(&mut self, name: &str) {
        let Some(entry) = self.by_name.get_mut(name) else { return };
        if let Some(name) = self.by_use.remove(&entry.used) {
            entry.used = self.uses;
            self.by_use.insert(self.uses, name);
            self.uses += 1;
        }
    }

    fn give_way(&mut self) -> Option<()> {
        let idle = |name: &&Rc<str>| self.by_name.get(*name).is_none_or(|entry| entry.connections == 0);
        let name = Rc::clone(self.by_use.values().find(idle)?);
        let entry = self.by_name.remove(&name)?;
        self.by_use.remove(&entry.used);
        self.by_number.remove(&entry.number);
        Some(())
    }
}

/// Which place of a range an address is.
fn number(address: IpAddr) -> Option<u32> {
    match address.to_canonical() {
        IpAddr::V4(v4) if SYNTHETIC_V4.contains(&v4) => u32::from(v4).checked_sub(u32::from(FIRST_V4)),
        IpAddr::V6(v6) if SYNTHETIC_V6.contains(&v6) => {
            u128::from(v6).checked_sub(u128::from(FIRST_V6)).and_then(|number| u32::try_from(number).ok())
        }
        _ => None,
    }
}

/// Whether an address is in a synthetic range, whatever it stands for.
#[must_use]
pub fn is_synthetic(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => SYNTHETIC_V4.contains(&v4),
        IpAddr::V6(v6) => SYNTHETIC_V6.contains(&v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_addresses_and_they_lead_back() {
        let mut names = Names::default();
        let (v4, v6) = names.addresses("a.example").unwrap();
        assert_eq!((v4, v6), (FIRST_V4, FIRST_V6));
        let other = names.addresses("b.example").unwrap();
        assert_ne!(other.0, v4);
        assert_eq!(names.addresses("a.example"), Some((v4, v6)));
        for address in [IpAddr::V4(v4), IpAddr::V6(v6), IpAddr::V6(v4.to_ipv6_mapped())] {
            assert_eq!(names.name(address).as_deref(), Some("a.example"), "{address}");
        }
        for stranger in ["198.18.0.1", "198.18.1.2", "198.20.0.0", "2001:2::1", "2001:2:0:1::2", "10.0.0.1"] {
            assert_eq!(names.name(stranger.parse().unwrap()), None, "{stranger}");
        }
    }

    #[test]
    fn ten_thousand_names_take_bounded_room_and_what_is_in_use_stays() {
        let mut names = Names::new(100);
        let held = names.addresses("held.example").unwrap();
        names.begin("held.example");
        let mut seen = std::collections::HashSet::from([held.0]);
        for at in 0..10_000 {
            let (v4, _) = names.addresses(&format!("n{at}.example")).unwrap();
            assert!(seen.insert(v4), "an address was given again at once");
            assert!(names.len() <= 100 && names.by_number.len() <= 100 && names.by_use.len() <= 100);
        }
        assert_eq!(names.name(held.0.into()).as_deref(), Some("held.example"));
        names.end("held.example");
        for at in 0..100 {
            names.addresses(&format!("m{at}.example"));
        }
        assert_eq!(names.name(held.0.into()), None);
    }

    #[test]
    fn addresses_wrap_around_and_skip_what_is_taken() {
        let mut names = Names::new(2);
        let held = names.addresses("held.example").unwrap();
        names.begin("held.example");
        names.next = room() - 1;
        let (last, _) = names.addresses("last.example").unwrap();
        assert!(SYNTHETIC_V4.contains(&last));
        let (next, _) = names.addresses("next.example").unwrap();
        assert_eq!(u32::from(next), u32::from(held.0) + 1);
    }

    #[test]
    fn nothing_gives_way_to_open_connections() {
        let mut names = Names::new(1);
        names.addresses("a.example");
        names.begin("a.example");
        assert_eq!(names.addresses("b.example"), None);
        names.end("a.example");
        assert!(names.addresses("b.example").is_some());
    }
}
