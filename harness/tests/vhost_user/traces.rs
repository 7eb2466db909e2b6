//! Recorded sessions of real front-ends, watched by the front-end of the core: what it would not
//! have sent, and which replies it would not have taken. Everything on these lists is legal but
//! unusual, and has a row in the specification that says so (§3.2, §8).

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{Frontend, SendError, Setup, SharedObjects};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::vhost_user::{
    Channel, Direction, Flags, Frame, Framer, FrontendRequest as R, HEADER_LEN, Header,
    HeaderError, Kind, Message, Segment,
};
use vhost_fuzz_core::wire::Reader;
use vhost_fuzz_harness::corpus::{self, Seed, seeds};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ledger::{Ledger, Token};
use vhost_fuzz_harness::script::{self, Record};

type Watched = Frontend<Token, Token>;

/// What was found in one session.
#[derive(Debug, Default)]
struct Findings {
    requests: usize,
    answers: usize,
    /// What a strict front-end does not send, and how often it was sent.
    sent: Vec<(R, SendError, usize)>,
    /// Replies with the flags 0xd.
    odd_replies: usize,
}

struct Session {
    frontend: Watched,
    objects: SharedObjects,
    descriptors: Ledger,
    requests: Framer<Token>,
    replies: Framer<Token>,
    /// Descriptors of the next message.
    pending: Vec<Token>,
    findings: Findings,
}

impl Session {
    fn new() -> Self {
        let setup =
            Setup { owner: 1, queues: 256, max_regions: 512, max_mappings: 8, page_size: 4096 };
        Self {
            frontend: Watched::new(setup),
            objects: SharedObjects::new(8),
            descriptors: Ledger::default(),
            requests: Framer::new(Kind::FRONTEND_REQUEST, 4096),
            replies: Framer::new(Kind::BACKEND_REPLY, 4096),
            pending: Vec::new(),
            findings: Findings::default(),
        }
    }

    fn reconnect(&mut self) {
        self.frontend.reset(&mut self.objects);
        self.requests.reset(Kind::FRONTEND_REQUEST);
        self.replies.reset(Kind::BACKEND_REPLY);
        self.pending.clear();
    }

    fn take(&mut self, kind: Kind, mut bytes: &[u8]) {
        if kind.channel == Channel::Backend {
            self.pending.clear();
            return;
        }
        while !bytes.is_empty() {
            let fds: Vec<Token> = self.pending.drain(..).collect();
            let is_request = kind.direction == Direction::Request;
            let framer = if is_request { &mut self.requests } else { &mut self.replies };
            // What DV-03 is about is found in the header; the framer must not end the stream.
            let is_header = !is_request && framer.missing() == HEADER_LEN;
            let clean = if is_header { without_odd_flags(bytes) } else { None };
            self.findings.odd_replies += usize::from(clean.is_some());
            let segment = Segment::with_fds(clean.as_deref().unwrap_or(bytes), fds);
            let taken = framer.push(segment).expect("a legal stream");
            bytes = &bytes[taken..];
            let Some(frame) = framer.take() else { continue };
            let (message, fds) = (frame.bytes.to_vec(), frame.fds);
            if is_request { self.request(&message, fds.len()) } else { self.reply(&message, fds) }
        }
    }

    fn request(&mut self, bytes: &[u8], fds: usize) {
        self.findings.requests += 1;
        let layout = self.frontend.layout();
        let message = Message::decode(Kind::FRONTEND_REQUEST, layout, bytes, fds)
            .unwrap_or_else(|error| panic!("{error}: {bytes:x?}"));
        let Err(error) = self.frontend.send(&message, fds, &self.objects) else { return };
        let request = R(message.code);
        let known = self.findings.sent.iter_mut().find(|(r, e, _)| (*r, *e) == (request, error));
        match known {
            Some((_, _, times)) => *times += 1,
            None => self.findings.sent.push((request, error, 1)),
        }
        // It was sent all the same, and its reply will come.
        assert_eq!(self.frontend.sent(&message, fds), Ok(()), "{message}: {error}");
    }

    fn reply(&mut self, bytes: &[u8], fds: ArrayVec<Token, 8>) {
        self.findings.answers += 1;
        let frame = Frame { kind: Kind::BACKEND_REPLY, bytes, fds };
        if let Err(error) = self.frontend.on_reply(frame) {
            panic!("after {} replies: {error} ({error:?})", self.findings.answers);
        }
    }
}

/// The same bytes with the flags of a plain reply, if only `need_reply` is too much in the header
/// at their front (DV-03). A strict front-end closes the connection for it.
fn without_odd_flags(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = Header::read(&mut Reader::new(bytes)).ok()?;
    let odd = Flags(Flags::REPLY.0 | Flags::NEED_REPLY_BIT);
    if header.flags != odd {
        return None;
    }
    assert_eq!(header.check(Kind::BACKEND_REPLY), Err(HeaderError::NeedReplyInReply));
    let mut clean = bytes.to_vec();
    clean[4..8].copy_from_slice(&Flags::REPLY.0.to_ne_bytes());
    Some(clean)
}

/// Watches a recorded session from its first record to its last.
fn watch(script: &[u8]) -> Findings {
    let mut session = Session::new();
    for record in script::records(script) {
        match record {
            Record::Message { kind, bytes } => session.take(kind, &bytes),
            Record::Fd { .. } => session.pending.push(session.descriptors.open()),
            Record::Close | Record::Reconnect => session.reconnect(),
            _ => {}
        }
    }
    let Session { frontend, descriptors, findings, requests, replies, pending, .. } = session;
    drop((frontend, requests, replies, pending));
    descriptors.settle();
    findings
}

/// Something that a recorded front-end sends and a strict one does not.
struct Listed {
    session: &'static str,
    request: R,
    error: SendError,
    times: usize,
    /// The row that says so.
    row: &'static str,
}

const fn listed(
    session: &'static str,
    request: R,
    error: SendError,
    times: usize,
    row: &'static str,
) -> Listed {
    Listed { session, request, error, times, row }
}

const fn gate(request: R, rule: u16) -> SendError {
    SendError::Gate { code: request.0, rule: Rule::vu(rule) }
}

/// The logs of one front-end do not show where its second connection begins: it is split before
/// `SET_OWNER`, and the `GET_FEATURES` before that is lost to the new connection.
const SPLIT: &str = "corpus/traces/README.md";

const EARLY_CHANNEL: SendError = SendError::ChannelBeforeFeatures;
const EARLY_ENABLE: SendError = gate(R::SET_VRING_ENABLE, 108);
const HALF_BASE: SendError = SendError::PackedBase { base: 0x8000 };
const BASE_NUM: SendError = SendError::BaseNum { num: 0x8000 };
const UNKNOWN_OFFER: SendError = SendError::FeaturesNotOffered { bits: 0x1_4000_0000 };

const LISTED: [Listed; 14] = [
    listed("qemu-vublk-qsd", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vufs-c-virtiofsd", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vufs-rust-virtiofsd", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vunet-dpdk-client-srvon", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vunet-dpdk-packed", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vunet-dpdk-server", R::SET_BACKEND_REQ_FD, EARLY_CHANNEL, 1, "DV-59"),
    listed("qemu-vunet-dpdk-client-srvon", R::SET_VRING_ENABLE, EARLY_ENABLE, 10, "DV-23"),
    listed("qemu-vunet-dpdk-packed", R::SET_VRING_ENABLE, EARLY_ENABLE, 10, "DV-23"),
    listed("qemu-vunet-dpdk-server", R::SET_VRING_ENABLE, EARLY_ENABLE, 10, "DV-23"),
    listed(SPLIT_LOG, R::SET_FEATURES, UNKNOWN_OFFER, 1, SPLIT),
    listed(SPLIT_LOG, R::GET_PROTOCOL_FEATURES, gate(R::GET_PROTOCOL_FEATURES, 44), 1, SPLIT),
    listed(SPLIT_LOG, R::SET_PROTOCOL_FEATURES, gate(R::SET_PROTOCOL_FEATURES, 47), 1, SPLIT),
    listed("virtio_user-packed-dpdk", R::GET_VRING_BASE, BASE_NUM, 1, "DV-73"),
    listed("virtio_user-packed-dpdk", R::SET_VRING_BASE, HALF_BASE, 2, "DV-32"),
];

const SPLIT_LOG: &str = "rust-vhost-crate-frontend-qsd";

/// How many replies of a session have the flags 0xd (DV-03).
const ODD_REPLIES: [(&str, usize); 2] = [("blkio-nbdkit-qsd", 8), (SPLIT_LOG, 5)];

fn recorded() -> Vec<Seed> {
    let seeds = seeds("msg_stream").expect("a corpus");
    seeds.into_iter().filter(|seed| seed.entry.origin.starts_with("trace")).collect()
}

#[test]
fn recorded_front_ends_send_what_a_strict_one_does_but_for_what_is_listed() {
    let _shows = shows(&["VU-010"]);
    let sessions = recorded();
    assert!(sessions.len() >= 11, "only {} sessions", sessions.len());
    for Seed { name, bytes, .. } in sessions {
        let findings = watch(&bytes);
        assert!(findings.requests >= 26 && findings.answers >= 9, "{name}: {findings:?}");
        let wanted: Vec<_> = LISTED
            .iter()
            .filter(|listed| listed.session == name)
            .map(|listed| (listed.request, listed.error, listed.times))
            .collect();
        let is_listed = |found: &(R, SendError, usize)| wanted.contains(found);
        assert!(findings.sent.iter().all(is_listed), "{name}: {:?}", findings.sent);
        assert_eq!(findings.sent.len(), wanted.len(), "{name}: {:?}", findings.sent);
        let odd = ODD_REPLIES.iter().find(|(session, _)| *session == name);
        assert_eq!(findings.odd_replies, odd.map_or(0, |(_, times)| *times), "{name}");
    }
}

#[test]
fn what_is_listed_is_in_the_specification() {
    let root = corpus::root();
    let spec = std::fs::read_to_string(root.join("../spec/vhost-user.md")).expect("the spec");
    for Listed { session, row, .. } in &LISTED {
        assert!(recorded().iter().any(|seed| seed.name == *session), "{session}");
        let is_there = match *row {
            SPLIT => root.join("traces/README.md").exists(),
            row => spec.contains(&format!("| {row} |")),
        };
        assert!(is_there, "{session}: no {row}");
    }
    assert!(spec.contains("| DV-03 |"));
}
