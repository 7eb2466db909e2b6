//! What is legal: for each shape of the request table its payloads, with what has to be
//! negotiated for them and how many descriptors they have.

use std::ops::RangeInclusive;

use proptest::prelude::*;

use vhost_fuzz_core::vhost_user::payload::{CryptoSession, VringArea, VringFd};
use vhost_fuzz_core::vhost_user::request::{Fds, Shape};
use vhost_fuzz_core::vhost_user::{Layout, Payload};

use crate::number::{self, Boundary, u64};
use crate::payload::{self, OwnedPayload, Session};

/// A legal payload with all that makes it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What was negotiated.
    pub layout: Layout,
    /// Descriptors that come along.
    pub fds: usize,
    /// The payload.
    pub payload: OwnedPayload,
}

/// Every legal body of a shape; `fds` is what its row allows.
pub fn body(shape: Shape, fds: Fds) -> BoxedStrategy<Body> {
    match shape {
        Shape::None => plain(fds, Just(Payload::None)),
        Shape::U64 => plain(fds, u64().prop_map(Payload::U64)),
        Shape::VringFd => vring_fd(),
        Shape::State => plain(fds, payload::vring_state().prop_map(Payload::State)),
        Shape::Addr => plain(fds, payload::vring_addr().prop_map(Payload::Addr)),
        Shape::MemTable => {
            prop_oneof![1 => postcopy_ack(), 4 => mem_table(Regions::WithFds)].boxed()
        }
        Shape::MemTableReply => {
            prop_oneof![1 => body(Shape::U64, fds), 2 => mem_table(Regions::WithoutFds)].boxed()
        }
        Shape::MemReg => mem_reg(fds),
        Shape::MemRegReply => prop_oneof![body(Shape::U64, fds), mem_reg(fds)].boxed(),
        Shape::Log => prop_oneof![log_without_fd(), log_with_fd()].boxed(),
        Shape::LogReply => {
            let log = payload::log_base().prop_map(Payload::Log);
            prop_oneof![body(Shape::None, fds), body(Shape::U64, fds), plain(fds, log)].boxed()
        }
        Shape::Iotlb => plain(fds, payload::iotlb().prop_map(Payload::Iotlb)),
        Shape::ConfigGet => config(fds),
        Shape::ConfigSet => prop_oneof![config(fds), padded_config(fds)].boxed(),
        Shape::ConfigReply => prop_oneof![1 => body(Shape::None, fds), 2 => config(fds)].boxed(),
        Shape::Area => area(),
        Shape::Inflight => plain(fds, payload::inflight().prop_map(Payload::Inflight)),
        Shape::InflightReply => inflight_reply(),
        Shape::Shared => plain(fds, payload::shared_object().prop_map(Payload::Shared)),
        Shape::SharedOrNone => {
            prop_oneof![body(Shape::None, fds), body(Shape::Shared, fds)].boxed()
        }
        Shape::Transfer => plain(fds, payload::transfer().prop_map(Payload::Transfer)),
        Shape::TransferReply => transfer_reply(),
        Shape::LookupReply => lookup_reply(),
        Shape::ShmemMap => plain(fds, payload::shmem_map().prop_map(Payload::ShmemMap)),
        Shape::ShmemConfig => owned(fds, payload::sizes().prop_map(OwnedPayload::ShmemConfig)),
        Shape::CryptoRequest => owned(fds, legal_session().prop_map(OwnedPayload::Crypto)),
        Shape::CryptoReply => owned(fds, payload::session().prop_map(OwnedPayload::Crypto)),
    }
}

/// A payload that fits whatever was negotiated, with any number of descriptors that its row
/// allows.
fn owned(fds: Fds, payload: impl Strategy<Value = OwnedPayload> + 'static) -> BoxedStrategy<Body> {
    (payload::layout(), number::len(fds.min..=fds.max), payload)
        .prop_map(|(layout, fds, payload)| Body { layout, fds, payload })
        .boxed()
}

fn plain(
    fds: Fds,
    payload: impl Strategy<Value = Payload<'static>> + 'static,
) -> BoxedStrategy<Body> {
    owned(fds, payload.prop_map(OwnedPayload::Plain))
}

/// A payload that says itself whether a descriptor comes along.
fn telling(
    payload: impl Strategy<Value = (bool, Payload<'static>)> + 'static,
) -> BoxedStrategy<Body> {
    (payload::layout(), payload)
        .prop_map(|(layout, (has_fd, payload))| Body {
            layout,
            fds: usize::from(has_fd),
            payload: OwnedPayload::Plain(payload),
        })
        .boxed()
}

fn vring_fd() -> BoxedStrategy<Body> {
    let has_fd = |vring: VringFd| (!vring.has_no_fd(), Payload::VringFd(vring));
    telling(payload::vring_fd().prop_map(has_fd))
}

fn area() -> BoxedStrategy<Body> {
    let has_fd = |area: VringArea| (!area.vring.has_no_fd(), Payload::Area(area));
    telling(payload::vring_area().prop_map(has_fd))
}

/// VU-179: size 0 without a descriptor, any other size with one.
fn inflight_reply() -> BoxedStrategy<Body> {
    telling(payload::inflight().prop_map(|area| (area.mmap_size != 0, Payload::Inflight(area))))
}

/// VU-161, VU-162: bit 8 without a descriptor, and nothing below bit 9 with one.
fn transfer_reply() -> BoxedStrategy<Body> {
    let high = || Boundary::new(0..=(1 << 55) - 1).prop_map(|high| high << 9);
    let with_fd = high().prop_map(|value| (true, Payload::U64(value)));
    let without = (number::u8(), high())
        .prop_map(|(status, high)| (false, Payload::U64(u64::from(status) | 0x100 | high)));
    prop_oneof![telling(with_fd), telling(without)].boxed()
}

/// VU-232: 0 with a descriptor, any other value without one.
fn lookup_reply() -> BoxedStrategy<Body> {
    let failed = Boundary::new(1..=u64::MAX).prop_map(|status| (false, Payload::U64(status)));
    prop_oneof![telling(Just((true, Payload::U64(0)))), telling(failed)].boxed()
}

/// Whether the descriptors of a memory table come with it.
#[derive(Clone, Copy, Debug)]
enum Regions {
    WithFds,
    WithoutFds,
}

fn mem_table(regions: Regions) -> BoxedStrategy<Body> {
    (payload::layout(), payload::table(any::<bool>()))
        .prop_map(move |(layout, table)| Body {
            layout: Layout { xen_mmap: table.is_xen(), ..layout },
            fds: match regions {
                Regions::WithFds => table.regions.len(),
                Regions::WithoutFds => 0,
            },
            payload: OwnedPayload::MemTable(table),
        })
        .boxed()
}

/// VU-133: nothing or a u64, without descriptors.
fn postcopy_ack() -> BoxedStrategy<Body> {
    prop_oneof![body(Shape::None, Fds::NONE), body(Shape::U64, Fds::NONE)]
        .prop_map(|mut body| {
            body.layout.postcopy_ack = true;
            body
        })
        .boxed()
}

fn mem_reg(fds: Fds) -> BoxedStrategy<Body> {
    (payload::layout(), number::len(fds.min..=fds.max), payload::xen_mem_reg())
        .prop_map(|(layout, fds, mut reg)| {
            reg.region.xen = reg.region.xen.filter(|_| layout.xen_mmap);
            Body { layout, fds, payload: OwnedPayload::Plain(Payload::MemReg(reg)) }
        })
        .boxed()
}

/// VU-155: P-LOG and its descriptor.
fn log_with_fd() -> BoxedStrategy<Body> {
    plain(Fds::ONE, payload::log_base().prop_map(Payload::Log))
        .prop_map(|mut body| {
            body.layout.log_shmfd = true;
            body
        })
        .boxed()
}

/// DV-75: a u64 or P-LOG.
fn log_without_fd() -> BoxedStrategy<Body> {
    let log = payload::log_base().prop_map(Payload::Log);
    prop_oneof![body(Shape::U64, Fds::NONE), plain(Fds::NONE, log)]
        .prop_map(|mut body| {
            body.layout.log_shmfd = false;
            body
        })
        .boxed()
}

fn config(fds: Fds) -> BoxedStrategy<Body> {
    owned(fds, payload::window().prop_map(OwnedPayload::Config))
}

/// VU-269: up to 256 bytes of data, of which the window is the front.
fn padded_config(fds: Fds) -> BoxedStrategy<Body> {
    let sizes: RangeInclusive<usize> = 0..=256;
    let window = (payload::window(), Boundary::new(0..=256), number::bytes(sizes));
    let padded = window.prop_map(|(mut window, size, data)| {
        let len = u32::try_from(data.len()).expect("at most 256");
        window.size = len.min(u32::try_from(size).expect("at most 256"));
        window.data = data;
        OwnedPayload::Config(window)
    });
    owned(fds, padded)
}

/// DC-008: the keys of the form that the operation names fit in their fields.
fn legal_session() -> impl Strategy<Value = Session> + Clone {
    let len = |limit: u32| number::len(0..=limit as usize);
    let lens = (
        len(CryptoSession::CIPHER_KEY_LIMIT),
        len(CryptoSession::AUTH_KEY_LIMIT),
        len(CryptoSession::ASYMMETRIC_KEY_LIMIT),
    );
    (payload::session(), lens).prop_map(|(mut session, (cipher, auth, asymmetric))| {
        let narrow = |len: usize| u32::try_from(len).expect("at most 1024");
        if session.is_asymmetric() {
            session.asymmetric_key_len = narrow(asymmetric);
        } else {
            session.cipher_key_len = narrow(cipher);
            session.auth_key_len = narrow(auth);
        }
        session
    })
}
