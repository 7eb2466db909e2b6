//! A conversation in the making: requests, their replies, descriptors and the ends of effects.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Config, Inflight, Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes, SharedObject,
    Transfer, VringAddr, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, FrontendRequest as Fe, Kind, Layout, Message, Payload,
};
use vhost_fuzz_harness::recording::fds;
use vhost_fuzz_harness::script::{self, FdKind, Record};
use vhost_fuzz_harness::session::offer::ScriptOffer;

/// Bytes of a memory region of these scripts.
pub(super) const SIZE: u64 = 0x20_0000;

/// User address of the first region.
pub(super) const USER: u64 = 0x7f00_0000_0000;

/// Virtio features of a modern driver that nothing here depends on.
pub(super) const MODERN: u64 = 1 << 32 | virtio::EVENT_IDX | 1 << 28;

/// The same with bit 30, as most front-ends set them.
pub(super) const VIRTIO: u64 = MODERN | virtio::PROTOCOL_FEATURES;

/// Protocol features that suit most scripts.
pub(super) const PROTOCOL: u64 = protocol::MQ | protocol::REPLY_ACK | protocol::BACKEND_REQ;

/// Result of an effect that may end in a descriptor: one comes back.
pub(super) const FD: u64 = 0;

/// The same: none comes back.
pub(super) const NO_FD: u64 = 1;

/// Region `number` of guest memory: 2 MiB, guest and user addresses far apart.
pub(super) fn region(number: u64) -> Region {
    Region {
        guest_address: number * 0x1_0000_0000,
        size: SIZE,
        user_address: USER + number * 0x4000_0000,
        mmap_offset: 0,
        xen: None,
    }
}

/// Where ring `index` lies: 16 KiB for each of 64, in the first region.
pub(super) fn addresses(index: u32) -> VringAddr {
    let offset = u64::from(index % 64) * 0x4000;
    let start = USER + offset;
    VringAddr {
        index,
        flags: 0,
        descriptor: start,
        used: start + 0x2000,
        available: start + 0x1000,
        log: offset + 0x2000,
    }
}

/// A ring and a number.
pub(super) const fn state(index: u32, num: u32) -> Payload<'static> {
    Payload::State(VringState { index, num })
}

/// The ring of a kick, call or error descriptor.
pub(super) fn notifier(index: u64) -> Payload<'static> {
    Payload::VringFd(VringFd(index))
}

/// A mapping of the IOTLB, or its end.
pub(super) fn iotlb(kind: u8, iova: u64, size: u64, user_address: u64) -> Payload<'static> {
    let permissions = if kind == Iotlb::INVALIDATE { 0 } else { 3 };
    Payload::Iotlb(Iotlb { iova, size, user_address, permissions, kind, padding: [0; 6] })
}

/// An in-flight area.
pub(super) fn inflight(mmap_size: u64, num_queues: u16, queue_size: u16) -> Payload<'static> {
    Payload::Inflight(Inflight { mmap_size, mmap_offset: 0, num_queues, queue_size, padding: 0 })
}

/// The name of a shared object.
pub(super) fn object(number: u8) -> Payload<'static> {
    let mut uuid = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x99, 0, 0, 0, 0, 0, 0, 0];
    uuid[15] = number;
    Payload::Shared(SharedObject { uuid })
}

/// Which way a device state goes.
pub(super) const fn transfer(direction: u32, phase: u32) -> Payload<'static> {
    Payload::Transfer(Transfer { direction, phase })
}

/// A log.
pub(super) const fn log(size: u64, offset: u64) -> Payload<'static> {
    Payload::Log(LogBase { size, offset })
}

/// A conversation in the making.
#[derive(Clone)]
pub(super) struct Talk {
    records: Vec<Record<'static>>,
    offer: ScriptOffer,
    layout: Layout,
    /// Descriptors of the next message, where they are not those that it should have.
    fds: Option<(FdKind, usize)>,
}

impl Talk {
    /// With the default device, which needs no record.
    pub(super) fn new() -> Self {
        let (records, offer, layout) = (Vec::new(), ScriptOffer::default(), Layout::default());
        Self { records, offer, layout, fds: None }
    }

    /// With another device.
    pub(super) fn offering(offer: ScriptOffer) -> Self {
        Self { records: vec![offer.record()], offer, ..Self::new() }
    }

    /// The bytes, after the peer has gone.
    pub(super) fn close(self) -> Vec<u8> {
        script::encode(&self.record(Record::Close).records)
    }

    /// The peer goes and comes again.
    pub(super) fn reconnect(mut self) -> Self {
        self.layout = Layout::default();
        self.record(Record::Reconnect)
    }

    /// Any record.
    pub(super) fn record(mut self, record: Record<'static>) -> Self {
        self.records.push(record);
        self
    }

    /// The next effect succeeds with this value.
    pub(super) fn succeed(self, value: u64) -> Self {
        self.record(Record::EffectResult { is_ok: true, value })
    }

    /// The next effect fails with this error number.
    pub(super) fn fail(self, errno: u64) -> Self {
        self.record(Record::EffectResult { is_ok: false, value: errno })
    }

    /// The next message carries `count` descriptors of this kind, whatever it should have.
    pub(super) fn with_fds(mut self, kind: FdKind, count: usize) -> Self {
        self.fds = Some((kind, count));
        self
    }

    /// Bytes, which need not be a message, with the descriptors that were asked for.
    pub(super) fn raw(mut self, kind: Kind, bytes: &[u8]) -> Self {
        if let Some((fd, count)) = self.fds.take() {
            let size = if fd == FdKind::MEMFD { SIZE } else { 0 };
            self.records.extend((0..count).map(|_| Record::Fd { kind: fd, seals: 0, size }));
        }
        self.record(Record::Message { kind, bytes: bytes.to_vec().into() })
    }

    /// A message, with the descriptors that were asked for or else those that it should have.
    pub(super) fn send(mut self, message: Message<'_>) -> Self {
        let mut bytes = vec![0; message.encoded_len()];
        let written = message.encode(&mut bytes).unwrap_or(0);
        bytes.truncate(written);
        if self.fds.is_none() {
            let count = natural(&message, self.layout);
            self.records.extend(fds::records(message.kind, self.layout, &bytes, count));
        }
        self.raw(message.kind, &bytes)
    }

    /// A request that asks for no acknowledgement.
    pub(super) fn ask(self, request: Fe, payload: Payload<'_>) -> Self {
        self.send(Message::frontend(request, payload))
    }

    /// A request that is acknowledged.
    pub(super) fn ack(self, request: Fe, payload: Payload<'_>) -> Self {
        self.ask_and(request, payload, 0)
    }

    /// A request that is refused with an acknowledgement that says so.
    pub(super) fn nack(self, request: Fe, payload: Payload<'_>) -> Self {
        self.ask_and(request, payload, 1)
    }

    fn ask_and(self, request: Fe, payload: Payload<'_>, result: u64) -> Self {
        self.send(Message::frontend(request, payload).with_need_reply())
            .reply(request, Payload::U64(result))
    }

    /// A request with a reply of its own.
    pub(super) fn get(self, request: Fe, payload: Payload<'_>, reply: Payload<'_>) -> Self {
        self.ask(request, payload).reply(request, reply)
    }

    /// A reply on the main channel.
    pub(super) fn reply(self, request: Fe, payload: Payload<'_>) -> Self {
        self.send(Message::reply(Channel::Main, request.0, payload))
    }

    /// A request on the back-end channel that is answered with a u64.
    pub(super) fn backend(self, code: BackendRequest, payload: Payload<'_>, result: u64) -> Self {
        self.send(Message::backend(code, payload).with_need_reply()).send(Message::reply(
            Channel::Backend,
            code.0,
            Payload::U64(result),
        ))
    }
}

/// What front-ends say.
impl Talk {
    /// 1.
    pub(super) fn get_features(self) -> Self {
        let offered = Payload::U64(self.offer.features);
        self.get(Fe::GET_FEATURES, Payload::None, offered)
    }

    /// 15 and 16.
    pub(super) fn protocol(self, bits: u64) -> Self {
        let offered = Payload::U64(self.offer.protocol_features);
        self.get(Fe::GET_PROTOCOL_FEATURES, Payload::None, offered).set_protocol(bits)
    }

    /// 16 alone.
    pub(super) fn set_protocol(mut self, bits: u64) -> Self {
        self = self.ask(Fe::SET_PROTOCOL_FEATURES, Payload::U64(bits));
        self.layout.log_shmfd = bits & protocol::LOG_SHMFD != 0;
        self.layout.xen_mmap = bits & protocol::XEN_MMAP != 0;
        self
    }

    /// 17.
    pub(super) fn queue_num(self) -> Self {
        let number = Payload::U64(self.offer.queue_num);
        self.get(Fe::GET_QUEUE_NUM, Payload::None, number)
    }

    /// 36.
    pub(super) fn slots(self) -> Self {
        let slots = Payload::U64(self.offer.max_mem_slots.into());
        self.get(Fe::GET_MAX_MEM_SLOTS, Payload::None, slots)
    }

    /// 3.
    pub(super) fn owner(self) -> Self {
        self.ask(Fe::SET_OWNER, Payload::None)
    }

    /// 2.
    pub(super) fn features(self, bits: u64) -> Self {
        self.ask(Fe::SET_FEATURES, Payload::U64(bits))
    }

    /// 13 and 14 with descriptors.
    pub(super) fn call_and_err(self, index: u32) -> Self {
        self.call(index).ask(Fe::SET_VRING_ERR, notifier(index.into()))
    }

    /// 13 with a descriptor.
    pub(super) fn call(self, index: u32) -> Self {
        self.ask(Fe::SET_VRING_CALL, notifier(index.into()))
    }

    /// 12 with a descriptor.
    pub(super) fn kick(self, index: u32) -> Self {
        self.ask(Fe::SET_VRING_KICK, notifier(index.into()))
    }

    /// 8.
    pub(super) fn num(self, index: u32, num: u32) -> Self {
        self.ask(Fe::SET_VRING_NUM, state(index, num))
    }

    /// 10.
    pub(super) fn base(self, index: u32, base: u32) -> Self {
        self.ask(Fe::SET_VRING_BASE, state(index, base))
    }

    /// 9.
    pub(super) fn addr(self, index: u32) -> Self {
        self.ask(Fe::SET_VRING_ADDR, Payload::Addr(addresses(index)))
    }

    /// 18.
    pub(super) fn enable(self, index: u32, num: u32) -> Self {
        self.ask(Fe::SET_VRING_ENABLE, state(index, num))
    }

    /// 8, 10 and 9.
    pub(super) fn set_up(self, index: u32) -> Self {
        self.num(index, 256).base(index, 0).addr(index)
    }

    /// 8, 10, 9 and 12: a ring of 256 entries that starts.
    pub(super) fn ring(self, index: u32) -> Self {
        self.set_up(index).kick(index)
    }

    /// 11 of a started ring, which stops at `base`.
    pub(super) fn stop(self, index: u32, base: u32) -> Self {
        self.succeed(base.into()).stopped(index, base)
    }

    /// 11 of a ring that is stopped at `base`: nothing has to be done.
    pub(super) fn stopped(self, index: u32, base: u32) -> Self {
        self.get(Fe::GET_VRING_BASE, state(index, 0), state(index, base))
    }

    /// 5 that is acknowledged.
    pub(super) fn table(self, regions: &[Region]) -> Self {
        self.with_table(regions, |talk, table| talk.ack(Fe::SET_MEM_TABLE, table))
    }

    /// 5 that asks for nothing.
    pub(super) fn table_unasked(self, regions: &[Region]) -> Self {
        self.with_table(regions, |talk, table| talk.ask(Fe::SET_MEM_TABLE, table))
    }

    /// 5 that is refused with an acknowledgement.
    pub(super) fn bad_table(self, regions: &[Region]) -> Self {
        self.with_table(regions, |talk, table| talk.nack(Fe::SET_MEM_TABLE, table))
    }

    /// Says something with the payload of these regions.
    pub(super) fn with_table(
        self,
        regions: &[Region],
        say: impl FnOnce(Self, Payload<'_>) -> Self,
    ) -> Self {
        let bytes = RegionBytes::new(regions);
        let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        let layout = self.layout;
        say(self, Payload::MemTable(MemTable::new(count, layout, bytes.as_bytes())))
    }

    /// 37 that is acknowledged.
    pub(super) fn add(self, region: Region) -> Self {
        self.ack(Fe::ADD_MEM_REG, Payload::MemReg(MemReg { padding: 0, region }))
    }

    /// 37 that is refused with an acknowledgement.
    pub(super) fn bad_add(self, region: Region) -> Self {
        self.nack(Fe::ADD_MEM_REG, Payload::MemReg(MemReg { padding: 0, region }))
    }

    /// 38 that is acknowledged.
    pub(super) fn remove(self, region: Region) -> Self {
        self.ack(Fe::REM_MEM_REG, Payload::MemReg(MemReg { padding: 0, region }))
    }

    /// 24, whose reply shows `data` and then zeros.
    pub(super) fn get_config(self, offset: u32, size: u32, data: &[u8]) -> Self {
        let mut payload = vec![0; usize::try_from(size).unwrap_or(0)];
        let ask = Payload::Config(Config { offset, size, flags: 0, payload: &payload });
        let this = self.ask(Fe::GET_CONFIG, ask);
        let len = data.len().min(payload.len());
        payload[..len].copy_from_slice(&data[..len]);
        let reply = Payload::Config(Config { offset, size, flags: 0, payload: &payload });
        this.reply(Fe::GET_CONFIG, reply)
    }

    /// 24 that ends in the empty reply.
    pub(super) fn bad_get_config(self, offset: u32, size: u32) -> Self {
        let payload = vec![0; usize::try_from(size).unwrap_or(0).min(4084)];
        let ask = Payload::Config(Config { offset, size, flags: 0, payload: &payload });
        self.ask(Fe::GET_CONFIG, ask).reply(Fe::GET_CONFIG, Payload::None)
    }

    /// 25 of `size` bytes with these data, acknowledged with `result`.
    pub(super) fn set_config(self, window: (u32, u32, u32), data: &[u8], result: u64) -> Self {
        let (offset, size, flags) = window;
        let config = Payload::Config(Config { offset, size, flags, payload: data });
        self.ask_and(Fe::SET_CONFIG, config, result)
    }

    /// 39 and 40.
    pub(super) fn status(self, status: u64) -> Self {
        let value = Payload::U64(status);
        self.ask(Fe::SET_STATUS, value).get(Fe::GET_STATUS, Payload::None, value)
    }

    /// 21.
    pub(super) fn channel(self) -> Self {
        self.ack(Fe::SET_BACKEND_REQ_FD, Payload::None)
    }
}

/// Whole stretches.
impl Talk {
    /// From the connection to the owner, in as few messages as are legal: a front-end that comes
    /// back after a migration knows what is offered (SE11), and short seeds are fuzzed faster. How
    /// front-ends really begin is in `frontends.rs` and in the recorded sessions.
    pub(super) fn attach(self, bits: u64) -> Self {
        self.get_features().set_protocol(bits).owner()
    }

    /// Attached, with features and one region of memory.
    pub(super) fn ready(self, virtio: u64, protocol: u64) -> Self {
        self.attach(protocol).features(virtio).table_or_unasked(protocol, &[region(0)])
    }

    /// Ready, with two rings that run.
    pub(super) fn running(self, virtio: u64, protocol: u64) -> Self {
        self.ready(virtio, protocol).ring(0).ring(1).enable(0, 1).enable(1, 1)
    }

    fn table_or_unasked(self, bits: u64, regions: &[Region]) -> Self {
        if bits & protocol::REPLY_ACK == 0 {
            self.table_unasked(regions)
        } else {
            self.table(regions)
        }
    }

    /// Both rings stop, at bases 3 and 4.
    pub(super) fn stop_both(self) -> Self {
        self.stop(0, 3).stop(1, 4)
    }

    /// Shows that the connection lives: the position of ring 2, which was never touched.
    pub(super) fn alive(self) -> Self {
        self.stopped(2, 0)
    }

    /// The connection has ended: the next one begins from the start.
    pub(super) fn again(self) -> Self {
        self.reconnect().attach(PROTOCOL)
    }
}

/// How many descriptors a message should have.
fn natural(message: &Message<'_>, layout: Layout) -> usize {
    let Some(row) = message.row() else { return 0 };
    let (_, fds) = row.form(message.kind.direction);
    match message.payload {
        Payload::VringFd(vring) => usize::from(!vring.has_no_fd()),
        Payload::Area(area) => usize::from(!area.vring.has_no_fd()),
        Payload::MemTable(table) if message.kind == Kind::FRONTEND_REQUEST => {
            table.regions().count()
        }
        Payload::Log(_) if message.kind == Kind::FRONTEND_REQUEST => usize::from(layout.log_shmfd),
        Payload::Inflight(area) if message.kind == Kind::BACKEND_REPLY => {
            usize::from(area.mmap_size > 0)
        }
        _ => fds.min,
    }
}
