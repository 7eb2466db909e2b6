//! A session that takes one request again and again: decoding, gate, rules, effects that are
//! done at once, and the answer.

use std::hint::black_box;

use vhost_fuzz_core::session::{Done, Effect, EffectError, Offer, Session, Step};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::{Frame, Kind};

use crate::samples;

/// The configuration space of the device.
static CONFIG: [u8; 60] = [0x5a; 60];

/// A request that is given to a session, and what has to come back for it.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    fds: u32,
    reply: Vec<u8>,
}

/// A session after negotiation, and a request for it. Numbers stand for descriptors and
/// mappings: closing and mapping are not measured.
#[derive(Debug)]
pub struct Served {
    session: Session<u32, u32>,
    request: Request,
}

fn message(code: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).expect("a short payload");
    let header = [code, flags, size].into_iter().flat_map(u32::to_ne_bytes);
    header.chain(body.iter().copied()).collect()
}

/// The request of a sample, asking for an acknowledgement.
fn asking(bytes: &[u8], fds: u32) -> Request {
    let code = u32::from_ne_bytes(*bytes.first_chunk().expect("a header"));
    let bytes = message(code, 0x9, &bytes[12..]);
    Request { bytes, fds, reply: message(code, 0x5, &[0; 8]) }
}

/// `GET_FEATURES`: 12 bytes, answered with 20.
#[must_use]
pub fn get_features() -> Request {
    let reply = message(1, 0x5, &offer().features.to_ne_bytes());
    Request { bytes: message(1, 0x1, &[]), fds: 0, reply }
}

/// `SET_VRING_ADDR` with an acknowledgement: 52 bytes, answered with 20.
#[must_use]
pub fn set_vring_addr() -> Request {
    asking(&samples::set_vring_addr().bytes, 0)
}

/// `SET_VRING_CALL` with a descriptor and an acknowledgement: 20 bytes, answered with 20.
#[must_use]
pub fn set_vring_call() -> Request {
    asking(&message(13, 0x1, &1_u64.to_ne_bytes()), 1)
}

/// `SET_MEM_TABLE` of 8 regions with an acknowledgement: 276 bytes, answered with 20.
#[must_use]
pub fn mem_table_8() -> Request {
    asking(&samples::mem_table_8().bytes, 8)
}

/// `GET_CONFIG` of 60 bytes: 84 bytes, answered with 84.
#[must_use]
pub fn get_config() -> Request {
    let window: Vec<u8> = [0, 60, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
    let bytes = message(24, 0x1, &[&window[..], &[0; 60]].concat());
    Request { bytes, fds: 0, reply: message(24, 0x5, &[&window[..], &CONFIG].concat()) }
}

fn offer() -> Offer {
    Offer {
        device: 2,
        features: (1 << 41) - 1,
        protocol_features: protocol::ALL & !protocol::XEN_MMAP,
        queues: 4,
        queue_num: 4,
        max_queue_size: 1024,
        max_mem_slots: 32,
        config_len: 60,
        config_limit: 4084,
        config_writable: std::iter::once(0..60).collect(),
        page_size: 4096,
        shmem: None,
    }
}

/// A session of a device that offers nearly everything, before the first message.
///
/// # Panics
/// When that offer is impossible.
#[must_use]
pub fn new() -> Session<u32, u32> {
    Session::new(offer()).expect("a possible offer")
}

impl Served {
    /// A session that has negotiated acknowledgements and configuration.
    ///
    /// # Panics
    /// When the session refuses that.
    #[must_use]
    pub fn new(request: Request) -> Self {
        let mut session = new();
        let bits = protocol::REPLY_ACK | protocol::CONFIG;
        let features = virtio::PROTOCOL_FEATURES | 1 << 32;
        for bytes in
            [message(16, 0x1, &bits.to_ne_bytes()), message(2, 0x1, &features.to_ne_bytes())]
        {
            take(&mut session, &bytes, 0, |step| {
                assert!(matches!(step, Step::Silent), "{step:?}");
            });
        }
        Self { session, request }
    }

    /// The request.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.request.bytes
    }

    /// Gives the request to the session `times` times.
    #[inline(never)]
    pub fn run(&mut self, times: u64) {
        let Self { session, request } = self;
        for _ in 0..times {
            let Request { bytes, fds, .. } = black_box(&*request);
            take(session, bytes, *fds, |step| {
                black_box(step);
            });
        }
    }

    /// Asserts that the answer is the right one, also to the second request.
    ///
    /// # Panics
    /// When it is not.
    pub fn check(&mut self, name: &str) {
        let Self { session, request } = self;
        for _ in 0..2 {
            take(session, &request.bytes, request.fds, |step| match step {
                Step::Reply(reply) => {
                    assert_eq!(reply.bytes, request.reply, "{name}: the reply");
                    assert_eq!(reply.refusal, None, "{name}");
                }
                other => panic!("{name}: {other:?}"),
            });
        }
    }
}

/// Gives a message with so many descriptors to a session, does what it asks for, and shows how it
/// ends.
#[inline]
pub fn take(
    session: &mut Session<u32, u32>,
    bytes: &[u8],
    fds: u32,
    see: impl FnOnce(&Step<'_, u32>),
) {
    let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds: (0..fds).collect() };
    let mut step = session.on_frame(frame);
    loop {
        match step {
            Step::Need(effect) => {
                let result = done(&effect);
                step = session.on_done(result);
            }
            end => return see(&end),
        }
    }
}

/// What comes of an effect, at once.
#[inline]
fn done(effect: &Effect<'_, u32>) -> Result<Done<'static, u32, u32>, EffectError> {
    Ok(match *effect {
        Effect::MapRegion { fd, .. }
        | Effect::MapLog { fd, .. }
        | Effect::MapInflight { fd, .. } => Done::Mapped { mapping: fd, address: 0 },
        Effect::ReadConfig { offset, size } => {
            let (start, len) = (offset as usize, size as usize);
            let bytes = CONFIG.get(start..).and_then(|bytes| bytes.get(..len));
            Done::Config(bytes.unwrap_or_default())
        }
        Effect::StopRing { .. } => Done::Base(0),
        Effect::AllocateInflight { .. } => {
            Done::Inflight { fd: 0, mmap_size: 4096, mmap_offset: 0 }
        }
        Effect::CreateCrypto { .. } => Done::Crypto(0),
        Effect::OpenUserfault => Done::Fd(0),
        Effect::SharedObject { .. } | Effect::Transfer { .. } => Done::MaybeFd(None),
        _ => Done::Nothing,
    })
}
