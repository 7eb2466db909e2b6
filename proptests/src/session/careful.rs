//! A front-end that sends only what it may.
//!
//! It is given requests that somebody drew. Each becomes a legal one by the smallest change of
//! its numbers, or is kept back because nothing like it may be sent now. It knows what a
//! front-end knows: what was offered, and what it sent itself.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::gate::Negotiated;
use vhost_fuzz_core::vhost_user::payload::{Inflight, Iotlb, Region, VringFd, XenMmap};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::setup::offers;

use super::request::{REGION_SIZE, USER_STRIDE};
use crate::message::OwnedMessage;
use crate::payload::{OwnedPayload, Window};

/// Where a postcopy migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Postcopy {
    Off,
    Advised,
    Listening,
    /// The table came back and has to be acknowledged.
    AckDue,
    Active,
}

/// What the front-end knows of its connection.
#[derive(Clone, Debug)]
pub struct Careful {
    offer: ScriptOffer,
    negotiated: Negotiated,
    started: Vec<bool>,
    regions: Vec<Region>,
    postcopy: Postcopy,
    is_transferring: bool,
}

impl Careful {
    /// A front-end of this device, on a new connection.
    #[must_use]
    pub fn new(offer: &ScriptOffer) -> Self {
        let (effective, _) = offers(offer);
        // Nobody asks a device without bit 30 what else it offers.
        let has_protocol = effective.features & virtio::PROTOCOL_FEATURES != 0;
        let offered_protocol = if has_protocol { effective.protocol_features } else { 0 };
        Self {
            negotiated: Negotiated {
                offered_virtio: effective.features,
                offered_protocol,
                ..Negotiated::default()
            },
            started: vec![false; effective.queues.into()],
            regions: Vec::new(),
            postcopy: Postcopy::Off,
            is_transferring: false,
            offer: offer.clone(),
        }
    }

    /// The connection ended, and there is a new one.
    pub fn reconnect(&mut self) {
        *self = Self::new(&self.offer);
    }

    /// The request with the layout that was negotiated: regions have Xen fields or not. Else it
    /// is as it was.
    #[must_use]
    pub fn laid_out(&self, mut message: OwnedMessage) -> OwnedMessage {
        let is_xen = self.negotiated.has(protocol::XEN_MMAP);
        let lay_out = |region: &mut Region| {
            let fields = region.xen.unwrap_or(XenMmap { flags: 0, domid: 0 });
            region.xen = is_xen.then_some(fields);
        };
        match &mut message.body.payload {
            OwnedPayload::MemTable(table) => table.regions.iter_mut().for_each(lay_out),
            OwnedPayload::Plain(Payload::MemReg(reg)) => lay_out(&mut reg.region),
            _ => {}
        }
        message
    }

    /// The request as it may be sent now, if anything like it may.
    pub fn send(&mut self, message: OwnedMessage) -> Option<OwnedMessage> {
        let code = R(message.code);
        if !code.row()?.gate.lets_in(&self.negotiated) {
            return None;
        }
        let mut message = self.laid_out(message);
        message.need_reply &= self.negotiated.has_reply_ack();
        let body = &mut message.body;
        match &mut body.payload {
            OwnedPayload::Plain(Payload::U64(value)) => self.number(code, value)?,
            OwnedPayload::Plain(Payload::None) => self.bare(code)?,
            OwnedPayload::Plain(Payload::State(state)) => {
                state.index %= self.rings();
                self.ring(code, state.index, &mut state.num)?;
            }
            OwnedPayload::Plain(Payload::VringFd(vring)) => self.vring_fd(code, vring),
            OwnedPayload::Plain(Payload::Addr(addr)) => {
                addr.index %= self.rings();
                addr.descriptor &= !15;
                addr.used &= !3;
                addr.available &= !3; // packed rings need more than split ones
            }
            OwnedPayload::Plain(Payload::MemReg(reg)) => self.mem_reg(code, &mut reg.region)?,
            OwnedPayload::Plain(Payload::Log(log)) => {
                log.offset &= 0xffff_f000;
                log.size = log.size.clamp(1, u64::from(u32::MAX));
                body.fds = usize::from(self.negotiated.has(protocol::LOG_SHMFD));
            }
            OwnedPayload::Plain(Payload::Iotlb(iotlb)) => self.iotlb(iotlb)?,
            OwnedPayload::Plain(Payload::Inflight(area)) => self.inflight(code, area)?,
            OwnedPayload::Plain(Payload::Transfer(transfer)) => {
                (transfer.direction, transfer.phase) = (transfer.direction & 1, 0);
                if self.is_running() {
                    return None;
                }
                self.is_transferring = true;
            }
            OwnedPayload::MemTable(table) => {
                self.table(&mut table.regions)?;
                table.tail.clear();
                body.fds = table.regions.len();
            }
            OwnedPayload::Config(window) => self.config(code, window),
            _ => {}
        }
        Some(message)
    }

    fn rings(&self) -> u32 {
        self.offer.queues.into()
    }

    fn is_running(&self) -> bool {
        self.started.contains(&true)
    }

    fn started(&mut self, ring: u32) -> &mut bool {
        &mut self.started[ring as usize]
    }

    fn is_packed(&self) -> bool {
        self.negotiated.has_virtio(virtio::RING_PACKED)
    }

    /// VU-078.
    fn size(&self, size: u32) -> u32 {
        let size = size.clamp(1, self.offer.max_queue_size.into());
        if self.is_packed() { size } else { 1 << size.ilog2() }
    }

    /// Requests without a payload.
    fn bare(&mut self, code: R) -> Option<()> {
        let next = match (code, self.postcopy) {
            (R::POSTCOPY_ADVISE, Postcopy::Off) => Postcopy::Advised,
            (R::POSTCOPY_LISTEN, Postcopy::Advised) => Postcopy::Listening,
            (R::SET_MEM_TABLE, Postcopy::AckDue) => Postcopy::Active,
            (R::POSTCOPY_END, Postcopy::Listening | Postcopy::Active) => Postcopy::Off,
            (R::POSTCOPY_ADVISE | R::POSTCOPY_LISTEN | R::SET_MEM_TABLE | R::POSTCOPY_END, _) => {
                return None;
            }
            (_, same) => same,
        };
        self.postcopy = next;
        match code {
            R::CHECK_DEVICE_STATE => std::mem::take(&mut self.is_transferring).then_some(()),
            R::RESET_DEVICE => {
                self.started.fill(false);
                self.negotiated.virtio = None;
                self.is_transferring = false;
                Some(())
            }
            _ => Some(()),
        }
    }

    /// Requests with a number.
    fn number(&mut self, code: R, value: &mut u64) -> Option<()> {
        match code {
            R::SET_FEATURES => {
                *value &= self.negotiated.offered_virtio;
                if self.is_running() {
                    // DC-016: only logging is switched while rings run.
                    let current = self.negotiated.virtio.unwrap_or(0);
                    *value = current & !virtio::LOG_ALL | *value & virtio::LOG_ALL;
                }
                self.negotiated.virtio = Some(*value);
            }
            R::SET_PROTOCOL_FEATURES => {
                *value &= self.negotiated.offered_protocol;
                if *value & INBAND_NEEDS != INBAND_NEEDS {
                    *value &= !protocol::INBAND_NOTIFICATIONS; // VU-216
                }
                if *value & SKIP_DRAIN_NEEDS != SKIP_DRAIN_NEEDS {
                    *value &= !protocol::GET_VRING_BASE_SKIP_DRAIN; // VU-096
                }
                self.negotiated.protocol = *value;
            }
            R::NET_SET_MTU => *value = (*value).clamp(68, 65535),
            R::SET_STATUS => *value &= 0xff,
            R::SET_MEM_TABLE => self.bare(code)?,
            // Without a descriptor it is legal only where none can be sent (DV-75).
            R::SET_LOG_BASE if self.negotiated.has(protocol::LOG_SHMFD) => return None,
            _ => {}
        }
        Some(())
    }

    /// Requests with a ring and a number.
    fn ring(&mut self, code: R, ring: u32, num: &mut u32) -> Option<()> {
        let is_set_up = matches!(
            code,
            R::SET_VRING_NUM | R::SET_VRING_BASE | R::SET_VRING_ENDIAN // DC-017
        );
        if is_set_up && *self.started(ring) {
            return None;
        }
        match code {
            R::SET_VRING_NUM => *num = self.size(*num),
            R::SET_VRING_BASE if self.negotiated.virtio.is_some() && !self.is_packed() => {
                *num &= 0xffff; // VU-087
            }
            R::SET_VRING_ENABLE | R::SET_VRING_ENDIAN => *num &= 1,
            R::GET_VRING_BASE | R::GET_VRING_BASE_SKIP_DRAIN => *self.started(ring) = false,
            R::VRING_KICK => *self.started(ring) = true,
            _ => {}
        }
        Some(())
    }

    fn vring_fd(&mut self, code: R, vring: &mut VringFd) {
        let ring = u32::from(vring.index()) % self.rings();
        vring.0 = vring.0 & !0xff | u64::from(ring);
        if code == R::SET_VRING_KICK {
            *self.started(ring) = true;
        }
    }

    fn table(&mut self, regions: &mut Vec<Region>) -> Option<()> {
        let next = match self.postcopy {
            Postcopy::AckDue => return None, // VU-133
            Postcopy::Listening | Postcopy::Active => Postcopy::AckDue,
            other => other,
        };
        let mut kept: Vec<Region> = Vec::new();
        regions.retain(|region| {
            let fits = kept.len() < self.offer.max_mem_slots.into()
                && is_sound(region)
                && kept.iter().all(|other| are_apart(region, other));
            if fits {
                kept.push(*region);
            }
            fits
        });
        if regions.is_empty() {
            return None;
        }
        self.regions = kept;
        self.postcopy = next;
        Some(())
    }

    fn mem_reg(&mut self, code: R, region: &mut Region) -> Option<()> {
        if code == R::ADD_MEM_REG {
            if let Some(active) = self.regions.iter_mut().find(|active| is_same(active, region)) {
                return is_sound(region).then(|| *active = *region); // DC-161
            }
            let fits = self.regions.len() < self.offer.max_mem_slots.into()
                && is_sound(region)
                && self.regions.iter().all(|other| are_apart(region, other));
            return fits.then(|| self.regions.push(*region));
        }
        // The region was drawn by its number, so this chooses from all.
        let number = usize::try_from(region.guest_address / REGION_SIZE).ok()?;
        let at = number.checked_rem(self.regions.len())?;
        let gone = self.regions.remove(at);
        *region = Region { xen: region.xen, ..gone };
        Some(())
    }

    fn iotlb(&self, iotlb: &mut Iotlb) -> Option<()> {
        // A range ends below 2^64 (DC-024).
        iotlb.size = iotlb.size.clamp(1, 1 << 62);
        iotlb.iova = iotlb.iova.min(u64::MAX - iotlb.size);
        match iotlb.kind {
            Iotlb::INVALIDATE => Some(()),
            Iotlb::UPDATE => {
                let number = usize::try_from(iotlb.user_address / USER_STRIDE).ok()?;
                let region = &self.regions[number.checked_rem(self.regions.len())?];
                // VU-210, VU-265.
                let start = if self.negotiated.has(protocol::GPA_ADDRESSES) {
                    region.guest_address
                } else {
                    region.user_address
                };
                let offset = (iotlb.user_address % USER_STRIDE) % region.size;
                iotlb.user_address = start + offset;
                iotlb.size = iotlb.size.min(region.size - offset);
                iotlb.permissions = (iotlb.permissions & 3).max(1); // VU-215
                Some(())
            }
            _ => None,
        }
    }

    fn inflight(&self, code: R, area: &mut Inflight) -> Option<()> {
        area.num_queues = area.num_queues.clamp(1, self.offer.queues);
        let size = self.size(area.queue_size.into());
        area.queue_size = u16::try_from(size).ok()?;
        if code == R::SET_INFLIGHT_FD {
            area.mmap_size = area.mmap_size.clamp(1 << 40, 1 << 41); // VU-182: enough for all
            area.mmap_offset &= 0xffff_ffff;
            return (!self.is_running()).then_some(()); // DC-018
        }
        Some(())
    }

    /// VU-193 to VU-195.
    fn config(&self, code: R, window: &mut Window) {
        let len = self.offer.config_len;
        let limit = if code == R::GET_CONFIG { self.offer.config_limit } else { len };
        window.offset = (window.offset % (len + 1)).min(limit);
        let mut end = limit;
        if code == R::SET_CONFIG {
            window.flags &= 1;
            let fields = &self.offer.config_writable;
            match (window.offset as usize).checked_rem(fields.len()) {
                Some(at) if window.flags == 0 => {
                    let (start, field_end) = fields[at];
                    window.offset = start + window.offset % (field_end - start + 1);
                    end = field_end;
                }
                _ => window.flags = 1,
            }
        }
        window.size = window.size.min(end - window.offset);
        window.data.resize(window.size as usize, 0x5a);
    }
}

const INBAND_NEEDS: u64 = protocol::BACKEND_REQ | protocol::REPLY_ACK;
const SKIP_DRAIN_NEEDS: u64 = protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD;

/// VU-123: not empty, and no end at 2^64 or above.
fn is_sound(region: &Region) -> bool {
    let Region { guest_address, size, user_address, mmap_offset, .. } = *region;
    let starts = [guest_address, user_address, mmap_offset];
    size > 0 && starts.iter().all(|start| start.checked_add(size).is_some())
}

/// VU-138.
fn is_same(one: &Region, other: &Region) -> bool {
    let identity = |region: &Region| (region.guest_address, region.user_address, region.size);
    identity(one) == identity(other)
}

/// VU-124.
const fn are_apart(one: &Region, other: &Region) -> bool {
    (one.guest_address + one.size <= other.guest_address
        || other.guest_address + other.size <= one.guest_address)
        && (one.user_address + one.size <= other.user_address
            || other.user_address + other.size <= one.user_address)
}
