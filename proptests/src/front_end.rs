//! Inputs of the differential target: sessions in which most requests make sense, so that two
//! back-ends get deep into them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Kind, MAX_FDS};
use vhost_fuzz_harness::peer::offer;
use vhost_fuzz_harness::script::{FdKind, Record};

use crate::hostile;
use crate::message::{message_of, unknown_of};
use crate::number::{Boundary, u64};
use crate::script::piece;

/// Most steps of a session after the negotiation.
const STEPS: usize = 16;

/// Front-end's address of the first region, and bytes of each.
const USER: u64 = 0x7f00_0000_0000;
const SIZE: u64 = 0x20_0000;

/// A request, or the end of a connection, with the descriptors that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Kinds and sizes of the descriptors.
    pub fds: Vec<(FdKind, u64)>,
    /// Message id; `None` ends the connection.
    pub code: Option<Fe>,
    /// Whether it asks for an acknowledgement.
    pub need_reply: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Step {
    /// Its records.
    #[must_use]
    pub fn records(&self) -> Vec<Record<'static>> {
        let Some(code) = self.code else { return vec![Record::Reconnect] };
        let fd = |&(kind, size): &(FdKind, u64)| Record::Fd { kind, seals: 0, size };
        let size = u32::try_from(self.payload.len()).expect("a short payload");
        let flags = if self.need_reply { 9 } else { 1 };
        let header = [code.0, flags, size].into_iter().flat_map(u32::to_ne_bytes);
        let bytes: Vec<u8> = header.chain(self.payload.iter().copied()).collect();
        self.fds.iter().map(fd).chain([piece(Kind::FRONTEND_REQUEST, &bytes)]).collect()
    }
}

/// A session: what is negotiated, and what happens then.
pub fn session() -> impl Strategy<Value = Vec<Vec<Record<'static>>>> + Clone {
    let steps = vec(prop_oneof![12 => step(), 2 => wild()], 0..=STEPS);
    (negotiation(), steps).prop_map(|(mut session, steps)| {
        session.extend(steps);
        session
    })
}

/// Any request or damaged one.
fn wild() -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    let kind = Kind::FRONTEND_REQUEST;
    let legal = || prop_oneof![9 => message_of(kind), 1 => unknown_of(kind)];
    let legal_records = (legal(), fd_kind()).prop_map(move |(message, fd)| {
        let fd = Record::Fd { kind: fd, seals: 0, size: SIZE };
        let mut records = vec![fd; message.body.fds];
        records.push(piece(kind, &message.encode()));
        records
    });
    let damaged = (hostile::of(legal().boxed()), fd_kind()).prop_map(move |(hostile, fd)| {
        let (context, bytes) = hostile.parts();
        let fd = Record::Fd { kind: fd, seals: 0, size: SIZE };
        let mut records = vec![fd; context.fds.min(MAX_FDS)];
        records.push(piece(kind, &bytes));
        records
    });
    prop_oneof![legal_records, damaged]
}

fn fd_kind() -> impl Strategy<Value = FdKind> + Clone {
    select(vec![FdKind::EVENTFD, FdKind::MEMFD, FdKind::SOCKET, FdKind::PIPE, FdKind::OTHER])
}

fn plain(code: Fe, payload: Vec<u8>) -> Step {
    Step { fds: Vec::new(), code: Some(code), need_reply: false, payload }
}

fn longs(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// What a front-end negotiates: nearly always everything.
fn negotiation() -> impl Strategy<Value = Vec<Vec<Record<'static>>>> + Clone {
    const SPLIT: u64 = 1 << 30 | 1 << 32;
    let features = select(vec![SPLIT, SPLIT | 1 << 34, SPLIT | 1 << 26, 1 << 32, offer::FEATURES]);
    let protocol = prop_oneof![
        6 => Just(offer::PROTOCOL_FEATURES),
        1 => u64().prop_map(|bits| bits & offer::PROTOCOL_FEATURES),
        1 => Just(8_u64),
    ];
    (features, protocol, 0..64_u8).prop_map(|(features, protocol, asks)| {
        let steps = [
            plain(Fe::SET_OWNER, vec![]),
            plain(Fe::GET_FEATURES, vec![]),
            plain(Fe::GET_PROTOCOL_FEATURES, vec![]),
            plain(Fe::SET_PROTOCOL_FEATURES, longs(&[protocol])),
            plain(Fe::SET_FEATURES, longs(&[features])),
        ];
        // One step in 64 sessions is left out, each as often as the others.
        let left_out = usize::from(asks);
        let kept = steps.iter().enumerate().filter(|(at, _)| *at != left_out);
        kept.map(|(_, step)| step.records()).collect()
    })
}

/// A number that is mostly small.
fn small(limit: u64) -> impl Strategy<Value = u64> + Clone {
    prop_oneof![12 => 0..limit, 1 => Boundary::new(0..=u64::MAX)]
}

fn index() -> impl Strategy<Value = u32> + Clone {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
    prop_oneof![20 => 0..3_u64, 1 => 0..6_u64, 1 => Boundary::new(0..=u64::from(u32::MAX))]
        .prop_map(|index| index as u32)
}

/// A request that makes sense, more or less.
fn step() -> impl Strategy<Value = Vec<Record<'static>>> + Clone {
    (prop_oneof![rings(), memory(), device(), questions()], any::<bool>())
        .prop_map(|(step, need_reply)| Step { need_reply, ..step }.records())
}

fn rings() -> impl Strategy<Value = Step> + Clone {
    let state = |codes: &[Fe], num: BoxedStrategy<u32>| {
        (select(codes.to_vec()), index(), num)
            .prop_map(|(code, index, num)| plain(code, words(&[index, num])))
    };
    let sizes = select(vec![1, 2, 3, 128, 256, 1000, 1024, 2048, 0, 65792]).boxed();
    let bases = select(vec![0, 5, 0x8000, 0xffff, 0x1_ffff, 0x8000_8000, 0x8005_0007]).boxed();
    let addr = (index(), select(vec![0, 0, 0, 1, 2]), small(64), small(64)).prop_map(
        |(index, flags, at, skew)| {
            let at = USER.wrapping_add(at.wrapping_mul(2));
            let (used, log) = (at.wrapping_add(skew.wrapping_mul(4)), skew);
            let rest = longs(&[at & !0xf, used, at.wrapping_add(skew & 6), log]);
            plain(Fe::SET_VRING_ADDR, [words(&[index, flags]), rest].concat())
        },
    );
    let notifier = (
        select(vec![Fe::SET_VRING_KICK, Fe::SET_VRING_CALL, Fe::SET_VRING_ERR]),
        small(4),
        any::<bool>(),
        select(vec![0, 0, 1, 1, 1, 2]),
        fd_kind(),
    )
        .prop_map(|(code, index, polls, fds, kind)| {
            let agrees = if polls { fds.min(1) ^ 1 } else { fds };
            let payload =
                longs(&[index | if polls && fds != 2 { 0 } else { 0x100 * u64::from(polls) }]);
            Step { fds: vec![(kind, SIZE); agrees], ..plain(code, payload) }
        });
    let kick = (0..2_u64, fd_kind()).prop_map(|(index, kind)| Step {
        fds: vec![(kind, 0)],
        ..plain(Fe::SET_VRING_KICK, longs(&[index]))
    });
    prop_oneof![
        2 => state(&[Fe::SET_VRING_NUM], sizes),
        2 => state(&[Fe::SET_VRING_BASE], bases),
        2 => state(&[Fe::GET_VRING_BASE], select(vec![0, 7]).boxed()),
        2 => state(&[Fe::SET_VRING_ENABLE], select(vec![0, 1, 1, 1, 2]).boxed()),
        2 => addr,
        2 => notifier,
        2 => kick,
    ]
}

/// A region, and how large its file is.
fn region() -> impl Strategy<Value = ([u64; 4], u64)> + Clone {
    let size = prop_oneof![10 => Just(SIZE), 1 => Just(0), 1 => Just(SIZE / 2 + 1), 1 => u64()];
    (0..8_u64, small(2), size, small(2), any::<u8>()).prop_map(
        |(number, moved, size, offset, luck)| {
            let guest = (number * SIZE).wrapping_add(moved.wrapping_mul(SIZE / 2));
            let offset = offset.wrapping_mul(0x1000);
            let short = u64::from(luck == 0);
            let len = offset.wrapping_add(size).wrapping_sub(short);
            ([guest, size, USER + number * SIZE, offset], len)
        },
    )
}

fn memory() -> impl Strategy<Value = Step> + Clone {
    let table = (vec(region(), 1..=4), select(vec![0, 0, 0, 0, 32, 8]), select(vec![0, 0, 0, 1]))
        .prop_map(|(regions, padding, odd)| {
            let count = u32::try_from(regions.len()).expect("at most 4");
            let words = words(&[count, odd]);
            let fields: Vec<u8> = regions.iter().flat_map(|(region, _)| longs(region)).collect();
            let fds = regions.iter().map(|(_, len)| (FdKind::MEMFD, *len)).collect();
            let payload = [words, fields, vec![0; padding]].concat();
            Step { fds, ..plain(Fe::SET_MEM_TABLE, payload) }
        });
    let reg = (region(), select(vec![Fe::ADD_MEM_REG, Fe::ADD_MEM_REG, Fe::REM_MEM_REG]), 0..8_u8)
        .prop_map(|((region, len), code, luck)| {
            let natural = usize::from(code == Fe::ADD_MEM_REG);
            let fds = if luck == 0 { 2 - natural } else { natural };
            let payload = [longs(&[0]), longs(&region)].concat();
            Step { fds: vec![(FdKind::MEMFD, len); fds], ..plain(code, payload) }
        });
    let log = (small(3), small(3), any::<bool>()).prop_map(|(pages, offset, has_fd)| {
        let (size, offset) = (pages.wrapping_mul(0x1000), offset.wrapping_mul(0x800));
        let fds = vec![(FdKind::MEMFD, 0x4000); usize::from(has_fd)];
        Step { fds, ..plain(Fe::SET_LOG_BASE, longs(&[size, offset])) }
    });
    let area = (0..5_u16, select(vec![0_u16, 2, 3, 128, 1024, 2048]), small(2), any::<bool>())
        .prop_map(|(queues, entries, less, sets)| {
            let size = offer::inflight_len(queues, entries, true).wrapping_sub(less);
            let counts = [queues.to_ne_bytes(), entries.to_ne_bytes(), [0; 2], [0; 2]].concat();
            let payload = [longs(&[size, 0]), counts].concat();
            let code = if sets { Fe::SET_INFLIGHT_FD } else { Fe::GET_INFLIGHT_FD };
            Step { fds: vec![(FdKind::MEMFD, size); usize::from(sets)], ..plain(code, payload) }
        });
    prop_oneof![4 => table, 4 => reg, 1 => log, 2 => area]
}

fn device() -> impl Strategy<Value = Step> + Clone {
    let window = (
        select(vec![Fe::GET_CONFIG, Fe::SET_CONFIG]),
        prop_oneof![4 => 0..70_u32, 1 => crate::number::u32()],
        prop_oneof![8 => 0..70_u32, 1 => 3990..4100_u32],
        select(vec![0, 0, 0, 1, 2, 3, 4]),
        select(vec![0, 0, 0, 0, 1, 8]),
    )
        .prop_map(|(code, offset, size, flags, more)| {
            let data = vec![0x5a; (size as usize + more).min(4000)];
            plain(code, [words(&[offset, size, flags]), data].concat())
        });
    let with_fd =
        (select(vec![Fe::SET_BACKEND_REQ_FD, Fe::GPU_SET_SOCKET, Fe::SET_LOG_FD]), fd_kind())
            .prop_map(|(code, kind)| Step { fds: vec![(kind, 0)], ..plain(code, vec![]) });
    let transfer = (0..3_u32, select(vec![0, 0, 0, 1]), fd_kind()).prop_map(|(to, phase, kind)| {
        Step { fds: vec![(kind, 0)], ..plain(Fe::SET_DEVICE_STATE_FD, words(&[to, phase])) }
    });
    let bits = select(vec![1_u64 << 30 | 1 << 32, 1 << 32, 1 << 30 | 1 << 34, 1 << 63, 1 << 26])
        .prop_map(|bits| plain(Fe::SET_FEATURES, longs(&[bits])));
    let protocol = select(vec![offer::PROTOCOL_FEATURES, 8, 0, 0xb, 1 << 8])
        .prop_map(|bits| plain(Fe::SET_PROTOCOL_FEATURES, longs(&[bits])));
    let end = Just(Step { fds: vec![], code: None, need_reply: false, payload: vec![] });
    prop_oneof![6 => window, 2 => with_fd, 2 => transfer, 2 => bits, 2 => protocol, 1 => end]
}

fn questions() -> impl Strategy<Value = Step> + Clone {
    let bare = select(vec![
        Fe::GET_FEATURES,
        Fe::GET_PROTOCOL_FEATURES,
        Fe::GET_QUEUE_NUM,
        Fe::GET_MAX_MEM_SLOTS,
        Fe::GET_SHMEM_CONFIG,
        Fe::CHECK_DEVICE_STATE,
        Fe::SET_OWNER,
        Fe::RESET_OWNER,
        Fe::RESET_DEVICE,
    ])
    .prop_map(|code| plain(code, vec![]));
    let object = select(vec![0_u64, 1, u64::MAX])
        .prop_map(|half| plain(Fe::GET_SHARED_OBJECT, longs(&[half, half])));
    prop_oneof![9 => bare, 1 => object]
}
