//! Mistakes that one oracle finds and no other: somebody else's parser, and memory that flips.

use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Chain, Element, Guest, RingMemory};

use super::{Kind, Mistake};
use crate::ram::RamRegion;

/// Leaves the checksum of the IPv4 header of its answers to the driver, which was not asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeavesChecksums {
    /// The first buffer of a frame.
    first: Option<Element>,
    header_len: u64,
}

impl Mistake for LeavesChecksums {
    fn reset(&mut self, features: Features) {
        *self = Self { first: None, header_len: features.header_len() as u64 };
    }

    fn taken(&mut self, kind: Kind, chain: &Chain, _: &Guest<'_, RamRegion>) {
        match (kind, chain.writable()) {
            (Kind::Transmit, _) => self.first = None,
            (Kind::Receive, [buffer, ..]) => _ = self.first.get_or_insert(*buffer),
            _ => {}
        }
    }

    fn given(&mut self, kind: Kind, len: u32, guest: &Guest<'_, RamRegion>) {
        let Some(Element { address, len: room, .. }) = self.first.take() else { return };
        // The checksum ends behind 26 bytes of the frame.
        let needed = self.header_len + 26;
        if kind != Kind::Receive || u64::from(len.min(room)) < needed {
            return;
        }
        let _ = guest.table.slots().iter().find_map(|slot| {
            let header = address.checked_sub(slot.region.guest_address)?;
            slot.region.size.checked_sub(header)?.checked_sub(needed)?;
            let frame = header + self.header_len;
            let mut ether_type = [0; 2];
            slot.backing.read(frame + 12, &mut ether_type)?;
            (ether_type == [8, 0]).then(|| slot.backing.write(frame + 24, &[0; 2]))?
        });
    }
}

/// Looks at who a frame is for before it copies the frame (VQ-024): what it looked at is not what
/// it uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct LooksFirst {
    header_len: usize,
}

impl Mistake for LooksFirst {
    fn reset(&mut self, features: Features) {
        self.header_len = features.header_len();
    }

    fn taken(&mut self, kind: Kind, chain: &Chain, guest: &Guest<'_, RamRegion>) {
        if kind == Kind::Transmit {
            let mut looked = chain.reader(guest);
            looked.skip(self.header_len as u64);
            let _ = std::hint::black_box(looked.read(&mut [0; 6]));
        }
    }
}
