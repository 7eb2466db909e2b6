//! Scripts: one for each way in which a stream is refused, and for what has to survive a cut.

use vhost_fuzz_core::vhost_user::payload::VringFd;
use vhost_fuzz_core::vhost_user::{BackendRequest, FrontendRequest as Fe, Kind};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::script::{self, FdKind, Record};

use super::{announcing, longs, seed, table, wire, words};

const ASK: u32 = 0x1;
const ASK_ACK: u32 = 0x9;
const REPLY: u32 = 0x5;

const OK: &str = "accept";

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [cuts(), ends(), headers(), sizes(), late_fds(), many_fds(), whose_fds(), odd_fds()].concat()
}

/// A script in the making.
#[derive(Default)]
struct Script(Vec<Record<'static>>);

impl Script {
    fn new() -> Self {
        Self::default()
    }

    fn record(mut self, record: Record<'static>) -> Self {
        self.0.push(record);
        self
    }

    fn send(self, kind: Kind, bytes: &[u8]) -> Self {
        self.record(Record::Message { kind, bytes: bytes.to_vec().into() })
    }

    /// Sends a piece of a front-end's request.
    fn ask(self, bytes: &[u8]) -> Self {
        self.send(Kind::FRONTEND_REQUEST, bytes)
    }

    fn border(self) -> Self {
        self.record(Record::Border)
    }

    /// Attaches descriptors to what is sent next.
    fn fds(mut self, kind: FdKind, count: usize) -> Self {
        let size = if kind == FdKind::MEMFD { 0x20_0000 } else { 0 };
        self.0.extend((0..count).map(|_| Record::Fd { kind, seals: 0, size }));
        self
    }

    /// The bytes, after the peer has gone.
    fn close(self) -> Vec<u8> {
        script::encode(&self.record(Record::Close).0)
    }
}

/// Requests that every session begins with: they show that the stream was in step so far.
fn begun() -> Script {
    Script::new()
        .ask(&wire(Fe::SET_OWNER.0, ASK, &[]))
        .border()
        .ask(&wire(Fe::GET_FEATURES.0, ASK, &[]))
        .border()
}

fn features() -> Vec<u8> {
    wire(Fe::SET_FEATURES.0, ASK_ACK, &longs(&[0x1_7000_0000]))
}

fn kick(index: u64) -> Vec<u8> {
    wire(Fe::SET_VRING_KICK.0, ASK, &longs(&[index]))
}

fn cuts() -> Vec<Seed> {
    let features = features();
    let each_byte = features.iter().fold(begun(), |script, byte| script.ask(&[*byte]).border());
    let hostile = (0..5)
        .map(|at| (at + 1) * 4)
        .fold(Script::new(), |script, at| script.ask(&features[..at]).record(Record::Reconnect));
    vec![
        seed(
            "hz-01-header-in-two-pieces",
            OK,
            "a header in two pieces",
            begun().ask(&features[..7]).border().ask(&features[7..]).close(),
        ),
        seed(
            "hz-02-payload-in-two-pieces",
            OK,
            "a payload in two pieces",
            begun().ask(&features[..15]).border().ask(&features[15..]).close(),
        ),
        seed("every-byte-alone", OK, "a request byte by byte", each_byte.close()),
        seed(
            "empty-pieces",
            OK,
            "pieces without bytes between header and payload",
            begun()
                .ask(&features[..12])
                .border()
                .ask(&[])
                .border()
                .ask(&[])
                .border()
                .ask(&features[12..])
                .close(),
        ),
        seed(
            "three-requests-in-one-piece",
            OK,
            "three requests that are received together",
            Script::new().ask(&[&features[..]; 3].concat()).close(),
        ),
        seed(
            "hz-102-disconnect-at-every-step",
            "VU-001",
            "a peer that goes away after 4, 8, 12, 16 and 20 bytes of a request and comes again",
            hostile.ask(&features).close(),
        ),
    ]
}

fn ends() -> Vec<Seed> {
    let features = features();
    let reply = wire(Fe::GET_FEATURES.0, REPLY, &longs(&[1]));
    vec![
        seed("nothing", OK, "a connection on which nothing is sent", Script::new().close()),
        seed(
            "hz-05-end-in-header",
            "VU-001",
            "a stream that ends after 11 bytes of a header",
            begun().ask(&features[..11]).close(),
        ),
        seed(
            "hz-05-end-after-first-byte",
            "VU-001",
            "a stream that ends after the first byte of a header, which has a descriptor",
            begun().fds(FdKind::EVENTFD, 1).ask(&features[..1]).close(),
        ),
        seed(
            "hz-06-end-in-payload",
            "VU-001",
            "a stream that ends before the last byte of a payload",
            begun().ask(&features[..19]).close(),
        ),
        seed(
            "hz-06-end-before-payload",
            "VU-001",
            "a stream of replies that ends after a header with a payload to come",
            begun().send(Kind::BACKEND_REPLY, &reply[..12]).close(),
        ),
    ]
}

fn headers() -> Vec<Seed> {
    let with = |flags: u32| begun().ask(&wire(Fe::SET_OWNER.0, flags, &[])).border().ask(&kick(0));
    let answer = |kind: Kind, code: u32, flags: u32| {
        begun().send(kind, &wire(code, flags, &longs(&[0]))).close()
    };
    let features = Fe::GET_FEATURES.0;
    let notifier = BackendRequest::CONFIG_CHANGE_MSG.0;
    vec![
        seed("hz-07-version-2", "VU-011", "version 2, then more requests", with(2).close()),
        seed("hz-08-version-0", "VU-011", "version 0, then more requests", with(0).close()),
        seed("hz-09-reserved-flag-bit-4", "VU-007", "flag bit 4 in a request", with(0x11).close()),
        seed("hz-10-reply-bit-in-request", "VU-006", "the reply bit in a request", with(5).close()),
        seed(
            "reply-bit-clear-in-reply",
            "VU-004",
            "a back-end's reply without the reply bit",
            answer(Kind::BACKEND_REPLY, features, ASK),
        ),
        seed(
            "reply-bit-clear-in-backend-reply",
            "VU-005",
            "a front-end's reply without the reply bit",
            answer(Kind::FRONTEND_REPLY, notifier, ASK),
        ),
        seed(
            "hz-101-need_reply-in-reply",
            "VU-008",
            "a reply with the need_reply bit of its request",
            answer(Kind::BACKEND_REPLY, features, 0xd),
        ),
    ]
}

fn sizes() -> Vec<Seed> {
    let filled = |size: u32| wire(46, ASK, &vec![0x5a; size as usize]);
    vec![
        seed(
            "hz-12-size-4097",
            "DC-001",
            "SET_FEATURES that announces one byte more than the limit",
            begun().ask(&announcing(Fe::SET_FEATURES.0, ASK, LIMIT + 1, &[0; 32])).close(),
        ),
        seed(
            "hz-13-size-0xffffffff",
            "DC-001",
            "SET_FEATURES that announces 4294967295 bytes and has none",
            begun().ask(&announcing(Fe::SET_FEATURES.0, ASK, u32::MAX, &[])).close(),
        ),
        seed(
            "size-4096",
            OK,
            "a payload as large as the limit, then another request",
            begun().ask(&filled(LIMIT)).border().ask(&kick(0)).close(),
        ),
    ]
}

fn late_fds() -> Vec<Seed> {
    let kick = kick(0);
    let at = |offset: usize| {
        begun().ask(&kick[..offset]).border().fds(FdKind::EVENTFD, 1).ask(&kick[offset..]).close()
    };
    vec![
        seed("hz-03-fd-with-byte-1", "DC-002", "a descriptor with the second byte", at(1)),
        seed("hz-04-fd-with-payload", "DC-002", "a descriptor with the payload", at(12)),
        seed("hz-04-fd-with-last-byte", "DC-002", "a descriptor with the last byte", at(19)),
        seed(
            "fds-twice",
            "DC-002",
            "a descriptor with the header, and one more with the payload",
            begun()
                .fds(FdKind::EVENTFD, 1)
                .ask(&kick[..12])
                .border()
                .fds(FdKind::EVENTFD, 1)
                .ask(&kick[12..])
                .close(),
        ),
        seed(
            "fds-without-bytes",
            "DC-002",
            "descriptors that come with no byte",
            begun().fds(FdKind::EVENTFD, 2).ask(&[]).border().ask(&kick).close(),
        ),
        seed(
            "control-truncated",
            "DC-003",
            "control data that was cut: the descriptor that came may not be all",
            begun().fds(FdKind::EVENTFD, 1).record(Record::ControlTruncated).ask(&kick).close(),
        ),
        seed(
            "control-truncated-without-fds",
            "DC-003",
            "control data that was cut so far that no descriptor is left, in a payload",
            begun()
                .ask(&kick[..12])
                .border()
                .record(Record::ControlTruncated)
                .ask(&kick[12..])
                .close(),
        ),
    ]
}

fn many_fds() -> Vec<Seed> {
    let with = |regions: u32, fds: usize| {
        let bytes = wire(Fe::SET_MEM_TABLE.0, ASK_ACK, &table(regions));
        begun().fds(FdKind::MEMFD, fds).ask(&bytes).border().ask(&kick(0)).close()
    };
    let calls = (0..200_u64).fold(begun(), |script, ring| {
        let call = wire(Fe::SET_VRING_CALL.0, ASK, &longs(&[ring % 2]));
        script.fds(FdKind::EVENTFD, 1).ask(&call)
    });
    vec![
        seed(
            "8-regions-8-fds",
            OK,
            "a memory table with as many descriptors as allowed",
            with(8, 8),
        ),
        seed("hz-20-9-regions-9-fds", "DC-004", "9 regions with 9 descriptors", with(9, 9)),
        seed("hz-21-33-regions-33-fds", "DC-004", "33 regions with 33 descriptors", with(33, 33)),
        seed(
            "hz-26-200-calls",
            OK,
            "200 call descriptors for two rings: each replaces one",
            calls.close(),
        ),
    ]
}

fn whose_fds() -> Vec<Seed> {
    let (one, other) = (kick(VringFd::NO_FD), kick(1));
    let both = [&one[..], &other[..]].concat();
    vec![
        seed(
            "hz-22-fd-for-the-second-request",
            OK,
            "two requests in one call; the descriptor meant for the second belongs to the first",
            begun().fds(FdKind::EVENTFD, 1).ask(&both).close(),
        ),
        seed(
            "hz-22a-fd-with-the-second-request",
            OK,
            "two requests in two calls; the descriptor belongs to the second",
            begun().ask(&one).fds(FdKind::EVENTFD, 1).ask(&other).close(),
        ),
        seed(
            "fd-behind-half-a-header",
            "DC-002",
            "a descriptor meant for the second request, which a short read brings to the first",
            begun().ask(&one[..6]).border().fds(FdKind::EVENTFD, 1).ask(&both[6..]).close(),
        ),
    ]
}

fn odd_fds() -> Vec<Seed> {
    let kinds = [FdKind::MEMFD, FdKind::OTHER, FdKind::PIPE, FdKind::SOCKET, FdKind::USERFAULTFD];
    let kicks = (0..)
        .zip(kinds)
        .fold(begun(), |script, (ring, kind)| script.fds(kind, 1).ask(&kick(ring)).border());
    let back_end = |code: BackendRequest, payload: &[u8]| wire(code.0, ASK_ACK, payload);
    let map = longs(&[0, 0, 0, 0x1000, 1]);
    vec![
        seed(
            "hz-23-set_backend_req_fd-eventfd",
            OK,
            "SET_BACKEND_REQ_FD with an eventfd: well formed, for the session to refuse",
            begun()
                .fds(FdKind::EVENTFD, 1)
                .ask(&wire(Fe::SET_BACKEND_REQ_FD.0, ASK_ACK, &[]))
                .close(),
        ),
        seed(
            "hz-25-kick-odd-fds",
            OK,
            "kick descriptors that are no eventfds: well formed, for the session to refuse",
            kicks.close(),
        ),
        seed(
            "both-channels",
            OK,
            "requests and replies of both channels, mixed",
            begun()
                .send(Kind::BACKEND_REPLY, &wire(Fe::GET_FEATURES.0, REPLY, &longs(&[1 << 30])))
                .send(Kind::BACKEND_REQUEST, &back_end(BackendRequest::CONFIG_CHANGE_MSG, &[]))
                .send(
                    Kind::FRONTEND_REPLY,
                    &wire(BackendRequest::CONFIG_CHANGE_MSG.0, REPLY, &longs(&[0])),
                )
                .fds(FdKind::MEMFD, 1)
                .send(Kind::BACKEND_REQUEST, &back_end(BackendRequest::SHMEM_MAP, &map))
                .ask(&wire(Fe::SET_VRING_NUM.0, ASK_ACK, &words(&[0, 256])))
                .close(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vhost_fuzz_core::vhost_user::{FrameError, HeaderError};
    use vhost_fuzz_harness::target::msg_stream;

    use super::*;

    /// The name of a variant; no wildcard, so that a new one has to come in here.
    fn variant(error: FrameError) -> &'static str {
        match error {
            FrameError::Header(error) => match error {
                HeaderError::Version { .. } => "Version",
                HeaderError::ReplyBitInRequest => "ReplyBitInRequest",
                HeaderError::ReplyBitMissing => "ReplyBitMissing",
                HeaderError::BackendReplyBitMissing => "BackendReplyBitMissing",
                HeaderError::NeedReplyInReply => "NeedReplyInReply",
                HeaderError::ReservedFlags { .. } => "ReservedFlags",
                HeaderError::TooLarge { .. } => "TooLarge",
            },
            FrameError::LateFds { .. } => "LateFds",
            FrameError::ControlTruncated => "ControlTruncated",
            FrameError::TooManyFds { .. } => "TooManyFds",
            FrameError::EofInHeader { .. } => "EofInHeader",
            FrameError::EofInPayload { .. } => "EofInPayload",
        }
    }

    const VARIANTS: usize = 12;

    #[test]
    fn every_end_of_a_stream_has_a_seed_that_shows_it() {
        let mut seen = BTreeSet::new();
        for seed in seeds() {
            let errors: Vec<_> = msg_stream::streams(&seed.bytes)
                .iter()
                .filter_map(|stream| stream.receive().end.err())
                .collect();
            let rule = errors.first().map_or(OK.to_owned(), |error| error.rule().to_string());
            assert_eq!(rule, seed.entry.expect, "{}: {errors:?}", seed.name);
            seen.extend(errors.into_iter().map(variant));
        }
        assert_eq!(seen.len(), VARIANTS, "{seen:?}");
    }
}
