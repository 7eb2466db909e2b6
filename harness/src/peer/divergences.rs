//! Where the back-end of the `vhost` crate and ours may differ.
//!
//! A row allows a difference by the *shape of the input*: the request, what was negotiated before
//! it, and predicates over its fields. It also says what each side has to do then, so that it
//! covers no other difference. Rows cite the row of spec §8 that tells of the difference, and the
//! rule that ours follows. Anything that no row allows is a finding.
//!
//! [`restarts`] says when the two sides cannot go on together.

use vhost_fuzz_model::Verdict;
use vhost_fuzz_model::vhost_user::{Context, message, number};

use super::offer;

/// What both sides were told before a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The features that were set last.
    pub features: Option<u64>,
    /// The protocol features that were.
    pub protocol: u64,
    /// `GET_FEATURES` was answered on this connection.
    pub asked_features: bool,
}

/// A request with what is known when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is known.
    pub known: Known,
    /// The whole message.
    pub bytes: &'a [u8],
    /// Descriptors that came with it.
    pub fds: usize,
}

/// What a side did with a request, as the front-end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It ended the connection without a reply.
    Close,
    /// It said nothing and waits for the next message.
    Nothing,
    /// It acknowledged success.
    Ack,
    /// It said no by an acknowledgement.
    Nack,
    /// It sent the reply that the request has.
    Answer,
}

use Did::{Ack, Answer, Close, Nack, Nothing};

/// A difference that is allowed.
#[derive(Clone, Copy)]
pub struct Divergence {
    /// The row of spec §8 and the rule that ours follows.
    pub cites: &'static str,
    /// Why the two differ.
    pub reason: &'static str,
    /// Which inputs it is about.
    pub shape: fn(&Asked<'_>) -> bool,
    /// What ours has to do then.
    pub ours: &'static [Did],
    /// What the peer does.
    pub peer: &'static [Did],
}

impl std::fmt::Debug for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Divergence").field("cites", &self.cites).finish_non_exhaustive()
    }
}

/// The row that allows this difference.
#[must_use]
pub fn find(asked: &Asked<'_>, ours: Did, peer: Did) -> Option<&'static Divergence> {
    ALLOWED
        .iter()
        .find(|row| row.ours.contains(&ours) && row.peer.contains(&peer) && (row.shape)(asked))
}

/// Whether the two sides are out of step after a message, so that both are started anew. That is
/// sound at any time, because a connection begins the same whatever was before it (VU-058, spec
/// §6.7).
///
/// They are when one of them has closed; when the peer has refused a SET message whose value it
/// keeps all the same and asks later gates for; and when they differ in what they did. They are not
/// when both did the same and only one of them told, or when they differ about the configuration
/// space, which no later message depends on.
#[must_use]
pub fn restarts(asked: &Asked<'_>, ours: Did, peer: Did, differ: bool) -> bool {
    let keeps_refused = asked.is(&[SET_FEATURES, SET_PROTOCOL_FEATURES]) && peer == Nack;
    let is_harmless = match (ours, peer) {
        (Ack | Nothing, Ack | Nothing) => true,
        (Answer, Answer) => asked.is(&[GET_CONFIG]),
        _ => false,
    };
    ours == Close || peer == Close || keeps_refused || (differ && !is_harmless)
}

const SET_FEATURES: u32 = 2;
const SET_MEM_TABLE: u32 = 5;
const SET_LOG_BASE: u32 = 6;
const SET_LOG_FD: u32 = 7;
const SET_VRING_ADDR: u32 = 9;
const SET_VRING_KICK: u32 = 12;
const SET_VRING_ERR: u32 = 14;
const SET_PROTOCOL_FEATURES: u32 = 16;
const GET_QUEUE_NUM: u32 = 17;
const SET_VRING_ENABLE: u32 = 18;
const SET_BACKEND_REQ_FD: u32 = 21;
const GET_CONFIG: u32 = 24;
const SET_CONFIG: u32 = 25;
const POSTCOPY_LISTEN: u32 = 29;
const GET_INFLIGHT_FD: u32 = 31;
const SET_INFLIGHT_FD: u32 = 32;
const GPU_SET_SOCKET: u32 = 33;
const RESET_DEVICE: u32 = 34;
const REM_MEM_REG: u32 = 38;
const GET_SHARED_OBJECT: u32 = 41;
const SET_DEVICE_STATE_FD: u32 = 42;
const CHECK_DEVICE_STATE: u32 = 43;
const GET_SHMEM_CONFIG: u32 = 44;

const LOG_SHMFD: u32 = 1;
const REPLY_ACK: u32 = 3;
const BACKEND_REQ: u32 = 5;
const CONFIG: u32 = 9;
const INFLIGHT_SHMFD: u32 = 12;
const INBAND_NOTIFICATIONS: u32 = 14;
const RESET: u32 = 13;
const SHARED_OBJECT: u32 = 18;
const DEVICE_STATE: u32 = 19;

/// Requests that always have a reply of their own (spec §1.6).
const DATA: [u32; 17] = [1, 11, 15, 17, 22, 24, 26, 28, 30, 31, 36, 40, 41, 42, 43, 44, 45];

impl Asked<'_> {
    /// Message id.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.word(0)
    }

    /// A u32 of the message; 0 behind its end.
    fn word(&self, offset: usize) -> u32 {
        let word = self.bytes.get(offset..offset + 4);
        word.and_then(|word| u32::try_from(number(word, 0, 4)).ok()).unwrap_or(0)
    }

    /// A u32 of the payload.
    fn u32(&self, offset: usize) -> u32 {
        self.word(12 + offset)
    }

    /// A u64 of the payload; 0 behind its end.
    fn u64(&self, offset: usize) -> u64 {
        self.bytes.get(12 + offset..20 + offset).map_or(0, |word| number(word, 0, 8))
    }

    fn payload_len(&self) -> usize {
        self.bytes.len().saturating_sub(12)
    }

    fn has(&self, bit: u32) -> bool {
        self.known.protocol >> bit & 1 == 1
    }

    fn is(&self, codes: &[u32]) -> bool {
        codes.contains(&self.code())
    }

    fn needs_reply(&self) -> bool {
        self.word(4) & 8 != 0
    }

    /// The request has a reply of its own (spec §1.6).
    #[must_use]
    pub fn has_own_reply(&self) -> bool {
        self.is(&DATA) || (self.is(&[SET_LOG_BASE]) && self.has(LOG_SHMFD))
    }

    /// An acknowledgement is due (VU-032).
    fn ack_due(&self) -> bool {
        !self.has_own_reply() && self.has(REPLY_ACK) && self.needs_reply()
    }

    /// The specification's layouts do not have this message (spec §2, §3).
    fn is_malformed(&self) -> bool {
        let context = Context { log_shmfd: self.has(LOG_SHMFD), ..Context::default() };
        matches!(message::judge(context, self.bytes, self.fds), Verdict::Reject(_))
    }

    fn has_reply_bit(&self) -> bool {
        self.word(4) & 4 != 0
    }

    /// A feature that the request belongs to was not negotiated, or is not even offered.
    fn is_gated(&self) -> bool {
        let bit = match self.code() {
            17 => 0,
            21 => BACKEND_REQ,
            24 | 25 => CONFIG,
            31 | 32 => INFLIGHT_SHMFD,
            34 => RESET,
            36..=38 => 15,
            41 => SHARED_OBJECT,
            42 | 43 => DEVICE_STATE,
            44 => 22,
            19 | 20 | 22 | 23 | 26..=30 | 35 | 39 | 40 | 45 => return true,
            _ => return false,
        };
        !self.has(bit)
    }

    /// Bit 8 of a P-VRING-FD: no descriptor.
    fn says_no_fd(&self) -> bool {
        self.u64(0) & 0x100 != 0
    }

    /// Queues and entries of a P-INFLIGHT that no area can have (VU-182).
    fn is_impossible_area(&self) -> bool {
        let (queues, size) = (self.u32(16) & 0xffff, self.u32(16) >> 16);
        let is_packed = self.known.features.is_some_and(|features| features >> 34 & 1 == 1);
        !(1..=u32::from(offer::QUEUES)).contains(&queues)
            || !(1..=u32::from(offer::MAX_QUEUE_SIZE)).contains(&size)
            || !(is_packed || size.is_power_of_two())
    }
}

/// The differences that are allowed.
pub const ALLOWED: &[Divergence] = &[
    Divergence {
        cites: "DV-05, VU-012",
        reason: "an id that does not exist: ours says no when it was asked to, the peer closes",
        shape: |asked| asked.ack_due() && !(1..=45).contains(&asked.code()),
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, VU-032",
        reason: "a message that is wrong by itself: ours says no when it was asked to; the peer \
                 says so only of what its device refuses, and closes",
        shape: |asked| asked.ack_due() && asked.is_malformed(),
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, VU-032",
        reason: "a request of a feature that is off: ours says no when it was asked to, the peer \
                 closes",
        shape: |asked| asked.ack_due() && asked.is_gated(),
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, VU-034",
        reason: "the same for a request whose own reply can say no",
        shape: |asked| {
            let has_form = [
                GET_CONFIG,
                GET_INFLIGHT_FD,
                GET_SHARED_OBJECT,
                SET_DEVICE_STATE_FD,
                CHECK_DEVICE_STATE,
            ];
            asked.is(&has_form) && !asked.is_gated() && asked.is_malformed()
        },
        ours: &[Answer],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, DV-63, VU-083",
        reason: "a misaligned ring address is wrong by itself for the peer",
        shape: |asked| {
            let misaligned = !asked.u64(8).is_multiple_of(16)
                || !asked.u64(16).is_multiple_of(4)
                || !asked.u64(24).is_multiple_of(2);
            asked.ack_due() && asked.is(&[SET_VRING_ADDR]) && misaligned
        },
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, VU-110",
        reason: "an enable value above 1 is wrong by itself for the peer",
        shape: |asked| asked.ack_due() && asked.is(&[SET_VRING_ENABLE]) && asked.u32(4) > 1,
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-82, VU-182",
        reason: "an in-flight area without queues or entries is wrong by itself for the peer",
        shape: |asked| {
            asked.ack_due() && asked.is(&[SET_INFLIGHT_FD]) && asked.is_impossible_area()
        },
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-83, VU-032",
        reason: "the peer takes REPLY_ACK for negotiated only once it has answered GET_FEATURES",
        shape: |asked| asked.ack_due() && !asked.known.asked_features,
        ours: &[Ack, Nack],
        peer: &[Nothing, Close],
    },
    Divergence {
        cites: "DV-50, VU-217",
        reason: "SET_PROTOCOL_FEATURES with bit 14 and without bits 3 and 5: ours closes whatever \
                 is due",
        shape: |asked| {
            let has = |bit: u32| asked.u64(0) >> bit & 1 == 1;
            asked.is(&[SET_PROTOCOL_FEATURES])
                && has(INBAND_NOTIFICATIONS)
                && !(has(REPLY_ACK) && has(BACKEND_REQ))
        },
        ours: &[Close],
        peer: &[Nothing, Ack, Nack],
    },
    Divergence {
        cites: "DV-83, VU-027",
        reason: "SET_PROTOCOL_FEATURES that turns REPLY_ACK on: what was negotiated when it came \
                 decides about ours, the new value about the peer's",
        shape: |asked| {
            asked.is(&[SET_PROTOCOL_FEATURES])
                && asked.needs_reply()
                && !asked.has(REPLY_ACK)
                && asked.u64(0) >> REPLY_ACK & 1 == 1
        },
        ours: &[Nothing, Close],
        peer: &[Ack, Nack],
    },
    Divergence {
        cites: "DV-83, VU-032",
        reason: "SET_PROTOCOL_FEATURES that turns REPLY_ACK off: as above",
        shape: |asked| {
            asked.is(&[SET_PROTOCOL_FEATURES])
                && asked.ack_due()
                && asked.u64(0) >> REPLY_ACK & 1 == 0
        },
        ours: &[Ack, Nack],
        peer: &[Nothing, Close],
    },
    Divergence {
        cites: "DV-04, VU-263",
        reason: "POSTCOPY_LISTEN is answered whenever it asks, also without REPLY_ACK",
        shape: |asked| asked.is(&[POSTCOPY_LISTEN]) && asked.needs_reply(),
        ours: &[Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-10, VU-262",
        reason: "a memory table that is padded, or whose padding field is not zero",
        shape: |asked| {
            let regions = asked.u32(0) as usize;
            let is_padded = asked.payload_len() > regions.saturating_mul(32).saturating_add(8);
            asked.is(&[SET_MEM_TABLE]) && !asked.is_malformed() && (is_padded || asked.u32(4) != 0)
        },
        ours: &[Nothing, Ack],
        peer: &[Close, Nack],
    },
    Divergence {
        cites: "DV-75, VU-155",
        reason: "SET_LOG_BASE without LOG_SHMFD: ours takes it and has no usable log",
        shape: |asked| asked.is(&[SET_LOG_BASE]) && !asked.has(LOG_SHMFD),
        ours: &[Nothing, Ack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-61, VU-156",
        reason: "the peer has no SET_LOG_FD",
        shape: |asked| asked.is(&[SET_LOG_FD]) && !asked.is_malformed(),
        ours: &[Nothing, Ack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-63",
        reason: "flags of SET_VRING_ADDR above bit 0 mean nothing to ours (HZ-77)",
        shape: |asked| asked.is(&[SET_VRING_ADDR]) && asked.u32(4) & !1 != 0,
        ours: &[Nothing, Ack, Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-86, VU-020",
        reason: "more than one descriptor with a message that says it has none: refused by ours",
        shape: |asked| {
            (SET_VRING_KICK..=SET_VRING_ERR).contains(&asked.code())
                && asked.says_no_fd()
                && asked.fds > 1
        },
        ours: &[Close, Nack],
        peer: &[Nothing, Ack, Nack],
    },
    Divergence {
        cites: "DV-86, VU-142",
        reason: "REM_MEM_REG with more than the one descriptor that is tolerated",
        shape: |asked| asked.is(&[REM_MEM_REG]) && asked.fds > 1,
        ours: &[Close, Nack],
        peer: &[Nothing, Ack, Nack],
    },
    Divergence {
        cites: "DV-81, VU-267",
        reason: "GET_QUEUE_NUM without MQ: ours answers",
        shape: |asked| asked.is(&[GET_QUEUE_NUM]) && asked.is_gated() && !asked.is_malformed(),
        ours: &[Answer],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-23, DV-42, VU-108",
        reason: "SET_VRING_ENABLE although bit 30 was not set: ours takes it",
        shape: |asked| {
            let has_bit_30 = asked.known.features.is_some_and(|set| set >> 30 & 1 == 1);
            asked.is(&[SET_VRING_ENABLE]) && !has_bit_30
        },
        ours: &[Nothing, Ack, Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-87",
        reason: "the text asks that the feature of these requests was offered; the peer asks that \
                 it was negotiated",
        shape: |asked| asked.is(&[SET_BACKEND_REQ_FD, RESET_DEVICE]) && asked.is_gated(),
        ours: &[Nothing, Ack, Nack],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-84, DC-005",
        reason: "a payload where the specification has none: refused by ours",
        shape: |asked| asked.is(&[SET_BACKEND_REQ_FD, GPU_SET_SOCKET]) && asked.payload_len() > 0,
        ours: &[Close, Nack],
        peer: &[Nothing, Ack],
    },
    Divergence {
        cites: "DV-84, DC-005",
        reason: "the same in a request that has a reply: said no in its form, or closed",
        shape: |asked| asked.is(&[CHECK_DEVICE_STATE, GET_SHMEM_CONFIG]) && asked.payload_len() > 0,
        ours: &[Close, Answer],
        peer: &[Answer],
    },
    Divergence {
        cites: "DV-84, VU-006",
        reason: "the reply bit in a request: closed by ours",
        shape: |asked| {
            let looks_away = [SET_MEM_TABLE, GPU_SET_SOCKET, CHECK_DEVICE_STATE, GET_SHMEM_CONFIG];
            asked.is(&looks_away) && asked.has_reply_bit()
        },
        ours: &[Close],
        peer: &[Nothing, Ack, Nack, Answer],
    },
    Divergence {
        cites: "DV-85, VU-158",
        reason: "a transfer request without DEVICE_STATE: closed by ours (HZ-37)",
        shape: |asked| {
            asked.is(&[SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE]) && !asked.has(DEVICE_STATE)
        },
        ours: &[Close],
        peer: &[Answer],
    },
    Divergence {
        cites: "DV-85, VU-160, VU-165",
        reason: "a transfer request that is wrong by itself: ours answers with an error in bits \
                 0-7 (HZ-98), the peer closes",
        shape: |asked| {
            let is_odd = asked.u32(0) > 1 || asked.u32(4) != 0;
            asked.is(&[SET_DEVICE_STATE_FD]) && asked.has(DEVICE_STATE) && is_odd
        },
        ours: &[Answer],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-16, DV-18, DV-19, VU-191",
        reason: "GET_CONFIG of no byte, with unknown flags, or for a window past 4096: ours \
                 answers, the peer closes",
        shape: |asked| {
            let end = u64::from(asked.u32(0)) + u64::from(asked.u32(4));
            let is_odd = asked.u32(4) == 0 || asked.u32(8) > 3 || end > 4096;
            asked.is(&[GET_CONFIG]) && asked.has(CONFIG) && is_odd
        },
        ours: &[Answer],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-16, VU-191",
        reason: "GET_CONFIG for a window that the device does not have: ours has no payload in \
                 the reply, the peer's has 12 bytes with size 0",
        shape: |asked| {
            let end = u64::from(asked.u32(0)) + u64::from(asked.u32(4));
            let is_outside = asked.u32(0) > offer::CONFIG_LEN || end > offer::CONFIG_LIMIT.into();
            asked.is(&[GET_CONFIG]) && asked.has(CONFIG) && is_outside
        },
        ours: &[Answer],
        peer: &[Answer, Close],
    },
    Divergence {
        cites: "DV-81, VU-269",
        reason: "SET_CONFIG that carries more than its size says, or whose size is 0: ours uses \
                 the first bytes",
        shape: |asked| {
            let size = asked.u32(4) as usize;
            let carries_more = asked.payload_len() > size.saturating_add(12);
            asked.is(&[SET_CONFIG]) && asked.has(CONFIG) && (size == 0 || carries_more)
        },
        ours: &[Nothing, Ack],
        peer: &[Close, Nack],
    },
    Divergence {
        cites: "DV-88, VU-182",
        reason: "GET_INFLIGHT_FD for an area that cannot be: ours has an empty one in the reply",
        shape: |asked| {
            asked.is(&[GET_INFLIGHT_FD]) && asked.has(INFLIGHT_SHMFD) && asked.is_impossible_area()
        },
        ours: &[Answer],
        peer: &[Close],
    },
    Divergence {
        cites: "DV-20, VU-229",
        reason: "GET_SHARED_OBJECT without a UUID, or with the nil or the max one: ours has no \
                 such object",
        shape: |asked| {
            let is_odd = matches!((asked.u64(0), asked.u64(8)), (0, 0) | (u64::MAX, u64::MAX));
            asked.is(&[GET_SHARED_OBJECT])
                && asked.has(SHARED_OBJECT)
                && (is_odd || asked.payload_len() == 0)
        },
        ours: &[Answer],
        peer: &[Close],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_cites_a_divergence_and_says_why() {
        for row in ALLOWED {
            assert!(row.cites.starts_with("DV-"), "{}", row.cites);
            assert!(row.reason.len() > 20, "{}", row.cites);
            assert!(!row.ours.is_empty() && !row.peer.is_empty(), "{}", row.cites);
        }
    }

    #[test]
    fn no_row_allows_ours_to_be_the_only_one_that_is_wrong() {
        // A legal request of a session that negotiated nothing has one outcome.
        let bytes: Vec<u8> = [1_u32, 1, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        let asked = Asked { known: Known::default(), bytes: &bytes, fds: 0 };
        for ours in [Close, Nothing, Ack, Nack, Answer] {
            assert!(find(&asked, ours, Answer).is_none());
            assert!(find(&asked, Answer, ours).is_none());
        }
    }
}
