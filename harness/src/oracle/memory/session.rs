//! One session: the memory under test and the model, side by side.

use vhost_fuzz_core::memory::{
    Access, AddressKind, DirtyLog, Location, MemoryError, Placement, ResolveError, RingParts,
    RingSize, Space, map, ring::Part,
};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::vhost_user::payload::{LogBase, MemTable, Region, VringAddr, VringState};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Kind, Layout, Message, Payload};
use vhost_fuzz_model::memory::{self as model, Refusal};
use vhost_fuzz_model::vhost_user::Context;

use super::{Guarded, Refused, piece};
use crate::budget::without_allocating;
use crate::ledger::Ledger;
use crate::memory::{Backing, Memory, Slot, Slots};
use crate::oracle::id;
use crate::target::mem_table::{SLOTS, Step, TRANSLATIONS, attached};

/// Pieces that an answer may have: more than the regions and translations of a session give.
const PIECES_MAX: usize = 256;

/// A huge page, and the smallest one.
const PAGE_SIZES: [u64; 2] = [4096, 2 << 20];

/// What was said about a ring, as the code under test took it.
#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    size: Option<RingSize>,
    addresses: Option<VringAddr>,
    placed: Option<Placement>,
}

pub(super) struct Session<M> {
    memory: M,
    machine: model::Machine,
    ledger: Ledger,
    log: Option<DirtyLog>,
    /// The mapped log, if it is small enough.
    guarded: Option<Guarded>,
    rings: [Ring; model::RINGS],
    /// Where pieces are put, without allocating.
    seen: Vec<Location>,
}

impl<M: Memory> Default for Session<M> {
    fn default() -> Self {
        Self::new(model::Machine::new(0, 0, SLOTS, TRANSLATIONS))
    }
}

impl<M: Memory> Session<M> {
    pub(super) fn begin(step: &Step<'_>) -> Self {
        Self::new(step.machine())
    }

    fn new(machine: model::Machine) -> Self {
        Self {
            memory: M::open(machine.slots, machine.capacity),
            machine,
            ledger: Ledger::default(),
            log: None,
            guarded: None,
            rings: [Ring::default(); model::RINGS],
            seen: Vec::with_capacity(PIECES_MAX),
        }
    }

    /// The peer is gone: everything is unmapped and closed, once.
    pub(super) fn end(&mut self) {
        without_allocating("clearing the table", || self.memory.clear());
        self.ledger.settle();
    }

    /// What comes of a step; `None` when it is about a ring that there is not.
    pub(super) fn step(&mut self, step: &Step<'_>) -> Option<Result<(), Refusal>> {
        match step {
            Step::Start { .. } => None,
            Step::Request { bytes, files } => Some(self.request(bytes, files.as_deref())),
            Step::Find { is_guest, address, len } => {
                let space = if *is_guest { Space::Guest } else { Space::User };
                Some(self.find(space, *address, *len))
            }
            Step::Translate { permissions, iova, len } => {
                let access = match permissions {
                    1 => Access::Read,
                    2 => Access::Write,
                    _ => Access::ReadWrite,
                };
                Some(self.resolve(AddressKind::Iova, *iova, *len, access))
            }
            Step::Mark { address, len } => {
                if let (Some(log), Some(guarded)) = (&self.log, &self.guarded) {
                    without_allocating("marking", || {
                        self.memory.mark(log, *address, *len, guarded);
                    });
                    guarded.settle(1);
                    self.machine.mark(*address, *len);
                    self.compare_log();
                }
                Some(Ok(()))
            }
            Step::Place { ring } => self.place(*ring),
            Step::MarkUsed { ring, offset, len } => self.mark_used(*ring, *offset, *len),
            Step::Write { address, len } => {
                let kind = AddressKind::of_buffers(self.machine.features);
                let expected = self.machine.pieces(self.machine.buffer_space(2), *address, *len);
                let pieces = expected.as_ref().map_or(0, Vec::len);
                let got = self.write(kind, *address, *len, pieces);
                let expected = self.machine.write(*address, *len);
                assert_same("a write through a descriptor", &got, &expected);
                self.compare_log();
                Some(got)
            }
        }
    }

    fn kind(&self) -> AddressKind {
        AddressKind::of_rings(self.machine.features, self.machine.protocol_features)
    }

    fn request(&mut self, bytes: &[u8], files: Option<&[Option<u64>]>) -> Result<(), Refusal> {
        let files = attached(&self.machine, bytes, files);
        let Context { xen_mmap, log_shmfd, postcopy_ack, .. } = self.machine.context();
        let layout = Layout { xen_mmap, log_shmfd, postcopy_ack };
        let decoded = Message::decode(Kind::FRONTEND_REQUEST, layout, bytes, files.len());
        let got = decoded
            .map_err(|error| error.rule())
            .and_then(|message| self.message(&message, &files))
            .map_err(id);
        let expected = self.machine.message(bytes, &files);
        assert!(
            got == expected,
            "model: the request {decoded:x?} with files {files:x?} came to {got:?}\n \
             the model says {expected:?}"
        );
        self.compare();
        if got.is_ok() {
            self.compare_log();
            self.place_again();
        }
        got.map_err(|id| Refusal { id, at: 0 })
    }

    fn message(&mut self, message: &Message<'_>, files: &[Option<u64>]) -> Result<(), Rule> {
        match (message.payload, Fe(message.code)) {
            (Payload::MemTable(table), _) => self.set_table(&table, files),
            (Payload::MemReg(reg), Fe::ADD_MEM_REG) => {
                self.add(&reg.region, files.first().copied().flatten())
            }
            (Payload::MemReg(reg), _) => self.remove(&reg.region, files.len()),
            (Payload::Log(base), _) if layout_has_log(&self.machine) => self.set_log(&base),
            (Payload::Log(_) | Payload::U64(_), Fe::SET_LOG_BASE) => {
                // No descriptor came, so there is no log (DV-75).
                (self.log, self.guarded) = (None, None);
                Ok(())
            }
            (Payload::State(state), _) => self.set_num(state),
            (Payload::Addr(addresses), _) => self.set_addresses(&addresses),
            (Payload::Iotlb(iotlb), _) => {
                let space = Space::of_iotlb(self.machine.protocol_features);
                without_allocating("an IOTLB message", || self.memory.iotlb(&iotlb, space))
                    .map_err(|error| error.rule())
            }
            (payload, code) => panic!("model: request {code:?} was decoded as {payload:?}"),
        }
    }

    fn set_table(&mut self, table: &MemTable<'_>, files: &[Option<u64>]) -> Result<(), Rule> {
        let regions: Vec<Region> = table.regions().collect();
        without_allocating("judging a table", || self.memory.check_table(&regions))
            .map_err(MemoryError::rule)?;
        for (region, file) in regions.iter().zip(files) {
            self.mappable(region, *file)?;
        }
        let mut new: Slots = regions
            .iter()
            .map(|region| Slot { region: *region, backing: self.back(region) })
            .collect();
        let (open, old) = (self.ledger.open_count(), self.memory.core().table.slots().len());
        let result = without_allocating("replacing the table", || self.memory.replace(&mut new));
        // What is handed back is still there; only what did not fit may be gone.
        let gone = open.saturating_sub(self.ledger.open_count());
        let surplus = old.saturating_sub(new.capacity());
        if result.is_ok() {
            assert!(
                gone == surplus && new.len() == old - surplus,
                "fd ledger: of {old} old mappings {gone} were dropped and {} handed back, \
                 when the new table came",
                new.len()
            );
        }
        result.map_err(MemoryError::rule)
    }

    fn add(&mut self, region: &Region, file: Option<u64>) -> Result<(), Rule> {
        without_allocating("judging a region", || self.memory.check_add(region))
            .map_err(MemoryError::rule)?;
        self.mappable(region, file)?;
        let backing = self.back(region);
        let number = fd_of(&backing);
        let open = self.ledger.open_count();
        let added = without_allocating("adding a region", || self.memory.add(*region, backing));
        let old = added.map_err(|(error, _)| error.rule())?;
        // What counts is the descriptor that came last (DC-161).
        let table = &self.memory.core().table;
        let held = table.find(region).map(|index| fd_of(&table.slots()[index].backing));
        assert!(held == Ok(number), "model: descriptor {number} came, and {held:?} is kept");
        self.handed_back(open);
        drop(old);
        Ok(())
    }

    fn remove(&mut self, region: &Region, fds: usize) -> Result<(), Rule> {
        // A descriptor that comes along is closed and not used (VU-142).
        (0..fds).for_each(|_| drop(self.ledger.open()));
        let open = self.ledger.open_count();
        let removed = without_allocating("removing a region", || self.memory.remove(region));
        self.handed_back(open);
        removed.map(drop).map_err(MemoryError::rule)
    }

    /// Nothing of what was open was dropped: all of it is there, or was handed back.
    fn handed_back(&self, open: usize) {
        let gone = open.saturating_sub(self.ledger.open_count());
        assert!(gone == 0, "fd ledger: {gone} mappings were dropped, not handed back");
    }

    /// A descriptor comes, and is mapped unless it must not be (VU-127).
    fn back(&self, region: &Region) -> Backing {
        let mut is_mapped = false;
        let backing = self.memory.back(region, self.ledger.open(), |fd| {
            is_mapped = true;
            fd
        });
        assert!(
            is_mapped == matches!(backing, Backing::Mapped(_)),
            "model: a region is kept as {backing:?}, but mapped is {is_mapped}"
        );
        backing
    }

    /// Whether a back-end can map the region of a file.
    fn mappable(&self, region: &Region, file: Option<u64>) -> Result<(), Rule> {
        if map::is_on_demand(region) {
            return Ok(());
        }
        let expected = model_region(region, false);
        let mut result = Ok(());
        for page_size in PAGE_SIZES.into_iter().rev() {
            let range =
                without_allocating("a range to map", || self.memory.map_range(region, page_size));
            let (start, end) = model::pages(&expected, page_size.into());
            let skip = u128::from(region.mmap_offset) - start;
            let got = range.map(|range| {
                let start = u128::from(range.file_offset);
                (start, start + u128::from(range.len), u128::from(range.skip))
            });
            let is_same = match got {
                Ok(got) => got == (start, end, skip) && end < 1 << 63,
                Err(_) => end >= 1 << 63,
            };
            assert!(is_same, "model: pages {got:x?}\n the model says {start:x} to {end:x}");
            result = got.map(drop).map_err(|error| error.rule());
        }
        result?;
        file.map_or(Ok(()), |size| map::check_file(region, size)).map_err(|error| error.rule())
    }

    fn set_log(&mut self, base: &LogBase) -> Result<(), Rule> {
        let log = without_allocating("judging a log", || self.memory.check_log(base))
            .map_err(|error| error.rule())?;
        self.guarded = (base.size <= model::LOG_LIMIT).then(|| Guarded::new(base.size));
        self.log = Some(log);
        Ok(())
    }

    fn set_num(&mut self, VringState { index, num }: VringState) -> Result<(), Rule> {
        let packed = self.has(34);
        let Some(ring) = self.rings.get_mut(index as usize) else { return Ok(()) };
        let limit = u16::try_from(model::RING_MAX).unwrap_or(u16::MAX);
        let size =
            without_allocating("judging a ring size", || self.memory.ring_size(num, packed, limit));
        *ring = Ring { size: Some(size.map_err(|error| error.rule())?), placed: None, ..*ring };
        Ok(())
    }

    fn set_addresses(&mut self, addresses: &VringAddr) -> Result<(), Rule> {
        let index = addresses.index as usize;
        let Some(Ring { size, .. }) = self.rings.get(index).copied() else { return Ok(()) };
        if let Some(size) = size {
            let parts = self.parts(size);
            without_allocating("judging ring addresses", || {
                self.memory.check_addresses(addresses, &parts)
            })
            .map_err(|error| error.rule())?;
            if let Some(log) = &self.log {
                self.memory
                    .used_log_inside(log, addresses, &parts)
                    .map_err(|error| error.rule())?;
            }
        }
        self.rings[index] = Ring { size, addresses: Some(*addresses), placed: None };
        Ok(())
    }

    const fn has(&self, bit: u32) -> bool {
        self.machine.features >> bit & 1 == 1
    }

    const fn parts(&self, size: RingSize) -> RingParts {
        RingParts::new(size, self.has(34), self.has(29))
    }

    /// Compares everything that a request can change, but for the bits of the log.
    fn compare(&self) {
        let core = self.memory.core();
        let regions: Vec<_> = core
            .table
            .slots()
            .iter()
            .map(|slot| model_region(&slot.region, matches!(slot.backing, Backing::OnDemand(_))))
            .collect();
        let expected = &self.machine.regions;
        assert!(regions == *expected, "model: regions {regions:x?}\n the model has {expected:x?}");
        let entries: Vec<_> = core
            .iotlb
            .entries()
            .map(|entry| model::Entry {
                iova: entry.iova,
                size: entry.size,
                address: entry.address,
                is_guest: entry.space == Space::Guest,
                permissions: entry.permissions,
            })
            .collect();
        let mut expected = self.machine.entries.clone();
        expected.sort_by_key(|entry| entry.iova);
        assert!(entries == expected, "model: IOTLB {entries:x?}\n the model has {expected:x?}");
        let (size, expected) = (self.log.map(|log| log.size()), self.machine.log);
        assert!(size == expected, "model: a log of {size:x?}, the model has {expected:x?}");
    }

    fn compare_log(&self) {
        let Some(guarded) = &self.guarded else { return };
        let bytes = guarded.bytes.iter().map(std::cell::Cell::get);
        if let Some(at) = bytes.zip(&self.machine.bitmap).position(|(byte, other)| byte != *other) {
            let (byte, other) = (guarded.bytes[at].get(), self.machine.bitmap[at]);
            panic!("model: byte {at:#x} of the log is {byte:#x}, the model has {other:#x}");
        }
    }

    fn find(&mut self, space: Space, address: u64, len: u64) -> Result<(), Refusal> {
        let (kind, model_space) = match space {
            Space::User => (AddressKind::User, model::Space::User),
            Space::Guest => (AddressKind::Guest, model::Space::Guest),
        };
        let located =
            without_allocating("finding a range", || self.memory.locate(space, address, len));
        let expected = self.machine.pieces(model_space, address, len);
        let is_same = match (&expected, located) {
            (Ok(pieces), Ok(location)) => match &pieces[..] {
                [] => len == 0 && location.len == 0,
                [one] => piece(&location) == *one,
                _ => false,
            },
            (Ok(pieces), Err(MemoryError::CrossesRegions { inside, .. })) => {
                pieces.len() > 1 && pieces[0].len == inside
            }
            (Err(refusal), Err(error)) => error.refusal() == *refusal,
            _ => false,
        };
        assert!(
            is_same,
            "model: {len:#x} bytes from {address:#x} in {space:?} are at {located:x?}\n \
             the model says {expected:x?}"
        );
        self.resolve(kind, address, len, Access::Read)
    }

    /// Finds the pieces of a range, and compares them.
    fn resolve(
        &mut self,
        kind: AddressKind,
        address: u64,
        len: u64,
        access: Access,
    ) -> Result<(), Refusal> {
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        let got = without_allocating("finding pieces", || {
            self.memory.resolve(kind, address, len, access, &mut |location| {
                if seen.len() < PIECES_MAX {
                    seen.push(location);
                }
            })
        });
        let space = match kind {
            AddressKind::User => model::Space::User,
            AddressKind::Guest => model::Space::Guest,
            AddressKind::Iova => model::Space::Iova(access.permissions()),
        };
        let expected = self.machine.pieces(space, address, len);
        let is_same = match (&got, &expected) {
            (Ok(()), Ok(pieces)) => seen.iter().map(piece).eq(pieces.iter().copied()),
            (Err(error), Err(refusal)) => error.refusal() == *refusal,
            _ => false,
        };
        assert!(
            is_same,
            "model: {len:#x} bytes from {address:#x} ({kind:?}, {access:?}) are {got:x?} \
             {seen:x?}\n the model says {expected:x?}"
        );
        self.seen = seen;
        got.map_err(ResolveError::refusal)
    }

    /// Places every ring again: the map or the translations may have changed (VU-258).
    fn place_again(&mut self) {
        for ring in 0..model::RINGS {
            let _ = self.place(ring);
        }
    }

    fn place(&mut self, index: usize) -> Option<Result<(), Refusal>> {
        let Ring { size: Some(size), addresses: Some(addresses), placed: before } =
            *self.rings.get(index)?
        else {
            return None;
        };
        let (kind, parts) = (self.kind(), self.parts(size));
        let still = before.filter(|before| self.memory.is_current(before));
        let placed =
            without_allocating("placing a ring", || self.memory.place(kind, &addresses, &parts));
        let expected = self.machine.place(index)?;
        let is_same = match (&placed, &expected) {
            (Ok(placed), Ok(pieces)) => [Part::Descriptor, Part::Used, Part::Available]
                .into_iter()
                .zip(pieces)
                .all(|(part, pieces)| Some(&piece(&placed.part(part).first)) == pieces.first()),
            (Err(error), Err(refusal)) => error.refusal() == *refusal,
            _ => false,
        };
        assert!(
            is_same,
            "model: ring {index} {addresses:x?} with {parts:?} is {placed:x?}\n \
             the model says {expected:x?}"
        );
        if let Some(still) = still {
            assert!(
                placed == Ok(still),
                "model: ring {index} was current at {still:x?}\n but is {placed:x?}"
            );
        }
        if let Ok(placed) = &placed {
            for part in Part::ALL {
                let found = placed.part(part);
                // Compares all pieces.
                let _ = self.resolve(kind, found.address, found.len, found.access);
            }
        }
        self.rings[index].placed = placed.ok();
        Some(placed.map(drop).map_err(Refused::refusal))
    }

    fn mark_used(&mut self, index: usize, offset: u64, len: u64) -> Option<Result<(), Refusal>> {
        let address = self.rings.get(index)?.addresses?;
        if address.flags & VringAddr::LOG == 0 {
            return None;
        }
        let got = match (self.kind(), address.log.checked_add(offset)) {
            (AddressKind::Iova, Some(iova)) => {
                let expected = self.machine.pieces(model::Space::Iova(2), iova, len);
                let pieces = expected.as_ref().map_or(0, Vec::len);
                self.write(AddressKind::Iova, iova, len, pieces)
            }
            (AddressKind::Iova, None) => Ok(()),
            _ => {
                if let (Some(log), Some(guarded)) = (&self.log, &self.guarded) {
                    without_allocating("marking a used ring", || {
                        self.memory.mark_used(log, address.log, offset, len, guarded);
                    });
                    guarded.settle(1);
                }
                Ok(())
            }
        };
        let expected = self.machine.write_used(index, offset, len)?;
        assert_same("a write to a used ring", &got, &expected);
        self.compare_log();
        Some(got)
    }

    /// Logs a write that the model finds in so many pieces.
    fn write(
        &mut self,
        kind: AddressKind,
        address: u64,
        len: u64,
        pieces: usize,
    ) -> Result<(), Refusal> {
        let (Some(log), Some(guarded)) = (&self.log, &self.guarded) else {
            return self.resolve(kind, address, len, Access::Write);
        };
        let got = without_allocating("logging a write", || {
            self.memory.write(log, kind, address, len, guarded)
        });
        guarded.settle(pieces);
        got.map_err(ResolveError::refusal)
    }
}

fn layout_has_log(machine: &model::Machine) -> bool {
    machine.context().log_shmfd
}

fn fd_of(backing: &Backing) -> u32 {
    let (Backing::Mapped(token) | Backing::OnDemand(token)) = backing;
    token.number()
}

fn model_region(region: &Region, on_demand: bool) -> model::Region {
    model::Region {
        guest: region.guest_address,
        size: region.size,
        user: region.user_address,
        offset: region.mmap_offset,
        on_demand,
    }
}

fn assert_same(what: &str, got: &Result<(), Refusal>, expected: &Result<(), Refusal>) {
    assert!(got == expected, "model: {what} came to {got:x?}\n the model says {expected:x?}");
}
