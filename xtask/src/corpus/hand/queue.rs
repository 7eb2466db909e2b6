//! Inputs of `diff_virtio_queue`: what both rings have to do alike, and one for each way in which
//! they may differ.

mod alike;
mod apart;

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::peer::queue::walk::Start;
use vhost_fuzz_harness::script::{self, Actor, Record};

const OK: &str = "accept";

// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Where a ring is put unless a seed says otherwise.
const PLACE: Start =
    Start { size: 8, features: 0, descriptor: 0x1000, available: 0x2000, used: 0x3000, base: 0 };

/// Where buffers are put unless a seed says otherwise.
const DATA: u64 = 0x6000;

/// Where an indirect table is put.
const TABLE: u64 = 0x8000;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [alike::seeds(), apart::seeds()].concat()
}

/// A descriptor: address, length, flags and next.
type Descriptor = (u64, u32, u16, u16);

fn bytes(descriptors: &[Descriptor]) -> Vec<u8> {
    let one = |&(address, len, flags, next): &Descriptor| {
        let front = [&address.to_le_bytes()[..], &len.to_le_bytes()].concat();
        [front, flags.to_le_bytes().to_vec(), next.to_le_bytes().to_vec()].concat()
    };
    descriptors.iter().flat_map(one).collect()
}

/// A chain of `count` descriptors from the first one of its table on, each of `len` bytes behind
/// the other; those from `readable` on are writable.
fn chain(count: u16, readable: u16, len: u32) -> Vec<Descriptor> {
    let one = |at: u16| {
        let flags = if at < readable { 0 } else { WRITE } | if at + 1 < count { NEXT } else { 0 };
        (DATA + u64::from(at) * u64::from(len), len, flags, at + 1)
    };
    (0..count).map(one).collect()
}

/// A script in the making.
#[derive(Clone)]
struct Script(Vec<Record<'static>>);

impl Script {
    /// A ring of 8 with these features.
    fn new(features: u8) -> Self {
        Self(Vec::new()).start(Start { features, ..PLACE })
    }

    /// Memory without a ring.
    fn empty() -> Self {
        Self(Vec::new())
    }

    fn act(mut self, actor: Actor, operation: u8, arguments: Vec<u8>) -> Self {
        self.0.push(Record::Action { actor, operation, arguments: arguments.into() });
        self
    }

    fn start(self, start: Start) -> Self {
        let mut arguments = start.size.to_le_bytes().to_vec();
        arguments.push(start.features);
        arguments.extend(start.base.to_le_bytes());
        for address in [start.descriptor, start.available, start.used] {
            arguments.extend(address.to_le_bytes());
        }
        self.act(Actor::Device, 0, arguments)
    }

    /// A ring whose two indexes in memory are what it starts with.
    fn at(self, start: Start) -> Self {
        let index = start.base.to_le_bytes();
        self.write(start.available + 2, &index).write(start.used + 2, &index).start(start)
    }

    fn write(mut self, address: u64, bytes: &[u8]) -> Self {
        self.0.push(Record::GuestWrite { address, bytes: bytes.to_vec().into() });
        self
    }

    /// Bytes that count, so that it shows which of them were read.
    fn data(self, address: u64, len: u8) -> Self {
        self.write(address, &(1..=len).collect::<Vec<_>>())
    }

    /// Descriptors of the ring, from an index on.
    fn describe(self, index: u16, descriptors: &[Descriptor]) -> Self {
        let arguments = [&index.to_le_bytes()[..], &bytes(descriptors)].concat();
        self.act(Actor::Driver, 0, arguments)
    }

    /// An indirect table.
    fn table(self, address: u64, descriptors: &[Descriptor]) -> Self {
        self.write(address, &bytes(descriptors))
    }

    /// Makes chains available.
    fn offer(self, heads: &[u16]) -> Self {
        self.act(Actor::Driver, 1, heads.iter().flat_map(|head| head.to_le_bytes()).collect())
    }

    fn used_event(self, index: u16) -> Self {
        self.act(Actor::Driver, 2, index.to_le_bytes().to_vec())
    }

    fn flags(self, flags: u16) -> Self {
        self.act(Actor::Driver, 3, flags.to_le_bytes().to_vec())
    }

    /// Takes all that is available, in one wake-up.
    fn take(self) -> Self {
        self.act(Actor::Device, 1, vec![0])
    }

    /// Takes at most `limit` chains, and writes to each.
    fn fill(self, limit: u8, len: u16) -> Self {
        let [low, high] = len.to_le_bytes();
        self.act(Actor::Device, 1, vec![limit, low, high])
    }

    /// Gives `count` buffers back, from the one at a place on.
    fn put(self, at: u8, count: u8) -> Self {
        self.act(Actor::Device, 2, vec![at, count])
    }

    /// Gives one back with a length.
    fn put_len(self, at: u8, len: u32) -> Self {
        let arguments = [&[at, 1][..], &len.to_le_bytes()].concat();
        self.act(Actor::Device, 2, arguments)
    }

    fn arm(self) -> Self {
        self.act(Actor::Device, 3, Vec::new())
    }

    fn disarm(self) -> Self {
        self.act(Actor::Device, 4, Vec::new())
    }

    /// Stops the ring and starts it again: 0 drained, 1 at the used index, 2 as it was.
    fn restart(self, how: u8) -> Self {
        self.act(Actor::Device, 5, vec![how])
    }

    fn seed(&self, name: &str, expect: &str, shows: &str) -> Seed {
        super::seed(name, expect, shows, script::encode(&self.0))
    }
}

/// A malformed chain at head 0 and a good one at head 7, taken and given back.
fn dropped(features: u8, descriptors: &[Descriptor]) -> Script {
    Script::new(features)
        .describe(0, descriptors)
        .describe(7, &[(DATA, 16, WRITE, 0)])
        .offer(&[0, 7])
        .fill(0, 16)
        .put(0, 2)
        .arm()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vhost_fuzz_harness::peer::queue::device::Core;
    use vhost_fuzz_harness::peer::queue::divergences::ALLOWED;
    use vhost_fuzz_harness::peer::queue::judge::Came;
    use vhost_fuzz_harness::target::diff_virtio_queue::{Stage, judge};

    use super::*;

    #[test]
    fn every_seed_comes_out_as_it_says() {
        let seeds = seeds();
        assert!(seeds.len() >= 60, "{} seeds", seeds.len());
        let mut stage = Stage::<Core>::default();
        for seed in seeds {
            let mut came = judge(&seed.bytes).into_iter().flat_map(|(_, came)| came);
            let broken = came.find_map(|came| came.broken());
            let got = broken.map_or(OK.to_owned(), |id| id.to_string());
            assert_eq!(got, seed.entry.expect, "{}", seed.name);
            let tally = stage.check(&seed.bytes);
            assert!(tally.operations > 1, "{}", seed.name);
        }
    }

    #[test]
    fn every_row_of_the_divergences_has_a_seed() {
        let mut seen = BTreeSet::new();
        for seed in seeds() {
            for came in judge(&seed.bytes).into_iter().flat_map(|(_, came)| came) {
                if let Came::Shaped(shape) = came {
                    seen.insert(format!("{shape:?}"));
                }
            }
        }
        for row in ALLOWED {
            assert!(seen.contains(&format!("{:?}", row.shape)), "{row:?}");
        }
    }
}
