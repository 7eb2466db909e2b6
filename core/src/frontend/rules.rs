//! What a strict front-end sends, and when. Each check cites the requirement that it enforces;
//! spec §3.2 lists the front-ends that break some of them.

use super::main_state::{InflightArea, Main, Postcopy};
use super::objects::SharedObjects;
use super::send_error::SendError;
use super::setup::Setup;
use super::transfer::TransferState;
use crate::memory::ring::used_log_inside;
use crate::memory::{AddressKind, DirtyLog, LogError, RingParts, RingSize, Space};
use crate::vhost_user::features::{protocol, virtio};
use crate::vhost_user::payload::{
    Iotlb, LogBase, MemReg, MemTable, Region, SharedObject, VringAddr, VringState,
};
use crate::vhost_user::{FrontendRequest as R, MAX_REGIONS, Message, Payload, Row};

/// Everything that a request is judged by.
pub(super) struct Checks<'a> {
    pub(super) setup: &'a Setup,
    pub(super) main: &'a Main,
    pub(super) transfer: TransferState,
    pub(super) objects: &'a SharedObjects,
}

impl Checks<'_> {
    /// Judges a request that is a legal message by itself. Its payload has `payload_len` bytes.
    pub(super) fn check(
        &self,
        message: &Message<'_>,
        fds: usize,
        payload_len: usize,
    ) -> Result<(), SendError> {
        let code = message.code;
        let row = message.row().ok_or(SendError::UnknownRequest { code })?; // VU-026
        self.check_gate(row)?;
        self.check_need_reply(message)?;
        match (R(code), message.payload) {
            (R::SET_FEATURES, Payload::U64(bits)) => self.features(bits),
            (R::SET_PROTOCOL_FEATURES, Payload::U64(bits)) => self.protocol_features(bits),
            (R::RESET_OWNER, _) => Err(SendError::ResetOwner), // VU-055
            (R::SET_MEM_TABLE, Payload::MemTable(table)) => self.mem_table(&table, payload_len),
            (R::SET_MEM_TABLE, Payload::U64(value)) if value != 0 => {
                Err(SendError::PostcopyAck { value }) // VU-133
            }
            (R::ADD_MEM_REG, Payload::MemReg(added)) => self.add_region(&added),
            (R::REM_MEM_REG, Payload::MemReg(_)) if fds > 0 => Err(SendError::RemoveWithFd),
            (R::REM_MEM_REG, Payload::MemReg(removed)) => {
                self.main.regions.check_remove(&removed.region)
            }
            (R::SET_LOG_BASE, Payload::Log(base)) => self.log_base(&base),
            (R::SET_VRING_ADDR, Payload::Addr(addr)) => self.ring_addresses(&addr),
            (_, Payload::State(state)) => self.ring_state(R(code), state),
            (_, Payload::VringFd(vring)) => self.ring_descriptor(R(code), vring.index().into()),
            (R::IOTLB_MSG, Payload::Iotlb(iotlb)) => self.iotlb(&iotlb),
            (R::SET_INFLIGHT_FD, _) if self.main.inflight == InflightArea::Outdated => {
                Err(SendError::OutdatedInflight) // VU-180
            }
            (R::GET_SHARED_OBJECT, payload) => self.shared_object(&payload),
            (R::POSTCOPY_ADVISE | R::POSTCOPY_LISTEN | R::POSTCOPY_END, _) => self.postcopy(code),
            // VU-170
            (R::CHECK_DEVICE_STATE, _) if self.transfer != TransferState::Ended => {
                Err(SendError::TransferNotEnded)
            }
            _ => Ok(()),
        }
    }

    /// VU-044, VU-047, VU-093, VU-108, VU-111, VU-115, VU-135, VU-158, VU-173, VU-178, VU-189,
    /// VU-197, VU-199, VU-201, VU-207, VU-221, VU-225, VU-228, VU-237, VU-247, VU-026.
    fn check_gate(&self, row: &Row) -> Result<(), SendError> {
        let negotiated = &self.main.negotiated;
        let (code, rule) = (row.code, row.gate.rule(negotiated));
        let is_open = row.gate.lets_out(negotiated)
            // VU-199: the device has an MTU, too.
            && (R(code) != R::NET_SET_MTU || negotiated.offered_virtio & virtio::NET_MTU != 0);
        if !is_open {
            return Err(SendError::Gate { code, rule });
        }
        // VU-201: with bit 30 not only offered, but negotiated.
        if R(code) == R::SET_BACKEND_REQ_FD && !negotiated.has_virtio(virtio::PROTOCOL_FEATURES) {
            return Err(SendError::ChannelBeforeFeatures);
        }
        Ok(())
    }

    fn check_need_reply(&self, message: &Message<'_>) -> Result<(), SendError> {
        if !message.flags.needs_reply() {
            return Ok(());
        }
        let code = message.code;
        let is_after = match (R(code), message.payload) {
            // DC-068: not on the message that switches acknowledgements either way.
            (R::SET_PROTOCOL_FEATURES, Payload::U64(bits)) => bits & protocol::REPLY_ACK != 0,
            _ => true,
        };
        if !self.main.negotiated.has_reply_ack() || !is_after {
            return Err(SendError::NeedReply { code }); // VU-035
        }
        if R(code) == R::SET_MEM_TABLE && self.main.postcopy.answers_tables() {
            return Err(SendError::PostcopyNeedReply); // VU-132
        }
        Ok(())
    }

    fn features(&self, bits: u64) -> Result<(), SendError> {
        match bits & !self.main.negotiated.offered_virtio {
            0 => Ok(()),
            bits => Err(SendError::FeaturesNotOffered { bits }), // VU-040
        }
    }

    fn protocol_features(&self, bits: u64) -> Result<(), SendError> {
        const INBAND: u64 = protocol::BACKEND_REQ | protocol::REPLY_ACK;
        const SKIP_DRAIN: u64 = protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD;
        let surplus = bits & !self.main.negotiated.offered_protocol;
        if surplus != 0 {
            return Err(SendError::ProtocolNotOffered { bits: surplus }); // VU-049
        }
        if bits & protocol::INBAND_NOTIFICATIONS != 0 && bits & INBAND != INBAND {
            return Err(SendError::InbandAlone { bits }); // VU-216
        }
        if bits & protocol::GET_VRING_BASE_SKIP_DRAIN != 0 && bits & SKIP_DRAIN != SKIP_DRAIN {
            return Err(SendError::SkipDrainAlone { bits }); // VU-096
        }
        Ok(())
    }

    fn mem_table(&self, table: &MemTable<'_>, payload_len: usize) -> Result<(), SendError> {
        // VU-133: what follows the reply is its acknowledgement, and nothing comes before it.
        if matches!(self.main.postcopy, Postcopy::TableSent | Postcopy::AckDue) {
            return Err(SendError::PostcopyAckDue);
        }
        let region_len = Region::encoded_len(self.main.negotiated.has(protocol::XEN_MMAP));
        let sizes = [table.count(), MAX_REGIONS].map(|count| 8 + count * region_len);
        let have = u32::try_from(payload_len).unwrap_or(u32::MAX);
        if !sizes.contains(&have) {
            return Err(SendError::TableSize { regions: table.count(), have }); // VU-129
        }
        for region in table.regions() {
            self.same_addresses(&region)?;
        }
        self.main.regions.check_table(table) // VU-120, VU-121
    }

    /// VU-125
    fn same_addresses(&self, region: &Region) -> Result<(), SendError> {
        let Region { guest_address, user_address, .. } = *region;
        let is_repeated = guest_address == user_address;
        if self.main.negotiated.has(protocol::GPA_ADDRESSES) && !is_repeated {
            return Err(SendError::UserAddress { guest_address, user_address });
        }
        Ok(())
    }

    fn add_region(&self, added: &MemReg) -> Result<(), SendError> {
        self.same_addresses(&added.region)?;
        let count = self.main.regions.len() as u64;
        if let Some(limit) = self.main.slots
            && count >= limit
        {
            return Err(SendError::Slots { limit });
        }
        self.main.regions.check_add(&added.region) // VU-122
    }

    fn log_base(&self, base: &LogBase) -> Result<(), SendError> {
        if !self.main.negotiated.has(protocol::LOG_SHMFD) {
            return Err(SendError::LogForm); // VU-026; one front-end does it (DV-75).
        }
        let log = DirtyLog::check(base).map_err(SendError::Log)?;
        let end = |region: &Region| region.guest_address.saturating_add(region.size);
        let highest = self.main.regions.iter().map(end).max().unwrap_or(0);
        let need = DirtyLog::bytes_for(highest);
        if log.size() < need {
            return Err(SendError::LogTooSmall { size: log.size(), need }); // VU-151
        }
        Ok(())
    }

    /// VU-117: each queue has an index of its own; VU-116: not more than were reported.
    fn ring_index(&self, index: u32) -> Result<(), SendError> {
        if index >= self.setup.queues.into() {
            return Err(SendError::RingIndex { index, queues: self.setup.queues });
        }
        match self.main.queue_num {
            Some(reported) if u64::from(index) >= reported => {
                Err(SendError::MoreQueues { index, reported })
            }
            _ => Ok(()),
        }
    }

    fn ring_descriptor(&self, request: R, index: u32) -> Result<(), SendError> {
        self.ring_index(index)?;
        if request == R::SET_VRING_KICK && !self.main.has_owner {
            return Err(SendError::NoOwner); // VU-052
        }
        Ok(())
    }

    fn ring_state(&self, request: R, state: VringState) -> Result<(), SendError> {
        let VringState { index, num } = state;
        let is_packed = self.main.is_packed();
        self.ring_index(index)?;
        match request {
            R::SET_VRING_NUM => RingSize::check(num, is_packed, RingSize::MAX)
                .map(drop)
                .map_err(|error| SendError::RingSize { index, error }), // VU-077
            // VU-087
            R::SET_VRING_BASE if !is_packed && num > u16::MAX.into() => {
                Err(SendError::SplitBase { base: num })
            }
            // VU-086: only half of it, which a receiver takes for both (DV-32).
            R::SET_VRING_BASE if is_packed && num & 0xffff_8000 == 0x8000 => {
                Err(SendError::PackedBase { base: num })
            }
            R::GET_VRING_BASE if num != 0 => Err(SendError::BaseNum { num }), // VU-088
            R::GET_VRING_BASE_SKIP_DRAIN if num != 0 => {
                Err(SendError::SkipDrainNum { num }) // VU-097
            }
            R::VRING_KICK if num != 0 => Err(SendError::KickNum { num }), // VU-218
            R::VRING_KICK if !self.main.has_owner => Err(SendError::NoOwner), // VU-052
            R::SET_VRING_ENDIAN if num > 1 => Err(SendError::EndianNum { num }), // VU-112
            R::SET_VRING_ENABLE if num > 1 => Err(SendError::EnableNum { num }), // VU-109
            _ => Ok(()),
        }
    }

    fn ring_addresses(&self, addr: &VringAddr) -> Result<(), SendError> {
        let VringAddr { index, flags, descriptor, used, available, log: _ } = *addr;
        self.ring_index(index)?;
        let negotiated = &self.main.negotiated;
        let kind = AddressKind::of_rings(negotiated.virtio.unwrap_or(0), negotiated.protocol);
        let space = match kind {
            AddressKind::Iova => return Ok(()), // VU-080: the IOTLB decides.
            AddressKind::Guest => Space::Guest, // VU-081
            AddressKind::User => Space::User,   // VU-082
        };
        // Addresses may come before the memory that they are in.
        if self.main.regions.len() > 0 {
            for address in [descriptor, used, available] {
                if self.main.regions.table().locate(space, address, 1).is_err() {
                    return Err(SendError::RingAddress { index, address, kind });
                }
            }
        }
        if flags & VringAddr::LOG != 0 { self.used_ring_log(addr) } else { Ok(()) }
    }

    /// VU-152, where size and log are known.
    fn used_ring_log(&self, addr: &VringAddr) -> Result<(), SendError> {
        let index = addr.index;
        let log = self.main.log.ok_or(SendError::NoLog { index })?;
        let is_packed = self.main.is_packed();
        let size = RingSize::check(self.main.ring_size(index), is_packed, RingSize::MAX);
        let Ok(size) = size else { return Ok(()) };
        let has_event_idx = self.main.negotiated.has_virtio(virtio::EVENT_IDX);
        let parts = RingParts::new(size, is_packed, has_event_idx);
        used_log_inside(&log, addr, &parts).map_err(|error| match error {
            LogError::UsedRing { address, len, size } => {
                SendError::UsedRingLog { address, len, size }
            }
            error => SendError::Log(error),
        })
    }

    fn iotlb(&self, iotlb: &Iotlb) -> Result<(), SendError> {
        let Iotlb { iova, size, user_address, permissions, kind, .. } = *iotlb;
        let is_range = size != 0 && iova.checked_add(size).is_some();
        match kind {
            // VU-209
            Iotlb::UPDATE if !is_range => Err(SendError::UpdateRange { iova, size }),
            Iotlb::UPDATE if !(1..=3).contains(&permissions) => {
                Err(SendError::UpdatePermissions { permissions })
            }
            Iotlb::UPDATE => {
                // VU-210; VU-265 tells which addresses they are.
                let space = Space::of_iotlb(self.main.negotiated.protocol);
                let pieces = self.main.regions.table().pieces(space, user_address, size);
                pieces.map(drop).map_err(|_| SendError::UpdateOutside { user_address, size })
            }
            // VU-211
            Iotlb::INVALIDATE if !is_range => Err(SendError::InvalidateRange { iova, size }),
            Iotlb::INVALIDATE => Ok(()),
            _ => Err(SendError::IotlbKind { kind }),
        }
    }

    /// VU-228: for a UUID that this back-end exports.
    fn shared_object(&self, payload: &Payload<'_>) -> Result<(), SendError> {
        match payload {
            Payload::Shared(SharedObject { uuid })
                if self.objects.owner(uuid) == Some(self.setup.owner) =>
            {
                Ok(())
            }
            _ => Err(SendError::NotExported),
        }
    }

    /// VU-175: each step after the one before it.
    fn postcopy(&self, code: u32) -> Result<(), SendError> {
        let state = self.main.postcopy;
        let is_next = match R(code) {
            R::POSTCOPY_ADVISE => state == Postcopy::Off,
            R::POSTCOPY_LISTEN => state == Postcopy::Advised,
            _ => matches!(state, Postcopy::Listening | Postcopy::Active),
        };
        if is_next { Ok(()) } else { Err(SendError::PostcopyOrder { code, state }) }
    }
}
