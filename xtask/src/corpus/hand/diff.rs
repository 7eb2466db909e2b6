//! Sessions for `diff_vhost`: one for each way in which two back-ends may differ, and what both
//! have to do alike.

use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Kind};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::peer::offer;
use vhost_fuzz_harness::script::{self, FdKind, Record};

use super::{longs, seed, wire, words};

const ASK: u32 = 0x1;
const ASK_ACK: u32 = 0x9;
const OK: &str = "accept";

/// Bytes of a region.
const SIZE: u64 = 0x20_0000;
/// Front-end's address of the first one.
const USER: u64 = 0x7f00_0000_0000;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [rings(), odd_rings(), acks(), more_acks(), memory(), config(), transfers(), features(), ends()]
        .concat()
}

/// A session in the making.
#[derive(Clone, Default)]
struct Session(Vec<Record<'static>>);

impl Session {
    fn new() -> Self {
        Self::default()
    }

    /// Everything is negotiated, so that requests are answered when they ask for it.
    fn negotiated(features: u64) -> Self {
        Self::new()
            .ask(Fe::SET_OWNER, ASK, &[])
            .ask(Fe::GET_FEATURES, ASK, &[])
            .ask(Fe::GET_PROTOCOL_FEATURES, ASK, &[])
            .ask(Fe::SET_PROTOCOL_FEATURES, ASK, &longs(&[offer::PROTOCOL_FEATURES]))
            .ask(Fe::SET_FEATURES, ASK_ACK, &longs(&[features]))
    }

    fn send(mut self, bytes: Vec<u8>) -> Self {
        self.0.push(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes: bytes.into() });
        self
    }

    fn ask(self, request: Fe, flags: u32, payload: &[u8]) -> Self {
        self.send(wire(request.0, flags, payload))
    }

    fn fd(self, kind: FdKind) -> Self {
        self.file(kind, 0)
    }

    fn file(mut self, kind: FdKind, size: u64) -> Self {
        self.0.push(Record::Fd { kind, seals: 0, size });
        self
    }

    fn reconnect(mut self) -> Self {
        self.0.push(Record::Reconnect);
        self
    }

    fn end(self) -> Vec<u8> {
        script::encode(&self.0)
    }
}

/// Bits 30 and 32.
const SPLIT: u64 = 1 << 30 | 1 << 32;
const PACKED: u64 = SPLIT | 1 << 34;

fn split() -> Session {
    Session::negotiated(SPLIT)
}

/// A ring that runs.
fn running(session: Session, base: u32) -> Session {
    session
        .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[0, 256]))
        .ask(Fe::SET_VRING_BASE, ASK_ACK, &words(&[0, base]))
        .ask(Fe::SET_VRING_ADDR, ASK_ACK, &addr(0, 0, USER))
        .fd(FdKind::EVENTFD)
        .ask(Fe::SET_VRING_CALL, ASK_ACK, &longs(&[0]))
        .fd(FdKind::EVENTFD)
        .ask(Fe::SET_VRING_KICK, ASK_ACK, &longs(&[0]))
        .ask(Fe::SET_VRING_ENABLE, ASK_ACK, &words(&[0, 1]))
}

fn addr(index: u32, flags: u32, at: u64) -> Vec<u8> {
    [words(&[index, flags]), longs(&[at, at + 0x2000, at + 0x1000, 0])].concat()
}

fn region(number: u64) -> Vec<u8> {
    longs(&[number * SIZE, SIZE, USER + number * SIZE, 0])
}

fn table(regions: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    [words(&[count, 0]), regions.concat()].concat()
}

fn reg(region: &[u8]) -> Vec<u8> {
    [longs(&[0]), region.to_vec()].concat()
}

fn area(size: u64, queues: u16, entries: u16) -> Vec<u8> {
    let counts = [queues.to_ne_bytes(), entries.to_ne_bytes(), [0; 2], [0; 2]].concat();
    [longs(&[size, 0]), counts].concat()
}

fn rings() -> Vec<Seed> {
    let stop = |session: Session| session.ask(Fe::GET_VRING_BASE, ASK, &words(&[0, 7]));
    vec![
        seed(
            "one-split-ring",
            OK,
            "a split ring from its start to its stop, and again",
            stop(running(stop(running(split(), 5)), 0x1234)).end(),
        ),
        seed(
            "one-packed-ring",
            OK,
            "packed rings with both halves of the base, and with the lower only (DV-32)",
            stop(running(stop(running(Session::negotiated(PACKED), 0x8000_8000)), 0x8000)).end(),
        ),
        seed(
            "hz-68-wide-base-before-features",
            OK,
            "a base of 17 bits from before SET_FEATURES, asked for when rings are split (VU-089)",
            Session::new()
                .ask(Fe::SET_VRING_BASE, ASK, &words(&[1, 0x1_ffff]))
                .ask(Fe::SET_FEATURES, ASK, &longs(&[SPLIT]))
                .ask(Fe::GET_VRING_BASE, ASK, &words(&[1, 0]))
                .end(),
        ),
        seed(
            "running-ring-is-left-alone",
            OK,
            "an in-flight area, a base and a size while a ring runs, with acknowledgements and \
             without",
            running(split(), 0)
                .file(FdKind::MEMFD, 4224)
                .ask(Fe::SET_INFLIGHT_FD, ASK_ACK, &area(4224, 2, 128))
                .ask(Fe::SET_VRING_BASE, ASK_ACK, &words(&[0, 1]))
                .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[0, 128]))
                .ask(Fe::SET_VRING_NUM, ASK, &words(&[0, 128]))
                .end(),
        ),
        seed(
            "features-while-running",
            OK,
            "SET_FEATURES with the log bit, then with another, while a ring runs (HZ-39)",
            running(split(), 0)
                .ask(Fe::SET_FEATURES, ASK_ACK, &longs(&[SPLIT | 1 << 26]))
                .ask(Fe::SET_FEATURES, ASK_ACK, &longs(&[SPLIT | 1 << 29]))
                .end(),
        ),
    ]
}

fn odd_rings() -> Vec<Seed> {
    vec![
        seed(
            "bad-indexes-and-sizes",
            OK,
            "indexes and sizes that no ring has, with acknowledgements (HZ-60 to HZ-67)",
            split()
                .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[0, 0]))
                .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[0, 3]))
                .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[0, 65792]))
                .ask(Fe::SET_VRING_NUM, ASK_ACK, &words(&[4, 256]))
                .ask(Fe::SET_VRING_BASE, ASK_ACK, &words(&[0x8000_0000, 0]))
                .ask(Fe::SET_VRING_ENABLE, ASK_ACK, &words(&[0x8000_0000, 1]))
                .ask(Fe::SET_VRING_ENABLE, ASK_ACK, &words(&[0, 2]))
                .end(),
        ),
        seed(
            "bad-addresses",
            OK,
            "ring addresses that are misaligned, or with flag bit 1 (HZ-74, HZ-77, DV-63)",
            split()
                .ask(Fe::SET_VRING_ADDR, ASK_ACK, &addr(0, 1, USER))
                .ask(Fe::SET_VRING_ADDR, ASK_ACK, &addr(0, 0, USER + 8))
                .ask(Fe::SET_VRING_ADDR, ASK, &addr(0, 2, USER))
                .end(),
        ),
        seed(
            "polled-and-muted",
            OK,
            "bit 8 in kick, call and error messages (HZ-71)",
            split()
                .ask(Fe::SET_VRING_KICK, ASK_ACK, &longs(&[0x101]))
                .ask(Fe::SET_VRING_CALL, ASK_ACK, &longs(&[0x101]))
                .ask(Fe::SET_VRING_ERR, ASK_ACK, &longs(&[0x101]))
                .ask(Fe::GET_VRING_BASE, ASK_ACK, &words(&[1, 0]))
                .end(),
        ),
        seed(
            "two-fds-and-none",
            "VU-020",
            "two descriptors with a kick that says it has none (DV-86)",
            split()
                .fd(FdKind::EVENTFD)
                .fd(FdKind::EVENTFD)
                .ask(Fe::SET_VRING_KICK, ASK_ACK, &longs(&[0x100]))
                .end(),
        ),
    ]
}

fn acks() -> Vec<Seed> {
    let set = |bits: u64| wire(Fe::SET_PROTOCOL_FEATURES.0, ASK_ACK, &longs(&[bits]));
    vec![
        seed(
            "hz-17-unknown-id",
            OK,
            "request 46 with an acknowledgement due, then without (DV-05)",
            split().send(wire(46, ASK_ACK, &[])).reconnect().send(wire(46, ASK, &[])).end(),
        ),
        seed(
            "hz-14-short-features",
            "DC-005",
            "SET_FEATURES with 4 bytes and an acknowledgement due (DV-82)",
            split().ask(Fe::SET_FEATURES, ASK_ACK, &words(&[0])).end(),
        ),
        seed(
            "ack-before-get_features",
            OK,
            "REPLY_ACK negotiated by a front-end that never asked for features (DV-83)",
            Session::new()
                .ask(Fe::SET_PROTOCOL_FEATURES, ASK, &longs(&[8]))
                .ask(Fe::SET_OWNER, ASK_ACK, &[])
                .ask(Fe::GET_FEATURES, ASK_ACK, &[])
                .ask(Fe::SET_OWNER, ASK_ACK, &[])
                .end(),
        ),
        seed(
            "reply_ack-on-and-off",
            OK,
            "SET_PROTOCOL_FEATURES that turns REPLY_ACK on and off, asking for an acknowledgement",
            Session::new()
                .ask(Fe::GET_FEATURES, ASK, &[])
                .send(set(8))
                .send(set(9))
                .send(set(1))
                .send(set(0))
                .end(),
        ),
    ]
}

fn more_acks() -> Vec<Seed> {
    vec![
        seed(
            "hz-109-listen-without-reply_ack",
            OK,
            "POSTCOPY_LISTEN that asks for an answer (VU-263); a feature that is not offered",
            Session::new().ask(Fe::POSTCOPY_LISTEN, ASK_ACK, &[]).end(),
        ),
        seed(
            "requests-of-features-that-are-off",
            OK,
            "GET_QUEUE_NUM, RESET_DEVICE, CHECK_DEVICE_STATE and more with nothing negotiated",
            Session::new()
                .ask(Fe::GET_QUEUE_NUM, ASK, &[])
                .ask(Fe::RESET_DEVICE, ASK, &[])
                .ask(Fe::CHECK_DEVICE_STATE, ASK, &[])
                .ask(Fe::GET_CONFIG, ASK, &[words(&[0, 4, 0]), vec![0; 4]].concat())
                .ask(Fe::GET_SHMEM_CONFIG, ASK, &[])
                .end(),
        ),
    ]
}

fn memory() -> Vec<Seed> {
    let files = |session: Session, count: usize| {
        (0..count).fold(session, |session, _| session.file(FdKind::MEMFD, SIZE))
    };
    let two = table(&[region(0), region(1)]);
    let overlap = table(&[region(0), longs(&[SIZE / 2, SIZE, USER + 2 * SIZE, 0])]);
    let add = |session: Session, number| {
        session.file(FdKind::MEMFD, SIZE).ask(Fe::ADD_MEM_REG, ASK_ACK, &reg(&region(number)))
    };
    let wrong_user = longs(&[0, SIZE, USER + 1, 0]);
    vec![
        seed(
            "tables",
            OK,
            "a table, another in its place, and one that overlaps (HZ-43)",
            files(
                files(files(split(), 2).ask(Fe::SET_MEM_TABLE, ASK_ACK, &two), 1).ask(
                    Fe::SET_MEM_TABLE,
                    ASK_ACK,
                    &table(&[region(3)]),
                ),
                2,
            )
            .ask(Fe::SET_MEM_TABLE, ASK_ACK, &overlap)
            .end(),
        ),
        seed("hz-42-padded-table", OK, "one region padded to the full table (DV-10)", {
            let mut padded = table(&[region(0)]);
            padded.resize(264, 0);
            files(split(), 1).ask(Fe::SET_MEM_TABLE, ASK_ACK, &padded).end()
        }),
        seed(
            "hz-46-short-file",
            OK,
            "files that are shorter than their regions, and an eventfd in the place of a file",
            split()
                .file(FdKind::MEMFD, SIZE - 1)
                .ask(Fe::SET_MEM_TABLE, ASK_ACK, &table(&[region(0)]))
                .fd(FdKind::EVENTFD)
                .ask(Fe::ADD_MEM_REG, ASK_ACK, &reg(&region(0)))
                .end(),
        ),
        seed(
            "slots",
            OK,
            "regions added and removed, one twice, one with a wrong user address (HZ-47, DV-47)",
            add(add(add(split().ask(Fe::GET_MAX_MEM_SLOTS, ASK, &[]), 0), 1), 0)
                .ask(Fe::REM_MEM_REG, ASK_ACK, &reg(&wrong_user))
                .file(FdKind::MEMFD, SIZE)
                .ask(Fe::REM_MEM_REG, ASK_ACK, &reg(&region(0)))
                .ask(Fe::REM_MEM_REG, ASK_ACK, &reg(&region(0)))
                .end(),
        ),
        seed(
            "log",
            OK,
            "a dirty log, one at an odd offset (HZ-82), and the form without LOG_SHMFD (DV-75)",
            split()
                .file(FdKind::MEMFD, 0x3000)
                .ask(Fe::SET_LOG_BASE, ASK, &longs(&[0x2000, 0x1000]))
                .file(FdKind::MEMFD, 0x3000)
                .ask(Fe::SET_LOG_BASE, ASK, &longs(&[0x1000, 0x10]))
                .reconnect()
                .ask(Fe::SET_LOG_BASE, ASK, &longs(&[0x1000, 0]))
                .fd(FdKind::EVENTFD)
                .ask(Fe::SET_LOG_FD, ASK, &[])
                .end(),
        ),
    ]
}

fn config() -> Vec<Seed> {
    let window = |offset: u32, size: u32, flags: u32, carried: usize| {
        [words(&[offset, size, flags]), vec![0x5a; carried]].concat()
    };
    let get = |session: Session, window: &[u8]| session.ask(Fe::GET_CONFIG, ASK, window);
    let reads = [
        window(0, 60, 0, 60),
        window(32, 60, 1, 60),
        window(61, 4, 0, 4),
        window(0, 4084, 0, 4084),
    ];
    vec![
        seed(
            "get_config",
            OK,
            "the whole space, past its end, behind its end (DV-16), and as much as there may be",
            reads.iter().fold(split(), |session, window| get(session, window)).end(),
        ),
        seed(
            "get_config-nothing",
            OK,
            "no byte of the space (DV-19)",
            get(split(), &window(0, 0, 0, 0)).end(),
        ),
        seed(
            "set_config",
            OK,
            "writes to a field, to a read-only one, in a migration, with more than their size",
            split()
                .ask(Fe::SET_CONFIG, ASK_ACK, &window(0, 4, 0, 4))
                .ask(Fe::SET_CONFIG, ASK_ACK, &window(32, 4, 0, 4))
                .ask(Fe::SET_CONFIG, ASK_ACK, &window(32, 4, 1, 4))
                .ask(Fe::SET_CONFIG, ASK_ACK, &window(32, 4, 2, 4))
                .ask(Fe::GET_CONFIG, ASK, &window(0, 60, 0, 60))
                .ask(Fe::SET_CONFIG, ASK_ACK, &window(0, 4, 0, 256))
                .end(),
        ),
    ]
}

fn transfers() -> Vec<Seed> {
    vec![
        seed(
            "inflight",
            OK,
            "in-flight areas: asked for, handed over, too small, of no queue (HZ-86, HZ-87)",
            split()
                .ask(Fe::GET_INFLIGHT_FD, ASK, &area(0, 2, 128))
                .file(FdKind::MEMFD, 4224)
                .ask(Fe::SET_INFLIGHT_FD, ASK_ACK, &area(4224, 2, 128))
                .file(FdKind::MEMFD, 4224)
                .ask(Fe::SET_INFLIGHT_FD, ASK_ACK, &area(4223, 2, 128))
                .ask(Fe::GET_INFLIGHT_FD, ASK, &area(0, 0, 128))
                .end(),
        ),
        seed(
            "device-state",
            OK,
            "a device state transfer, its check, a second check, and an unknown phase (HZ-98)",
            split()
                .fd(FdKind::PIPE)
                .ask(Fe::SET_DEVICE_STATE_FD, ASK, &words(&[0, 0]))
                .ask(Fe::CHECK_DEVICE_STATE, ASK, &[])
                .ask(Fe::CHECK_DEVICE_STATE, ASK, &[])
                .fd(FdKind::PIPE)
                .ask(Fe::SET_DEVICE_STATE_FD, ASK, &words(&[0, 1]))
                .end(),
        ),
        seed(
            "channels",
            OK,
            "sockets and others as back-end channel and as GPU socket (HZ-23)",
            split()
                .fd(FdKind::SOCKET)
                .ask(Fe::SET_BACKEND_REQ_FD, ASK_ACK, &[])
                .fd(FdKind::EVENTFD)
                .ask(Fe::SET_BACKEND_REQ_FD, ASK_ACK, &[])
                .fd(FdKind::SOCKET)
                .ask(Fe::GPU_SET_SOCKET, ASK_ACK, &[])
                .fd(FdKind::PIPE)
                .ask(Fe::GPU_SET_SOCKET, ASK_ACK, &[])
                .end(),
        ),
        seed(
            "objects",
            OK,
            "shared memory regions, and shared objects that nobody has (DV-20)",
            split()
                .ask(Fe::GET_SHMEM_CONFIG, ASK, &[])
                .ask(Fe::GET_SHARED_OBJECT, ASK, &longs(&[1, 2]))
                .ask(Fe::GET_SHARED_OBJECT, ASK, &longs(&[0, 0]))
                .end(),
        ),
    ]
}

fn features() -> Vec<Seed> {
    vec![
        seed(
            "hz-30-unoffered-features",
            OK,
            "features and protocol features that were not offered (HZ-30, HZ-31)",
            split()
                .ask(Fe::SET_FEATURES, ASK_ACK, &longs(&[1 << 63]))
                .reconnect()
                .ask(Fe::GET_FEATURES, ASK, &[])
                .ask(Fe::SET_PROTOCOL_FEATURES, ASK, &longs(&[8]))
                .ask(Fe::SET_PROTOCOL_FEATURES, ASK_ACK, &longs(&[1 << 40 | 8]))
                .end(),
        ),
        seed(
            "hz-32-inband-alone",
            OK,
            "in-band notifications without their channel or acknowledgements (HZ-32, DV-50)",
            split()
                .ask(Fe::SET_PROTOCOL_FEATURES, ASK_ACK, &longs(&[1 << 14 | 8]))
                .reconnect()
                .ask(Fe::GET_FEATURES, ASK, &[])
                .ask(Fe::SET_PROTOCOL_FEATURES, ASK, &longs(&[1 << 14 | 1 << 5]))
                .end(),
        ),
        seed(
            "hz-33-enable-before-features",
            OK,
            "SET_VRING_ENABLE before any SET_FEATURES, as a front-end sends it (DV-23)",
            Session::new().ask(Fe::SET_VRING_ENABLE, ASK, &words(&[0, 1])).end(),
        ),
        seed(
            "features-without-bit-30",
            OK,
            "SET_FEATURES without bit 30, which enables every ring, then RESET_OWNER",
            Session::new()
                .ask(Fe::SET_FEATURES, ASK, &longs(&[1 << 32]))
                .ask(Fe::RESET_OWNER, ASK, &[])
                .end(),
        ),
        seed(
            "hz-97-reset",
            OK,
            "RESET_DEVICE while a ring runs, twice, then a ring again",
            running(
                running(split(), 7)
                    .ask(Fe::RESET_DEVICE, ASK_ACK, &[])
                    .ask(Fe::RESET_DEVICE, ASK_ACK, &[])
                    .ask(Fe::SET_FEATURES, ASK_ACK, &longs(&[SPLIT])),
                0,
            )
            .end(),
        ),
    ]
}

fn ends() -> Vec<Seed> {
    let features = wire(Fe::SET_FEATURES.0, ASK, &longs(&[SPLIT]));
    vec![
        seed(
            "hz-102-cut-everywhere",
            "VU-001",
            "a peer that goes away after 4, 12 and 16 bytes of a request and comes again",
            [4, 12, 16]
                .into_iter()
                .fold(Session::new(), |session, len| {
                    session.send(features[..len].to_vec()).reconnect()
                })
                .end(),
        ),
        seed(
            "hz-10-reply-bit",
            "VU-006",
            "the reply bit in requests, each on a connection of its own (DV-84)",
            [1, 33, 43, 44]
                .into_iter()
                .fold(Session::new(), |session, code| session.send(wire(code, 5, &[])).reconnect())
                .end(),
        ),
        seed(
            "payloads-where-none-belong",
            "DC-005",
            "a payload in requests that have none (DV-84)",
            split()
                .fd(FdKind::SOCKET)
                .ask(Fe::GPU_SET_SOCKET, ASK, &longs(&[0]))
                .reconnect()
                .ask(Fe::GET_FEATURES, ASK, &longs(&[0]))
                .end(),
        ),
    ]
}
