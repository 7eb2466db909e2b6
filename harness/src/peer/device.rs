//! The device behind a peer: the rules of the specification that a protocol library leaves to
//! its user, in the simplest form. It shares no code with the core.

use std::fs::File;

use super::offer;

/// The device says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// What the device answers.
pub(super) type Answer<T = ()> = Result<T, Refused>;

const LOG_ALL: u64 = 1 << 26;
const PROTOCOL_FEATURES: u64 = 1 << 30;
const RING_PACKED: u64 = 1 << 34;

/// A ring as the device was told about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Entries, 0 before they were set.
    pub size: u16,
    /// The base as set last, or as returned last.
    pub base: u32,
    /// Descriptor, used, available and log address.
    pub addr: Option<[u64; 4]>,
    /// A kick was given since the last stop.
    pub started: bool,
    /// It is enabled.
    pub enabled: bool,
}

/// A memory region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Guest physical address.
    pub guest: u64,
    /// Bytes.
    pub size: u64,
    /// Front-end's address.
    pub user: u64,
    /// Offset in the file.
    pub offset: u64,
}

/// A device that can do nothing but remember. Descriptors that it was given are closed at once.
#[derive(Clone, Debug)]
pub struct Device {
    features: Option<u64>,
    protocol: u64,
    rings: [Ring; offer::QUEUES as usize],
    regions: Vec<Region>,
    config: Vec<u8>,
    transfers: bool,
    /// Requests are tracked in an in-flight area.
    tracks: bool,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            features: None,
            protocol: 0,
            rings: Default::default(),
            regions: Vec::new(),
            config: offer::config(),
            transfers: false,
            tracks: false,
        }
    }
}

fn check(condition: bool) -> Answer {
    if condition { Ok(()) } else { Err(Refused) }
}

impl Device {
    /// The rings by their indexes.
    #[must_use]
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// The regions, in the order in which they came.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The features that were set last.
    #[must_use]
    pub fn features(&self) -> Option<u64> {
        self.features
    }

    /// The protocol features that were set last.
    #[must_use]
    pub fn protocol(&self) -> u64 {
        self.protocol
    }

    fn ring(&mut self, index: u32) -> Answer<&mut Ring> {
        self.rings.get_mut(index as usize).ok_or(Refused) // VU-079
    }

    /// A ring that may be changed because it is stopped (DC-017).
    fn stopped_ring(&mut self, index: u32) -> Answer<&mut Ring> {
        self.ring(index).and_then(|ring| if ring.started { Err(Refused) } else { Ok(ring) })
    }

    fn any_started(&self) -> bool {
        self.rings.iter().any(|ring| ring.started)
    }

    fn is_packed(&self) -> bool {
        self.features.is_some_and(|features| features & RING_PACKED != 0)
    }

    /// `SET_FEATURES`.
    pub(super) fn set_features(&mut self, features: u64) -> Answer {
        check(features & !offer::FEATURES == 0)?; // VU-041
        let changed = features ^ self.features.unwrap_or(0);
        check(!self.any_started() || changed & !LOG_ALL == 0)?; // DC-016
        self.features = Some(features);
        if features & PROTOCOL_FEATURES == 0 {
            self.rings.iter_mut().for_each(|ring| ring.enabled = true); // VU-042
        }
        Ok(())
    }

    /// `SET_PROTOCOL_FEATURES` (VU-050).
    pub(super) fn set_protocol_features(&mut self, features: u64) -> Answer {
        check(features & !offer::PROTOCOL_FEATURES == 0)?;
        self.protocol = features;
        Ok(())
    }

    /// `RESET_OWNER` (VU-056).
    pub(super) fn reset_owner(&mut self) {
        self.rings.iter_mut().for_each(|ring| ring.enabled = false);
    }

    /// `RESET_DEVICE` (VU-222, DC-019).
    pub(super) fn reset(&mut self) {
        self.rings = Default::default();
        self.features = None;
        self.transfers = false;
        self.tracks = false;
    }

    /// `SET_MEM_TABLE`: all regions at once (VU-260).
    pub(super) fn set_regions(&mut self, regions: &[Region], files: &[File]) -> Answer {
        check(regions.len() <= offer::MEM_SLOTS.into())?; // DC-022
        for (at, region) in regions.iter().enumerate() {
            check_region(region, &regions[..at])?;
        }
        regions.iter().zip(files).try_for_each(|(region, file)| check_file(region, file))?;
        self.regions = regions.to_vec();
        Ok(())
    }

    /// Where a region is (VU-138).
    fn place(&self, region: &Region) -> Option<usize> {
        let Region { guest, user, size, .. } = *region;
        let same = |other: &Region| (other.guest, other.user, other.size) == (guest, user, size);
        self.regions.iter().position(same)
    }

    /// `ADD_MEM_REG` (VU-137).
    pub(super) fn add_region(&mut self, region: Region, file: &File) -> Answer {
        if let Some(at) = self.place(&region) {
            check_region(&region, &[])?;
            check_file(&region, file)?;
            self.regions[at] = region; // DC-161
            return Ok(());
        }
        check(self.regions.len() < offer::MEM_SLOTS.into())?; // DC-022
        check_region(&region, &self.regions)?;
        check_file(&region, file)?;
        self.regions.push(region);
        Ok(())
    }

    /// `REM_MEM_REG` (VU-138, VU-139, VU-143).
    pub(super) fn remove_region(&mut self, region: &Region) -> Answer {
        match self.place(region) {
            Some(at) => {
                self.regions.remove(at);
                Ok(())
            }
            // DC-162: nothing to do if nothing of it is there.
            None => check_region(&Region { offset: 0, ..*region }, &self.regions),
        }
    }

    /// `SET_LOG_BASE` (VU-157, DC-025).
    pub(super) fn set_log(&mut self, size: u64, offset: u64, file: &File) -> Answer {
        check(size > 0 && offset.is_multiple_of(offer::PAGE_SIZE))?;
        check_len(file, offset.checked_add(size))
    }

    /// `SET_VRING_NUM` (VU-078).
    pub(super) fn set_size(&mut self, index: u32, size: u32) -> Answer {
        let is_packed = self.is_packed();
        let ring = self.stopped_ring(index)?;
        ring.size = check_size(size, is_packed)?;
        Ok(())
    }

    /// `SET_VRING_ADDR`: descriptor, used, available and log address (VU-083).
    pub(super) fn set_addr(&mut self, index: u32, addr: [u64; 4]) -> Answer {
        let available_align = if self.is_packed() { 4 } else { 2 };
        let ring = self.ring(index)?;
        let [descriptor, used, available, _] = addr;
        check(descriptor.is_multiple_of(16) && used.is_multiple_of(4))?;
        check(available.is_multiple_of(available_align))?;
        ring.addr = Some(addr);
        Ok(())
    }

    /// `SET_VRING_BASE`.
    pub(super) fn set_base(&mut self, index: u32, base: u32) -> Answer {
        let is_split = self.features.is_some() && !self.is_packed();
        let ring = self.stopped_ring(index)?;
        check(!is_split || base <= 0xffff)?; // VU-087
        ring.base = base;
        Ok(())
    }

    /// `GET_VRING_BASE`: stops the ring (VU-066). A ring that did not run ends where it was told
    /// to begin (DV-34); one that ran and saw nothing has filled in what the base left out.
    pub(super) fn take_base(&mut self, index: u32) -> Answer<u32> {
        let is_packed = self.is_packed();
        let is_split = self.features.is_some() && !is_packed;
        let takes_half = is_packed && !self.tracks;
        let ring = self.ring(index)?;
        if std::mem::take(&mut ring.started) {
            ring.base = match ring.base {
                half @ 0..=0xffff if takes_half => half << 16 | half, // DC-071
                base if is_split => base & 0xffff,                    // VU-089
                base => base,
            };
        }
        Ok(if is_split { ring.base & 0xffff } else { ring.base })
    }

    /// `SET_VRING_KICK`, with a descriptor or without (VU-065).
    pub(super) fn kick(&mut self, index: u8) -> Answer {
        self.ring(index.into())?.started = true;
        Ok(())
    }

    /// `SET_VRING_CALL` and `SET_VRING_ERR`.
    pub(super) fn notify(&mut self, index: u8) -> Answer {
        self.ring(index.into()).map(|_| ())
    }

    /// `SET_VRING_ENABLE`.
    pub(super) fn enable(&mut self, index: u32, enabled: bool) -> Answer {
        self.ring(index)?.enabled = enabled;
        Ok(())
    }

    /// `GET_CONFIG`: as many bytes as asked for, zeros behind the end (VU-190, VU-268).
    pub(super) fn config(&self, offset: u32, size: u32) -> Answer<Vec<u8>> {
        let end = u64::from(offset) + u64::from(size);
        check(end <= offer::CONFIG_LIMIT.into() && offset <= offer::CONFIG_LEN)?; // VU-193
        let held = &self.config[offset as usize..];
        Ok((0..size as usize).map(|at| held.get(at).copied().unwrap_or(0)).collect())
    }

    /// `SET_CONFIG` (VU-193, VU-194, VU-195).
    pub(super) fn set_config(&mut self, offset: u32, data: &[u8], flags: u32) -> Answer {
        let start = offset as usize;
        let end = start + data.len();
        check(flags <= 1 && end <= self.config.len())?;
        let writable = offer::CONFIG_WRITABLE.start as usize..offer::CONFIG_WRITABLE.end as usize;
        check(flags == 1 || writable.start <= start && end <= writable.end)?;
        self.config[start..end].copy_from_slice(data);
        Ok(())
    }

    /// Whether an in-flight area may be asked for (VU-182); how long it is.
    pub(super) fn inflight(&self, queues: u16, queue_size: u16) -> Answer<u64> {
        check((1..=offer::QUEUES).contains(&queues))?;
        check_size(queue_size.into(), self.is_packed())?;
        Ok(offer::inflight_len(queues, queue_size, self.is_packed()))
    }

    /// `SET_INFLIGHT_FD`.
    pub(super) fn set_inflight(
        &mut self,
        (size, offset): (u64, u64),
        (queues, queue_size): (u16, u16),
        file: &File,
    ) -> Answer {
        check(!self.any_started())?; // DC-018
        check(size >= self.inflight(queues, queue_size)?)?;
        check_len(file, offset.checked_add(size))?;
        self.tracks = true;
        Ok(())
    }

    /// `SET_DEVICE_STATE_FD` (VU-166).
    pub(super) fn begin_transfer(&mut self) -> Answer {
        check(!self.any_started())?;
        self.transfers = true;
        Ok(())
    }

    /// `CHECK_DEVICE_STATE` (VU-170).
    pub(super) fn end_transfer(&mut self) -> Answer {
        check(std::mem::take(&mut self.transfers))
    }
}

/// VU-078.
fn check_size(size: u32, is_packed: bool) -> Answer<u16> {
    check((1..=offer::MAX_QUEUE_SIZE.into()).contains(&size))?;
    check(is_packed || size.is_power_of_two())?;
    u16::try_from(size).map_err(|_| Refused)
}

/// VU-123, VU-124.
fn check_region(region: &Region, others: &[Region]) -> Answer {
    let Region { guest, size, user, offset } = *region;
    check(size > 0)?;
    check([guest, user, offset].iter().all(|start| start.checked_add(size).is_some()))?;
    let apart = |one: u64, len: u64, other: u64, other_len: u64| {
        u128::from(one) + u128::from(len) <= other.into()
            || u128::from(other) + u128::from(other_len) <= one.into()
    };
    check(others.iter().all(|other| {
        apart(guest, size, other.guest, other.size) && apart(user, size, other.user, other.size)
    }))
}

/// DC-026: the file holds the region.
fn check_file(region: &Region, file: &File) -> Answer {
    check_len(file, region.offset.checked_add(region.size))
}

/// A regular file of at least `end` bytes.
fn check_len(file: &File, end: Option<u64>) -> Answer {
    let metadata = file.metadata().map_err(|_| Refused)?;
    check(metadata.is_file() && end.is_some_and(|end| end <= metadata.len()))
}
