//! The memory that a ring is in.

use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::ring::{Features, Guest, Layout as Form, Limits, Position, Setup};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_model::ring as model;

use super::step::{Start, feature};
use crate::ram::{Area, Layout, ModelView, Ram, RamRegion};

/// Memory, and which regions of it there are for the device.
#[derive(Debug)]
pub struct World {
    /// The memory.
    pub ram: Ram,
    /// As the model reads it.
    pub view: ModelView,
    /// The regions that are there, for the device.
    pub table: MemoryTable<RamRegion>,
    /// The same for the model. Those that are not there are empty, so that numbers stay.
    pub regions: Vec<model::Region>,
    mask: u8,
}

impl World {
    /// All regions of a layout, and zeros in them.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let ram = Ram::new(layout);
        let view = ram.model_view();
        let count = layout.areas().len();
        let table = MemoryTable::new(count);
        let mut world = Self { ram, view, table, regions: Vec::with_capacity(count), mask: 0 };
        world.set_regions(u8::MAX);
        world
    }

    /// As new.
    pub fn clear(&mut self) {
        self.ram.clear();
        if self.mask != self.all() {
            self.set_regions(u8::MAX);
        }
    }

    fn all(&self) -> u8 {
        (1 << self.ram.layout().areas().len()) - 1
    }

    /// Takes regions away and brings others back: a bit for each. The generation of the table
    /// changes in any case.
    pub fn set_regions(&mut self, mask: u8) {
        self.mask = mask & self.all();
        self.table.clear();
        self.regions.clear();
        let layout = self.ram.layout();
        for (index, region) in layout.regions().into_iter().enumerate() {
            let is_there = self.mask & (1 << index) != 0;
            let size = if is_there { region.size } else { 0 };
            self.regions.push(model::Region { start: region.guest_address, size });
            if is_there {
                let added = self.table.add(region, self.ram.region(index));
                assert!(added.is_ok(), "the regions of a layout are apart");
            }
        }
    }

    /// Memory for a device.
    #[must_use]
    pub const fn guest(&self) -> Guest<'_, RamRegion> {
        Guest::new(&self.table)
    }

    /// Whether fields of a part may be where the processor cannot access them at once: in a region
    /// that is mapped askew, or over a border that is not where fields end.
    #[must_use]
    pub fn is_odd(&self, address: u64, len: u64) -> bool {
        let end = address.wrapping_add(len);
        self.ram.layout().areas().iter().any(|Area { start, size, skew, .. }| {
            let last = start.wrapping_add(*size);
            let meets = address < last && *start < end;
            let is_cut = meets && (last < end || *start > address);
            (meets && *skew != 0) || (is_cut && self.ram.layout() == Layout::Odd)
        })
    }
}

/// How core is told to start; nothing when there is no such size.
#[must_use]
pub fn setup(start: &Start) -> Option<Setup> {
    let size = RingSize::check(start.size.into(), true, RingSize::MAX).ok()?;
    let [descriptor, available, used] = start.parts;
    let has = |bit: u8| start.features & bit != 0;
    let table = match start.cap {
        0 => Limits::of(size).table,
        cap => cap.into(),
    };
    Some(Setup {
        size,
        addresses: VringAddr { index: 0, flags: 0, descriptor, used, available, log: 0 },
        ring_kind: AddressKind::Guest,
        buffer_kind: AddressKind::Guest,
        features: Features {
            event_idx: has(feature::EVENT_IDX),
            indirect: has(feature::INDIRECT),
            in_order: has(feature::IN_ORDER),
            version_1: !has(feature::LEGACY),
        },
        limits: Limits { table, is_strict: !has(feature::LENIENT) },
    })
}

/// Where core is told to begin.
#[must_use]
pub const fn position(form: Form, base: u32) -> Position {
    Position::of(base, matches!(form, Form::Packed), false)
}

/// How the model is told to start.
#[must_use]
pub fn model_setup(start: &Start) -> model::Setup {
    let has = |bit: u8| start.features & bit != 0;
    let [descriptor, available, used] = start.parts;
    model::Setup {
        size: start.size,
        descriptor,
        available,
        used,
        event_idx: has(feature::EVENT_IDX),
        indirect: has(feature::INDIRECT),
        in_order: has(feature::IN_ORDER),
        version_1: !has(feature::LEGACY),
        cap: match start.cap {
            0 => model::Setup::default_cap(start.size),
            cap => cap.into(),
        },
        strict: !has(feature::LENIENT),
        epoch: 0,
    }
}
