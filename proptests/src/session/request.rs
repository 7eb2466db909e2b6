//! Single requests whose numbers mean something to a device: rings 0 to 3, eight regions of one
//! small memory, short windows of the configuration space. One number in a dozen is any.

use proptest::bits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::{
    Inflight, Iotlb, LogBase, MemReg, Region, Transfer, VringAddr, VringFd, VringState, XenMmap,
};
use vhost_fuzz_core::vhost_user::request::FRONTEND;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Kind, Layout, MAX_REGIONS, Payload};
use vhost_fuzz_harness::session::offer::ScriptOffer;

use crate::choice::Choice;
use crate::message::{OwnedMessage, form};
use crate::number::{self, Boundary, u8, u32, u64};
use crate::payload::{self, OwnedPayload, Table, Window};
use crate::shape::Body;

/// One request.
pub type Request = BoxedStrategy<OwnedMessage>;

/// Rings of the default device.
const RINGS: u32 = 4;

/// Bytes of a region. Regions lie next to each other in guest memory.
pub const REGION_SIZE: u64 = 0x10_0000;

/// From one region to the next in the front-end's memory: there are holes between them.
pub const USER_STRIDE: u64 = 2 * REGION_SIZE;

/// Where the front-end has region 0.
const USER_ADDRESS: u64 = 0x7000_0000_0000;

/// Bytes of any in-flight area that a device of this crate asks for, and more.
const AREA_SIZE: u64 = 1 << 40;

/// One of the regions of the one memory.
#[must_use]
pub fn region(number: u8) -> Region {
    let number = u64::from(number);
    Region {
        guest_address: number * REGION_SIZE,
        size: REGION_SIZE,
        user_address: USER_ADDRESS + number * USER_STRIDE,
        mmap_offset: number * 0x1000,
        xen: Some(XenMmap { flags: 0, domid: 0 }),
    }
}

/// Any request, each id as often as the next. Shrinks to the one with the smallest id.
#[must_use]
pub fn request() -> Choice<OwnedMessage> {
    Choice::new(FRONTEND.iter().map(|row| (1, of(R(row.code)))))
}

/// A request of one id.
///
/// # Panics
/// When the specification has no such request.
pub fn of(code: R) -> Request {
    match code {
        R::SET_FEATURES => features(),
        R::SET_PROTOCOL_FEATURES => protocol_features(bits::u64::masked(u64::MAX >> 40).boxed()),
        R::SET_MEM_TABLE => prop_oneof![4 => table(), 1 => table_ack()].boxed(),
        R::SET_LOG_BASE => log(),
        R::SET_VRING_NUM => state(code, size()),
        R::SET_VRING_ADDR => addr(),
        R::SET_VRING_BASE => state(code, mostly(0..=0xffff_u32, u32())),
        R::SET_VRING_ENABLE | R::SET_VRING_ENDIAN => state(code, mostly(0..=1_u32, u32())),
        R::GET_VRING_BASE | R::GET_VRING_BASE_SKIP_DRAIN | R::VRING_KICK => state(code, u32()),
        R::SET_VRING_KICK | R::SET_VRING_CALL | R::SET_VRING_ERR => vring_fd(code),
        R::NET_SET_MTU => number(code, mostly(68..=9000_u64, u64())),
        R::IOTLB_MSG => iotlb(2..=3),
        R::GET_CONFIG | R::SET_CONFIG => config(code),
        R::GET_INFLIGHT_FD | R::SET_INFLIGHT_FD => inflight(code),
        R::ADD_MEM_REG | R::REM_MEM_REG => mem_reg(code),
        R::SET_STATUS => number(code, mostly(0..=255_u64, u64())),
        R::SET_DEVICE_STATE_FD => transfer(),
        _ => any(code),
    }
}

/// Mostly a number of the first strategy, and sometimes one of the second.
fn mostly<T: std::fmt::Debug + Clone + 'static>(
    usual: impl Strategy<Value = T> + 'static,
    any: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![11 => usual, 1 => any].boxed()
}

fn ring() -> BoxedStrategy<u32> {
    mostly(0..RINGS, u32())
}

fn size() -> BoxedStrategy<u32> {
    mostly((0..=10_u32).prop_map(|power| 1 << power), u32())
}

/// Any legal message of the id.
fn any(code: R) -> Request {
    form(Kind::FRONTEND_REQUEST, code.row().expect("a request of the specification"))
}

/// A request with this payload and so many descriptors.
fn with(code: R, body: impl Strategy<Value = (usize, OwnedPayload)> + 'static) -> Request {
    (proptest::bool::ANY, body)
        .prop_map(move |(need_reply, (fds, payload))| OwnedMessage {
            kind: Kind::FRONTEND_REQUEST,
            code: code.0,
            need_reply,
            body: Body { layout: Layout::default(), fds, payload },
        })
        .boxed()
}

fn plain(
    code: R,
    fds: usize,
    payload: impl Strategy<Value = Payload<'static>> + 'static,
) -> Request {
    with(code, payload.prop_map(move |payload| (fds, OwnedPayload::Plain(payload))))
}

/// A request with a number.
pub fn number(code: R, number: impl Strategy<Value = u64> + 'static) -> Request {
    plain(code, 0, number.prop_map(Payload::U64))
}

fn state(code: R, num: impl Strategy<Value = u32> + 'static) -> Request {
    let state = (ring(), num).prop_map(|(index, num)| Payload::State(VringState { index, num }));
    plain(code, 0, state)
}

/// `SET_FEATURES`: few bits, many bits, or bits that nobody offers.
pub fn features() -> Request {
    let all = ScriptOffer::default().features;
    let bits = prop_oneof![
        3 => Just(virtio::PROTOCOL_FEATURES),
        2 => bits::u64::masked(all).prop_map(|bits| bits | virtio::PROTOCOL_FEATURES),
        2 => bits::u64::masked(all),
        2 => Just(all),
        1 => u64(),
    ];
    number(R::SET_FEATURES, bits)
}

/// `SET_PROTOCOL_FEATURES` with these bits.
pub fn protocol_features(bits: BoxedStrategy<u64>) -> Request {
    number(R::SET_PROTOCOL_FEATURES, bits)
}

/// `SET_VRING_ADDR` of a ring in one of the regions, mostly aligned.
fn addr() -> Request {
    let inside = (0..8_u8, 0..16_u64, u64(), mostly(0..=1_u32, u32())).prop_map(
        |(number, page, log, flags)| {
            let descriptor = region(number).user_address + page * 0x1000;
            let (used, available) = (descriptor + 0x800, descriptor + 0x400);
            (flags, descriptor, used, available, log)
        },
    );
    let parts = prop_oneof![11 => inside, 1 => (u32(), u64(), u64(), u64(), u64())];
    let addr = (ring(), parts).prop_map(|(index, (flags, descriptor, used, available, log))| {
        Payload::Addr(VringAddr { index, flags, descriptor, used, available, log })
    });
    plain(R::SET_VRING_ADDR, 0, addr)
}

/// A kick, call or error descriptor, or the word that there is none.
fn vring_fd(code: R) -> Request {
    let vring = (mostly(0..4_u8, u8()), proptest::bool::ANY).prop_map(|(index, has_fd)| {
        let vring = VringFd(u64::from(index) | u64::from(!has_fd) << 8);
        (usize::from(has_fd), OwnedPayload::Plain(Payload::VringFd(vring)))
    });
    with(code, vring)
}

/// Some of the regions; one in eight is mapped on demand, if regions can be.
fn regions() -> impl Strategy<Value = Vec<Region>> {
    let numbers = subsequence((0..8).collect::<Vec<u8>>(), 1..=MAX_REGIONS as usize);
    (numbers.prop_shuffle(), 0..8_u8).prop_map(|(numbers, on_demand)| {
        let flagged = |number: u8| {
            let flags = if number == on_demand { 0x100 } else { 0 };
            Region { xen: Some(XenMmap { flags, domid: 0 }), ..region(number) }
        };
        numbers.into_iter().map(flagged).collect()
    })
}

/// `SET_MEM_TABLE` of some of the regions, sometimes with others.
pub fn table() -> Request {
    let tables = regions().prop_map(|regions| Table { padding: 0, regions, tail: Vec::new() });
    let tables = prop_oneof![11 => tables, 1 => payload::table(Just(true))];
    let body = tables.prop_map(|table| (table.regions.len(), OwnedPayload::MemTable(table)));
    with(R::SET_MEM_TABLE, body)
}

/// The acknowledgement of a postcopy table, in both its forms (VU-133).
pub fn table_ack() -> Request {
    plain(R::SET_MEM_TABLE, 0, prop_oneof![Just(Payload::U64(0)), Just(Payload::None)])
}

/// `ADD_MEM_REG` or `REM_MEM_REG` of one of the regions, or of an odd one.
fn mem_reg(code: R) -> Request {
    let region = prop_oneof![11 => (0..8_u8).prop_map(region), 1 => payload::xen_region()];
    let fds = usize::from(code == R::ADD_MEM_REG);
    plain(code, fds, region.prop_map(|region| Payload::MemReg(MemReg { padding: 0, region })))
}

/// `SET_LOG_BASE` with a descriptor.
fn log() -> Request {
    let usual = (1..=0x1000_u64, (0..4_u64).prop_map(|page| page * 0x1000));
    let log = prop_oneof![11 => usual, 1 => (u64(), u64())];
    let payload = log.prop_map(|(size, offset)| Payload::Log(LogBase { size, offset }));
    plain(R::SET_LOG_BASE, 1, payload)
}

/// `IOTLB_MSG` of these kinds: 2 brings a translation, 3 takes it away.
pub fn iotlb(kinds: std::ops::RangeInclusive<u8>) -> Request {
    let usual = (0..16_u64, 1..=4_u64, 0..8_u8, 0..16_u64, 1..=3_u8, kinds).prop_map(
        |(iova, pages, number, page, permissions, kind)| Iotlb {
            iova: iova * 0x1000,
            size: pages * 0x1000,
            user_address: region(number).user_address + page * 0x1000,
            permissions,
            kind,
            padding: [0; 6],
        },
    );
    let message = prop_oneof![11 => usual, 1 => payload::iotlb()];
    plain(R::IOTLB_MSG, 0, message.prop_map(Payload::Iotlb))
}

/// A window of the configuration space.
fn config(code: R) -> Request {
    let usual = (0..=60_u32, 0..=1_u32, number::bytes(0..=8));
    let any = (u32(), u32(), number::bytes(0..=300));
    let window = prop_oneof![9 => usual, 1 => any].prop_map(|(offset, flags, data)| {
        let size = u32::try_from(data.len()).expect("at most 300");
        (0, OwnedPayload::Config(Window { offset, size, flags, data }))
    });
    with(code, window)
}

/// An in-flight area that is large enough, or any.
fn inflight(code: R) -> Request {
    let usual = (1..=4_u16, 0..=10_u32, Boundary::new(0..=0x1_0000)).prop_map(
        |(num_queues, power, mmap_offset)| Inflight {
            mmap_size: AREA_SIZE,
            mmap_offset,
            num_queues,
            queue_size: 1 << power,
            padding: 0,
        },
    );
    let fds = usize::from(code == R::SET_INFLIGHT_FD);
    let area = prop_oneof![11 => usual, 1 => payload::inflight()];
    plain(code, fds, area.prop_map(Payload::Inflight))
}

/// `SET_DEVICE_STATE_FD`.
fn transfer() -> Request {
    let direction = mostly(0..=1_u32, u32());
    let transfer = (direction, mostly(Just(0), u32()))
        .prop_map(|(direction, phase)| Payload::Transfer(Transfer { direction, phase }));
    plain(R::SET_DEVICE_STATE_FD, 1, transfer)
}

/// Requests one after another.
pub fn all(requests: Vec<Request>) -> BoxedStrategy<Vec<OwnedMessage>> {
    requests.boxed()
}

/// Some requests of one strategy.
pub fn some(request: Request, most: usize) -> BoxedStrategy<Vec<OwnedMessage>> {
    vec(request, 0..=most).boxed()
}

/// Makes a request about this ring, if it is about one.
pub fn set_ring(message: &mut OwnedMessage, ring: u8) {
    match &mut message.body.payload {
        OwnedPayload::Plain(Payload::State(state)) => state.index = ring.into(),
        OwnedPayload::Plain(Payload::Addr(addr)) => addr.index = ring.into(),
        OwnedPayload::Plain(Payload::VringFd(vring)) => {
            vring.0 = vring.0 & !0xff | u64::from(ring);
        }
        _ => {}
    }
}
