//! Stretches of a conversation that belong together, with numbers that fit each other.

use std::borrow::Cow;

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Inflight, Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes, Transfer, VringAddr, VringFd,
    VringState,
};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Layout, Message, Payload};

use super::boundary;
use crate::script::{FdKind, Record};
use crate::seeds::{self, Random};

/// Bytes of a memory region.
const SIZE: u64 = 0x20_0000;

/// User address of the first region.
const USER: u64 = 0x7f00_0000_0000;

/// Rings that a phrase is about.
const RINGS: u32 = 4;

/// What a front-end says in one breath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phrase {
    /// 1, 15, 16, 3, 2.
    Negotiate,
    /// 8, 10, 9, 12, 18 for one ring.
    Ring,
    /// 18, 11 or 45 for one ring that stops at some base.
    Stop,
    /// 5 with a descriptor for each region.
    Table,
    /// 37 and 38.
    Slots,
    /// 28, 29, 5, its acknowledgement and 30.
    Postcopy,
    /// 6, 2 with bit 26, 9 with its log flag.
    Log,
    /// 31 and 32.
    Inflight,
    /// 42 and 43.
    Transfer,
    /// 22: an update and an invalidation.
    Translate,
    /// 34 and what has to be said again.
    Reset,
    /// Any legal message with random numbers.
    Any,
}

impl Phrase {
    /// Every phrase.
    pub(super) const ALL: [Self; 12] = [
        Self::Negotiate,
        Self::Ring,
        Self::Stop,
        Self::Table,
        Self::Slots,
        Self::Postcopy,
        Self::Log,
        Self::Inflight,
        Self::Transfer,
        Self::Translate,
        Self::Reset,
        Self::Any,
    ];

    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        Self::ALL[rng.usize(..Self::ALL.len())]
    }

    /// Its records.
    pub(super) fn say(self, rng: &mut fastrand::Rng) -> Vec<Record<'static>> {
        let mut speech = Speech { records: Vec::new(), acks: rng.bool() };
        match self {
            Self::Negotiate => speech.negotiate(rng),
            Self::Ring => speech.ring(rng),
            Self::Stop => speech.stop(rng),
            Self::Table => speech.table(1 + rng.usize(..8), rng.u64(..4)),
            Self::Slots => speech.slots(rng),
            Self::Postcopy => speech.postcopy(rng),
            Self::Log => speech.log(rng),
            Self::Inflight => speech.inflight(rng),
            Self::Transfer => speech.transfer(rng),
            Self::Translate => speech.translate(rng),
            Self::Reset => {
                speech.ask(Fe::RESET_DEVICE, Payload::None, None);
                speech.ask(Fe::SET_FEATURES, Payload::U64(features(rng)), None);
                speech.ring(rng);
            }
            Self::Any => speech.any(rng),
        }
        speech.records
    }
}

/// Whether these bytes begin as a request that has the index of a ring at the front of its
/// payload.
pub(super) fn is_about_a_ring(bytes: &[u8]) -> bool {
    let code = bytes.first_chunk().map(|code| Fe(u32::from_ne_bytes(*code)));
    code.is_some_and(|code| {
        matches!(
            code,
            Fe::SET_VRING_NUM
                | Fe::SET_VRING_ADDR
                | Fe::SET_VRING_BASE
                | Fe::GET_VRING_BASE
                | Fe::GET_VRING_BASE_SKIP_DRAIN
                | Fe::SET_VRING_KICK
                | Fe::SET_VRING_CALL
                | Fe::SET_VRING_ERR
                | Fe::SET_VRING_ENABLE
                | Fe::SET_VRING_ENDIAN
                | Fe::VRING_KICK
        )
    })
}

/// Region `number` of guest memory. Neighbours do not touch.
fn region(number: u64) -> Region {
    Region {
        guest_address: number * 0x1_0000_0000,
        size: SIZE,
        user_address: USER + number * 0x4000_0000,
        mmap_offset: 0,
        xen: None,
    }
}

/// Virtio features that a driver may choose.
fn features(rng: &mut fastrand::Rng) -> u64 {
    let bits = [virtio::PROTOCOL_FEATURES, virtio::IOMMU_PLATFORM, virtio::RING_PACKED];
    let drawn = bits.into_iter().filter(|_| rng.bool()).fold(0, |all, bit| all | bit);
    1 << 32 | virtio::EVENT_IDX | drawn
}

struct Speech {
    records: Vec<Record<'static>>,
    acks: bool,
}

impl Speech {
    /// A request, with as many descriptors as given of one kind and size.
    fn ask(&mut self, request: Fe, payload: Payload<'_>, fds: Option<(FdKind, u64, usize)>) {
        let message = Message::frontend(request, payload);
        let message = if self.acks { message.with_need_reply() } else { message };
        let mut bytes = vec![0; message.encoded_len()];
        let written = message.encode(&mut bytes).map_or(0, |written| written);
        bytes.truncate(written);
        if let Some((kind, size, count)) = fds {
            self.records.extend((0..count).map(|_| Record::Fd { kind, seals: 0, size }));
        }
        self.records.push(Record::Message { kind: message.kind, bytes: Cow::Owned(bytes) });
    }

    fn state(&mut self, request: Fe, index: u32, num: u32) {
        self.ask(request, Payload::State(VringState { index, num }), None);
    }

    fn notifier(&mut self, request: Fe, index: u32, rng: &mut fastrand::Rng) {
        let has_fd = rng.u8(..8) > 0;
        let flag = if has_fd { 0 } else { VringFd::NO_FD };
        let payload = Payload::VringFd(VringFd(u64::from(index) | flag));
        self.ask(request, payload, has_fd.then_some((FdKind::EVENTFD, 0, 1)));
    }

    fn succeed(&mut self, value: u64) {
        self.records.push(Record::EffectResult { is_ok: true, value });
    }

    fn negotiate(&mut self, rng: &mut fastrand::Rng) {
        self.ask(Fe::GET_FEATURES, Payload::None, None);
        self.ask(Fe::GET_PROTOCOL_FEATURES, Payload::None, None);
        let odd = protocol::XEN_MMAP | protocol::GPA_ADDRESSES | protocol::INBAND_NOTIFICATIONS;
        let most = match rng.u8(..4) {
            0 => rng.u64(..),
            // Postcopy works without slots only.
            1 => !protocol::CONFIGURE_MEM_SLOTS,
            _ => u64::MAX,
        };
        let bits = protocol::ALL & !odd & most;
        self.ask(Fe::SET_PROTOCOL_FEATURES, Payload::U64(bits), None);
        self.ask(Fe::SET_OWNER, Payload::None, None);
        self.ask(Fe::SET_FEATURES, Payload::U64(features(rng)), None);
    }

    fn ring(&mut self, rng: &mut fastrand::Rng) {
        let index = rng.u32(..RINGS);
        let base = [0, 0x8000_8000, 0x8000, 5, 0xffff][rng.usize(..5)];
        self.state(Fe::SET_VRING_NUM, index, 1 << rng.u8(..11));
        self.state(Fe::SET_VRING_BASE, index, base);
        self.addr(index, rng.bool());
        if rng.bool() {
            self.notifier(Fe::SET_VRING_CALL, index, rng);
        }
        self.notifier(Fe::SET_VRING_KICK, index, rng);
        self.state(Fe::SET_VRING_ENABLE, index, u32::from(rng.u8(..4) > 0));
    }

    fn addr(&mut self, index: u32, is_logged: bool) {
        let offset = u64::from(index) * 0x8000;
        let addr = VringAddr {
            index,
            flags: u32::from(is_logged),
            descriptor: USER + offset,
            used: USER + offset + 0x6000,
            available: USER + offset + 0x4000,
            log: offset + 0x6000,
        };
        self.ask(Fe::SET_VRING_ADDR, Payload::Addr(addr), None);
    }

    fn stop(&mut self, rng: &mut fastrand::Rng) {
        let index = rng.u32(..RINGS);
        if rng.bool() {
            self.state(Fe::SET_VRING_ENABLE, index, 0);
        }
        self.succeed(boundary(rng));
        let drains = rng.u8(..4) > 0;
        let request = if drains { Fe::GET_VRING_BASE } else { Fe::GET_VRING_BASE_SKIP_DRAIN };
        self.state(request, index, 0);
    }

    fn table(&mut self, count: usize, first: u64) {
        let regions: Vec<_> = (first..).take(count).map(region).collect();
        let bytes = RegionBytes::new(&regions);
        let announced = u32::try_from(count).unwrap_or(0);
        let table = MemTable::new(announced, Layout::default(), bytes.as_bytes());
        let fds = (FdKind::MEMFD, SIZE, count);
        self.ask(Fe::SET_MEM_TABLE, Payload::MemTable(table), Some(fds));
    }

    fn slots(&mut self, rng: &mut fastrand::Rng) {
        let number = rng.u64(..8);
        let payload = Payload::MemReg(MemReg { padding: 0, region: region(number) });
        let fd = Some((FdKind::MEMFD, SIZE, 1));
        match rng.u8(..3) {
            0 => self.ask(Fe::ADD_MEM_REG, payload, fd),
            1 => self.ask(Fe::REM_MEM_REG, payload, None),
            _ => {
                self.ask(Fe::GET_MAX_MEM_SLOTS, Payload::None, None);
                self.ask(Fe::REM_MEM_REG, payload, None);
                self.ask(Fe::ADD_MEM_REG, payload, fd);
            }
        }
    }

    fn postcopy(&mut self, rng: &mut fastrand::Rng) {
        let count = 1 + rng.usize(..3);
        self.ask(Fe::POSTCOPY_ADVISE, Payload::None, None);
        self.ask(Fe::POSTCOPY_LISTEN, Payload::None, None);
        let acks = std::mem::take(&mut self.acks); // VU-132
        self.table(count, 0);
        let ack = if rng.bool() { Payload::U64(0) } else { Payload::None };
        self.ask(Fe::SET_MEM_TABLE, ack, None);
        self.acks = acks;
        if rng.bool() {
            self.ask(Fe::POSTCOPY_END, Payload::None, None);
        }
    }

    fn log(&mut self, rng: &mut fastrand::Rng) {
        let log = LogBase { size: 0x2_0000, offset: 0 };
        let fd = Some((FdKind::MEMFD, log.size, 1));
        self.ask(Fe::SET_LOG_BASE, Payload::Log(log), fd);
        let bits = 1 << 32 | virtio::EVENT_IDX | virtio::PROTOCOL_FEATURES | virtio::LOG_ALL;
        self.ask(Fe::SET_FEATURES, Payload::U64(bits), None);
        self.addr(rng.u32(..RINGS), true);
    }

    fn inflight(&mut self, rng: &mut fastrand::Rng) {
        let queue_size = 1 << rng.u8(..9);
        let num_queues = 1 + rng.u16(..4);
        // More than any layout needs: 32 bytes an entry and 64 in front of them.
        let mmap_size = (u64::from(queue_size) * 32 + 64) * u64::from(num_queues);
        let area = Inflight { mmap_size, mmap_offset: 0, num_queues, queue_size, padding: 0 };
        self.succeed(mmap_size);
        let wanted = Inflight { mmap_size: 0, ..area };
        self.ask(Fe::GET_INFLIGHT_FD, Payload::Inflight(wanted), None);
        let fd = Some((FdKind::MEMFD, mmap_size, 1));
        self.ask(Fe::SET_INFLIGHT_FD, Payload::Inflight(area), fd);
    }

    fn transfer(&mut self, rng: &mut fastrand::Rng) {
        let direction = rng.u32(..2);
        let payload = Payload::Transfer(Transfer { direction, phase: Transfer::STOPPED });
        self.succeed(rng.u64(..2));
        self.ask(Fe::SET_DEVICE_STATE_FD, payload, Some((FdKind::PIPE, 0, 1)));
        self.ask(Fe::CHECK_DEVICE_STATE, Payload::None, None);
    }

    fn translate(&mut self, rng: &mut fastrand::Rng) {
        let page = rng.u64(..0x100) << 12;
        let of_kind = |kind: u8| {
            Payload::Iotlb(Iotlb {
                iova: page,
                size: 0x1000,
                user_address: USER + page,
                permissions: 3,
                kind,
                padding: [0; 6],
            })
        };
        self.ask(Fe::IOTLB_MSG, of_kind(Iotlb::UPDATE), None);
        if rng.bool() {
            self.ask(Fe::IOTLB_MSG, of_kind(Iotlb::INVALIDATE), None);
        }
    }

    /// A form of any request or reply, with descriptors as it has them.
    fn any(&mut self, rng: &mut fastrand::Rng) {
        let (kind, row) = super::message::any_row(rng);
        let mut forms = seeds::forms_of(kind, row, &mut Random(rng));
        let form = forms.swap_remove(rng.usize(..forms.len()));
        let fd = Record::Fd { kind: FdKind(rng.u8(..6)), seals: 0, size: boundary(rng) };
        self.records.extend(std::iter::repeat_n(fd, form.context.fds));
        self.records.push(Record::Message { kind, bytes: Cow::Owned(form.bytes) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;
    use crate::session::back_end::Core;
    use crate::session::offer::ScriptOffer;
    use crate::target::session;

    fn codes(records: &[Record<'_>]) -> Vec<u8> {
        let code = |record: &Record<'_>| match record {
            Record::Message { bytes, .. } => bytes.first().copied(),
            _ => None,
        };
        records.iter().filter_map(code).collect()
    }

    #[test]
    fn every_phrase_is_drawn_and_says_something() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn = [false; Phrase::ALL.len()];
        for _ in 0..500 {
            let phrase = Phrase::draw(&mut rng);
            assert!(!codes(&phrase.say(&mut rng)).is_empty(), "{phrase:?}");
            for (at, other) in Phrase::ALL.iter().enumerate() {
                drawn[at] |= *other == phrase;
            }
        }
        assert_eq!(drawn, [true; Phrase::ALL.len()]);
    }

    #[test]
    fn rings_tables_and_postcopy_are_said_in_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let mut ring = codes(&Phrase::Ring.say(&mut rng));
            ring.retain(|code| *code != 13);
            assert_eq!(ring, [8, 10, 9, 12, 18]);
            assert!(codes(&Phrase::Postcopy.say(&mut rng)).starts_with(&[28, 29, 5, 5]));
            let table = Phrase::Table.say(&mut rng);
            let Some(Record::Message { bytes, .. }) = table.last() else { panic!("{table:?}") };
            assert_eq!(
                u32::from_ne_bytes(*bytes[12..].first_chunk().expect("a count")) as usize + 1,
                table.len()
            );
        }
    }

    /// Said to a device that has everything, each phrase gets through without a refusal for some
    /// numbers at least.
    #[test]
    fn every_phrase_can_be_taken() {
        let offer = ScriptOffer::default();
        for phrase in Phrase::ALL {
            let is_taken = |seed: u64| {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut records = vec![offer.record()];
                let before = match phrase {
                    Phrase::Negotiate => &[][..],
                    // Mappings lie in memory.
                    Phrase::Translate => &[Phrase::Negotiate, Phrase::Table],
                    _ => &[Phrase::Negotiate],
                };
                records.extend(before.iter().flat_map(|phrase| phrase.say(&mut rng)));
                records.extend(phrase.say(&mut rng));
                session::check::<Core>(&script::encode(&records)).refusals.is_empty()
            };
            let taken = (0..400).filter(|seed| is_taken(*seed)).count();
            assert!(taken > 0, "{phrase:?}");
        }
    }
}
