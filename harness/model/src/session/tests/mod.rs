//! Messages built by hand, and what the model makes of them.

mod anything;
mod memory;
mod refusals;
mod requests;
mod walks;

use super::{Backend, Effect, Notifier, Offer, Outcome, Step};
use crate::Id;

/// Every protocol feature but those that change layouts or end postcopy.
const EVERY: u64 = (1 << 24) - 1 - (1 << 15) - (1 << 17) - (1 << 1) - (1 << 21);
const BIT_30: u64 = 1 << 30;
const PACKED: u64 = 1 << 34;
const IOMMU: u64 = 1 << 33;

fn offer() -> Offer {
    Offer {
        device: 1,
        features: 1 << 3 | 1 << 26 | BIT_30 | 1 << 32 | IOMMU | PACKED,
        protocol_features: (1 << 24) - 1,
        queues: 4,
        queue_num: 4,
        max_queue_size: 1024,
        max_mem_slots: 8,
        config_len: 60,
        config_limit: 256,
        config_writable: vec![(8, 12), (32, 33)],
        page_size: 4096,
        shmem: Vec::new(),
    }
}

/// A front-end on one connection.
struct Peer {
    backend: Backend,
    need_reply: bool,
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn halves(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn frame(code: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    let mut bytes = halves(&[code, flags, size]);
    bytes.extend(body);
    bytes
}

/// A P-MEMTABLE without `XEN_MMAP`.
fn table(regions: &[[u64; 4]]) -> Vec<u8> {
    let mut body = words(&[regions.len() as u64]);
    body.extend(regions.iter().flat_map(|region| words(region)));
    body
}

/// A P-MEMREG without `XEN_MMAP`.
fn slot(region: [u64; 4]) -> Vec<u8> {
    [words(&[0]), words(&region)].concat()
}

/// A P-ADDR whose parts lie one page apart.
fn addr(index: u32, descriptor: u64) -> Vec<u8> {
    let mut body = halves(&[index, 0]);
    body.extend(words(&[descriptor, descriptor + 0x2000, descriptor + 0x1000, 0]));
    body
}

/// A P-CONFIG.
fn config(head: [u32; 3], data: &[u8]) -> Vec<u8> {
    [halves(&head), data.to_vec()].concat()
}

/// A P-INFLIGHT.
fn inflight(size: u64, offset: u64, queues: u16, queue_size: u16) -> Vec<u8> {
    let mut body = words(&[size, offset]);
    body.extend(queues.to_ne_bytes());
    body.extend(queue_size.to_ne_bytes());
    body.extend([0; 4]);
    body
}

/// A P-IOTLB.
fn iotlb(iova: u64, size: u64, user: u64, permissions: u8, kind: u8) -> Vec<u8> {
    [words(&[iova, size, user]), vec![permissions, kind, 0, 0, 0, 0, 0, 0]].concat()
}

/// Success, with this number.
fn number(number: u64) -> Outcome {
    Outcome::Done { number, bytes: Vec::new(), fd: false }
}

/// Success without anything.
fn well() -> Outcome {
    number(0)
}

impl Peer {
    /// Nothing was said yet.
    fn fresh(offer: Offer) -> Self {
        Self { backend: Backend::new(offer), need_reply: false }
    }

    /// Protocol features and virtio features were negotiated; every request asks for an answer.
    fn negotiated(protocol: u64, virtio: u64) -> Self {
        let mut peer = Self::fresh(offer());
        peer.silent(16, &words(&[protocol]), 0);
        peer.effect(2, &words(&[virtio]), 0, Effect::Features(virtio), well(), &Step::Silent);
        peer.need_reply = true;
        peer
    }

    /// Everything ordinary was negotiated.
    fn usual() -> Self {
        Self::negotiated(EVERY, BIT_30 | 1 << 32)
    }

    fn send(&mut self, code: u32, body: &[u8], fds: usize) -> Step {
        let flags = if self.need_reply { 9 } else { 1 };
        self.backend.message(&frame(code, flags, body), fds)
    }

    #[track_caller]
    fn silent(&mut self, code: u32, body: &[u8], fds: usize) {
        assert_eq!(self.send(code, body, fds), Step::Silent, "request {code}");
    }

    /// The request is answered at once.
    #[track_caller]
    fn reply(&mut self, code: u32, body: &[u8], fds: usize, payload: &[u8]) {
        assert_eq!(self.send(code, body, fds), answer(code, payload), "request {code}");
    }

    /// The request is carried out at once, and acknowledged if an answer was asked for.
    #[track_caller]
    fn ack(&mut self, code: u32, body: &[u8], fds: usize) {
        let expected = self.success(code);
        assert_eq!(self.send(code, body, fds), expected, "request {code}");
    }

    fn success(&self, code: u32) -> Step {
        if self.need_reply { answer(code, &words(&[0])) } else { Step::Silent }
    }

    /// The request needs one effect.
    #[track_caller]
    fn effect(
        &mut self,
        code: u32,
        body: &[u8],
        fds: usize,
        effect: Effect,
        outcome: Outcome,
        step: &Step,
    ) {
        assert_eq!(self.send(code, body, fds), Step::Need(effect), "request {code}");
        assert_eq!(self.backend.done(outcome), *step, "request {code}");
    }

    /// The request needs one effect, which succeeds, and no reply of its own.
    #[track_caller]
    fn done(&mut self, code: u32, body: &[u8], fds: usize, effect: Effect) {
        let expected = self.success(code);
        self.effect(code, body, fds, effect, well(), &expected);
    }

    /// The request is refused with an answer.
    #[track_caller]
    fn refused(&mut self, code: u32, body: &[u8], fds: usize, id: Id) {
        let step = self.send(code, body, fds);
        assert_eq!(step, refusal(code, &words(&[1]), id), "request {code}");
    }

    /// The request ends the connection.
    #[track_caller]
    fn closed(&mut self, code: u32, body: &[u8], fds: usize, id: Id) {
        assert_eq!(self.send(code, body, fds), Step::Close(id), "request {code}");
    }

    /// Ring 0 and those after it are given a size, a place, a base and a kick, and start.
    #[track_caller]
    fn start(&mut self, rings: u32) {
        for index in 0..rings {
            self.ack(8, &halves(&[index, 256]), 0);
            self.ack(10, &halves(&[index, 0]), 0);
            self.ack(9, &addr(index, 0x10000), 0);
            self.kick(index);
        }
    }

    #[track_caller]
    fn kick(&mut self, index: u32) {
        self.done(12, &words(&[index.into()]), 1, Effect::StartRing(index.into()));
        let ring = self.backend.rings()[usize::try_from(index).unwrap()];
        assert_eq!((ring.started, ring.kick), (true, Notifier::Fd));
    }

    /// A memory table with all its effects; rings may run.
    #[track_caller]
    fn table(&mut self, regions: &[[u64; 4]]) {
        let mut step = self.send(5, &table(regions), regions.len());
        for &[guest, size, user, offset] in regions {
            assert_eq!(step, Step::Need(Effect::MapRegion { guest, size, user, offset }));
            step = self.backend.done(number(0x7000_0000));
        }
        if self.backend.rings().iter().any(|ring| ring.started) {
            assert_eq!(step, Step::Need(Effect::Quiesce));
            step = self.backend.done(well());
        }
        assert_eq!(step, self.success(5));
        assert_eq!(self.backend.regions(), regions);
    }
}

fn answer(code: u32, payload: &[u8]) -> Step {
    Step::Reply { bytes: frame(code, 5, payload)[..].into(), fds: 0, refusal: None }
}

fn answer_with_fd(code: u32, payload: &[u8]) -> Step {
    Step::Reply { bytes: frame(code, 5, payload)[..].into(), fds: 1, refusal: None }
}

fn refusal(code: u32, payload: &[u8], id: Id) -> Step {
    Step::Reply { bytes: frame(code, 5, payload)[..].into(), fds: 0, refusal: Some(id) }
}
