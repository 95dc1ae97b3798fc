//! The corpora of the fuzz targets, changed blindly: what must hold of any bytes holds of these.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/dns.rs"]
mod dns;
#[path = "../../../fuzz/src/opening.rs"]
mod opening;
#[path = "../../../fuzz/src/proxy.rs"]
mod proxy;

/// Changed inputs for each target.
const ROUNDS: usize = 20_000;

/// Bytes to which an input may grow.
const MAX_BYTES: usize = 4096;

/// A xorshift generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        match self.below(6) {
            0 if !bytes.is_empty() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 => bytes.truncate(at),
            3 => {
                let from = self.below(other.len());
                let part = other[from..].iter().take(self.below(40)).copied();
                drop(bytes.splice(at..at, part));
            }
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let edge = [0, 1, 0x0a, 0x0d, 0x20, 0x3a, 0x7f, 0x80, 0xc0, 0xff][self.below(10)];
                bytes.insert(at, edge);
            }
        }
        bytes.truncate(MAX_BYTES);
    }
}

fn try_changed(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("fuzz").join("corpus").join(name);
    let mut seeds: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|path| fs::read(path).unwrap()).collect();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(5) {
            let other = numbers.below(seeds.len());
            numbers.change(&mut bytes, &seeds[other]);
        }
        target(&bytes);
    }
}

#[test]
fn dns_messages() {
    try_changed("dns", dns::run);
}

#[test]
fn first_bytes() {
    try_changed("opening", opening::run);
}

#[test]
fn what_is_said_to_proxies() {
    try_changed("proxy", proxy::run);
}
