//! Inputs of the targets `split_chain` and `packed_chain`: an [image](super::image) as bytes.

use proptest::prelude::*;
use proptest::sample::select;

use vhost_fuzz_core::ring::{Features, Layout as Form};
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::image::{SIZES, table_address};
use vhost_fuzz_harness::ring::step::feature;

use super::features;
use super::image::{Descriptor, Ground, Image, image};

/// Where buffers and tables are: behind the ring, over a border, and after a hole.
const SMALL: &[(u64, u64)] = &[(table_address(Layout::Small), 0x8000), (0x2_0000, 0x4000)];

/// The same where borders are odd, and the last region is close to 2^64.
const ODD: &[(u64, u64)] = &[(table_address(Layout::Odd), 0xa000), (0xffff_ffff_ffff_0000, 0x2000)];

/// An input of a chain target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Number of a size of [`SIZES`].
    pub size: u8,
    /// Memory of several odd regions.
    pub is_odd: bool,
    /// What was negotiated.
    pub features: Features,
    /// The device does not look at the availability bits of later slots of a packed list.
    pub is_lenient: bool,
    /// Entries of a table at most; 0 is what a device says.
    pub cap: u8,
    /// Packed: the slot where processing begins.
    pub slot: u8,
    /// What memory holds. Only the first of its chains is taken.
    pub image: Image,
}

impl Input {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bit = |is: bool, bit| if is { bit } else { 0 };
        let Features { event_idx, indirect, in_order, version_1 } = self.features;
        let features = bit(event_idx, feature::EVENT_IDX)
            | bit(indirect, feature::INDIRECT)
            | bit(in_order, feature::IN_ORDER)
            | bit(!version_1, feature::LEGACY)
            | bit(self.is_lenient, feature::LENIENT);
        let head = self.image.heads.first().copied().unwrap_or(0);
        let first = match self.image.layout {
            // What does not fit is no head of such a ring, either.
            Form::Split => u8::try_from(head).unwrap_or(u8::MAX),
            Form::Packed => self.slot,
        };
        let mut bytes = vec![self.size | bit(self.is_odd, 8), features, self.cap, first];
        let mut put = |list: &[Descriptor]| {
            bytes.extend(list.iter().flat_map(|it| it.bytes(self.image.layout)));
            bytes.len()
        };
        let base = put(&self.image.descriptors);
        let layout = if self.is_odd { Layout::Odd } else { Layout::Small };
        for table in &self.image.tables {
            let offset = table.address.wrapping_sub(table_address(layout));
            bytes.resize(base + usize::try_from(offset).unwrap_or(0), 0);
            bytes.extend(table.entries.iter().flat_map(|it| it.bytes(self.image.layout)));
        }
        bytes
    }

    /// Whether the first chain, and how the ring starts, are legal.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        let most = self.image.tables.iter().map(|table| table.entries.len()).max().unwrap_or(0);
        self.image.fault.is_none() && (self.cap == 0 || usize::from(self.cap) >= most)
    }
}

/// An input whose ring starts; two in three have something wrong in memory.
pub fn input(form: Form) -> impl Strategy<Value = Input> + Clone {
    let sizes: Vec<u8> = (0..8_u8)
        .filter(|at| form == Form::Packed || SIZES[usize::from(*at)].is_power_of_two())
        .collect();
    // Small rings have room for few chains.
    let size = prop_oneof![select(sizes), 2..6_u8];
    let cap = prop_oneof![2 => Just(0), 1 => 1..8_u8];
    (size, any::<[bool; 2]>(), features(), cap, any::<u8>()).prop_flat_map(
        move |(size, [is_odd, is_lenient], features, cap, slot)| {
            let entries = SIZES[usize::from(size)];
            let at = match form {
                Form::Split => 0,
                Form::Packed => 0x8000 | (u16::from(slot) % entries),
            };
            let memory = if is_odd { ODD } else { SMALL };
            image(Ground { layout: form, size: entries, at, features, memory }).prop_map(
                move |image| Input { size, is_odd, features, is_lenient, cap, slot, image },
            )
        },
    )
}
