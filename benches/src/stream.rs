//! Cutting a stream of mixed messages.

use std::hint::black_box;

use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, Framer, Kind, Segment};

use crate::samples::{self, Sample};

/// The pattern that the stream repeats: mostly ring messages, as in the start of a session, with
/// a small table, a full one and one large message. 160 bytes on average.
const PATTERN: [fn() -> Sample; 10] = [
    samples::get_features,
    samples::mem_table_8,
    samples::set_vring_num,
    samples::set_vring_addr,
    samples::set_vring_kick,
    samples::mem_table_1,
    samples::set_vring_num,
    samples::set_vring_addr,
    samples::set_vring_kick,
    samples::crypto_session,
];

/// How often it does.
const REPEATS: usize = 100;

/// How the stream arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything that is there is offered; the framer takes a message at a time.
    Whole,
    /// Reads of exactly what the framer misses: a header, then its payload.
    Exact,
    /// One byte at a time.
    Bytewise,
}

/// A framer that has not failed, and what it is fed.
#[derive(Debug)]
pub struct Stream {
    bytes: Vec<u8>,
    /// Descriptors of each message. Numbers stand for descriptors: closing is not measured.
    fds: Vec<u32>,
    framer: Framer<u32>,
}

impl Stream {
    /// 1000 messages.
    #[must_use]
    pub fn mixed() -> Self {
        let framer = Framer::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        let mut stream = Self { bytes: Vec::new(), fds: Vec::new(), framer };
        for sample in (0..REPEATS).flat_map(|_| PATTERN).map(|sample| sample()) {
            stream.bytes.extend(&sample.bytes);
            stream.fds.push(u32::try_from(sample.fds).expect("a message has at most 8"));
        }
        stream
    }

    /// How many messages there are.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.fds.len() as u64
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Feeds the whole stream `times` times and takes every message.
pub fn run(stream: &mut Stream, cut: Cut, times: u64) {
    for _ in 0..times {
        feed(stream, cut, |bytes, fds| {
            black_box((bytes, fds));
        });
    }
}

/// Asserts that the messages of the stream come out as they went in.
///
/// # Panics
/// When they do not.
pub fn check(stream: &mut Stream, cut: Cut, name: &str) {
    let mut seen = Vec::new();
    feed(stream, cut, |bytes, fds| seen.push((bytes.to_vec(), fds.to_vec())));
    assert_eq!(seen.len(), stream.fds.len(), "{name}: the number of messages");
    for (sample, (bytes, fds)) in PATTERN.iter().cycle().map(|sample| sample()).zip(seen) {
        assert_eq!(bytes, sample.bytes, "{name}: the bytes of a message");
        assert_eq!(fds.len(), sample.fds, "{name}: the descriptors of a message");
    }
}

/// Feeds the stream once; shows each message with its descriptors.
#[inline(never)]
fn feed(stream: &mut Stream, cut: Cut, mut see: impl FnMut(&[u8], &[u32])) {
    let Stream { bytes, fds, framer } = stream;
    let mut rest = &bytes[..];
    for &count in &*fds {
        // The descriptors come with the first byte.
        let mut new = 0..count;
        while !framer.is_whole() {
            let offered = match cut {
                Cut::Whole => rest,
                Cut::Exact => rest.get(..framer.missing()).unwrap_or(rest),
                Cut::Bytewise => rest.get(..1).unwrap_or(rest),
            };
            let segment = Segment::with_fds(offered, &mut new);
            // The stream is legal and long enough, as `check` has seen.
            let Ok(taken) = framer.push(black_box(segment)) else { return };
            rest = rest.get(taken..).unwrap_or_default();
        }
        if let Some(frame) = framer.take() {
            see(frame.bytes, &frame.fds);
        }
    }
}
