//! Inputs of `mem_table`: one for each way in which memory is refused, and for the borders of
//! what is not.

mod iotlb;
mod log;
mod ring;
mod table;

use vhost_fuzz_core::vhost_user::{FrontendRequest, Kind};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::{self, Actor, FdKind, Record};

use super::{longs, wire, words};

const ASK_ACK: u32 = 0x9;

const OK: &str = "accept";

/// Bytes of a region, unless a seed says otherwise.
const SIZE: u64 = 0x20_0000;

/// The user address of the first region.
const USER: u64 = 0x7f00_0000_0000;

// Virtio feature bits.
const LOG_ALL: u64 = 1 << 26;
const EVENT_IDX: u64 = 1 << 29;
const IOMMU_PLATFORM: u64 = 1 << 33;
const RING_PACKED: u64 = 1 << 34;

// Protocol feature bits.
const LOG_SHMFD: u64 = 1 << 1;
const XEN_MMAP: u64 = 1 << 17;
const GPA_ADDRESSES: u64 = 1 << 21;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [table::seeds(), iotlb::seeds(), log::seeds(), ring::seeds()].concat()
}

/// The four numbers of a region: guest address, size, user address, mmap offset.
type Region = [u64; 4];

/// Region number `index` of a row of regions that touch in both address spaces.
const fn region(index: u64) -> Region {
    [index * SIZE, SIZE, USER + index * SIZE, 0]
}

/// A script in the making.
#[derive(Clone)]
struct Script(Vec<Record<'static>>);

impl Script {
    /// A session with these features.
    fn new(features: u64, protocol_features: u64) -> Self {
        Self(Vec::new()).act(Actor::Device, 0, &[], &[features, protocol_features])
    }

    /// A session with fewer slots.
    fn with_slots(slots: u8) -> Self {
        let mut arguments = vec![0; 16];
        arguments.push(slots);
        let actor = Actor::Device;
        Self(vec![Record::Action { actor, operation: 0, arguments: arguments.into() }])
    }

    fn act(mut self, actor: Actor, operation: u8, bytes: &[u8], numbers: &[u64]) -> Self {
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        let arguments = bytes.iter().copied().chain(numbers).collect::<Vec<_>>().into();
        self.0.push(Record::Action { actor, operation, arguments });
        self
    }

    fn ask(mut self, request: FrontendRequest, payload: &[u8]) -> Self {
        let bytes = wire(request.0, ASK_ACK, payload).into();
        self.0.push(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes });
        self
    }

    /// Attaches files of these sizes to what is asked next.
    fn files(mut self, sizes: &[u64]) -> Self {
        let file = |size: &u64| Record::Fd { kind: FdKind::MEMFD, seals: 0, size: *size };
        self.0.extend(sizes.iter().map(file));
        self
    }

    /// Sends a table of these regions.
    fn table(self, regions: &[Region]) -> Self {
        self.ask(FrontendRequest::SET_MEM_TABLE, &table_of(regions))
    }

    fn add(self, region: Region) -> Self {
        self.ask(FrontendRequest::ADD_MEM_REG, &[longs(&[0]), longs(&region)].concat())
    }

    fn remove(self, region: Region) -> Self {
        self.ask(FrontendRequest::REM_MEM_REG, &[longs(&[0]), longs(&region)].concat())
    }

    /// Asks where a range of user addresses is.
    fn find_user(self, address: u64, len: u64) -> Self {
        self.act(Actor::Driver, 1, &[0], &[address, len])
    }

    /// Asks where a range of guest physical addresses is.
    fn find_guest(self, address: u64, len: u64) -> Self {
        self.act(Actor::Driver, 1, &[1], &[address, len])
    }

    fn translate(self, permissions: u8, iova: u64, len: u64) -> Self {
        self.act(Actor::Driver, 2, &[permissions], &[iova, len])
    }

    fn mark(self, address: u64, len: u64) -> Self {
        self.act(Actor::Driver, 3, &[], &[address, len])
    }

    fn place(self, ring: u8) -> Self {
        self.act(Actor::Driver, 4, &[ring], &[])
    }

    fn mark_used(self, ring: u8, offset: u64, len: u64) -> Self {
        self.act(Actor::Driver, 5, &[ring], &[offset, len])
    }

    fn write(self, address: u64, len: u64) -> Self {
        self.act(Actor::Driver, 6, &[], &[address, len])
    }

    fn iotlb(self, kind: u8, iova: u64, size: u64, address: u64, permissions: u8) -> Self {
        let mut payload = longs(&[iova, size, address]);
        payload.extend([permissions, kind, 0, 0, 0, 0, 0, 0]);
        self.ask(FrontendRequest::IOTLB_MSG, &payload)
    }

    fn update(self, iova: u64, size: u64, address: u64, permissions: u8) -> Self {
        self.iotlb(2, iova, size, address, permissions)
    }

    fn invalidate(self, iova: u64, size: u64) -> Self {
        self.iotlb(3, iova, size, 0, 0)
    }

    fn num(self, ring: u32, num: u32) -> Self {
        self.ask(FrontendRequest::SET_VRING_NUM, &words(&[ring, num]))
    }

    /// Tells where a ring is: descriptor, used and available part, and the log address.
    fn ring(self, ring: u32, flags: u32, addresses: [u64; 4]) -> Self {
        let payload = [words(&[ring, flags]), longs(&addresses)].concat();
        self.ask(FrontendRequest::SET_VRING_ADDR, &payload)
    }

    fn log(self, size: u64, offset: u64) -> Self {
        self.ask(FrontendRequest::SET_LOG_BASE, &longs(&[size, offset]))
    }

    fn seed(&self, name: &str, expect: &str, shows: &str) -> Seed {
        super::seed(name, expect, shows, script::encode(&self.0))
    }
}

fn table_of(regions: &[Region]) -> Vec<u8> {
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    regions.iter().fold(words(&[count, 0]), |bytes, region| [bytes, longs(region)].concat())
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_harness::memory::Core;
    use vhost_fuzz_harness::target::mem_table::{check, judge};

    use super::*;

    #[test]
    fn every_seed_comes_out_as_it_says() {
        let seeds = seeds();
        assert!(seeds.len() >= 60, "{} seeds", seeds.len());
        for seed in seeds {
            let outcome = check::<Core>(&seed.bytes);
            let got = outcome.broken.map_or(OK.to_owned(), |id| id.to_string());
            assert_eq!(got, seed.entry.expect, "{}", seed.name);
            assert_eq!(outcome, judge(&seed.bytes), "{}", seed.name);
            assert!(outcome.steps > 1, "{}", seed.name);
        }
    }
}
