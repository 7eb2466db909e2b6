//! What a recording shows of the back-end: what its device offered, and where its rings stopped.

use std::collections::{BTreeSet, HashMap, VecDeque};

use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::payload::VringState;
use vhost_fuzz_core::vhost_user::{Channel, FrontendRequest, HEADER_LEN, Kind, Message, Payload};

use super::session::{self, Connection, Recorded};
use crate::script::Record;
use crate::session::offer::ScriptOffer;

/// Virtio device id of a network device.
const NET: u32 = 1;

/// The messages with their payloads. What the codec refuses is passed over.
fn decoded(messages: &[Recorded]) -> impl Iterator<Item = (&Recorded, Message<'_>)> {
    messages.iter().filter_map(|recorded| {
        let Recorded { kind, layout, fds, ref bytes, .. } = *recorded;
        let message = Message::decode(kind, layout, bytes, fds).ok();
        // Some back-ends leave need_reply set in replies (DV-03), which tell as much as others.
        let message = message.or_else(|| match kind {
            Kind::BACKEND_REPLY => lenient(recorded),
            _ => None,
        });
        message.map(|message| (recorded, message))
    })
}

/// A reply whose flags are wrong, if it is one with a u64 or a ring position.
fn lenient(recorded: &Recorded) -> Option<Message<'_>> {
    let code = recorded.header()?.code;
    let payload = recorded.bytes.get(HEADER_LEN..)?;
    let word = |at: usize| Some(u32::from_ne_bytes(*payload.get(at..)?.first_chunk()?));
    let payload = match FrontendRequest(code) {
        FrontendRequest::GET_VRING_BASE | FrontendRequest::GET_VRING_BASE_SKIP_DRAIN => {
            let (index, num) = (word(0)?, word(4)?);
            Payload::State(VringState { index, num })
        }
        _ => Payload::U64(u64::from_ne_bytes(*payload.first_chunk()?)),
    };
    Some(Message::reply(Channel::Main, code, payload))
}

/// What the device of a session offered, as far as its front-end asked. For the rest it offers
/// what the session needs.
pub(super) fn offer(session: &[Connection<'_>]) -> ScriptOffer {
    let mut seen = Seen::default();
    for connection in session {
        for (_, message) in decoded(&session::messages(connection)) {
            seen.message(&message);
        }
    }
    seen.offer()
}

/// What was seen of a device.
#[derive(Default)]
struct Seen {
    features: Option<u64>,
    features_set: u64,
    protocol: Option<u64>,
    protocol_set: u64,
    queue_num: Option<u64>,
    slots: Option<u64>,
    /// One more than the highest ring.
    rings: u32,
    queue_size: u32,
    /// Where the widest window into the configuration space ends.
    config_len: u32,
    config_is_written: bool,
}

impl Seen {
    fn message(&mut self, message: &Message<'_>) {
        let code = FrontendRequest(message.code);
        match (message.kind, message.payload) {
            (Kind::BACKEND_REPLY, Payload::U64(value)) => match code {
                FrontendRequest::GET_FEATURES => self.features = Some(value),
                FrontendRequest::GET_PROTOCOL_FEATURES => self.protocol = Some(value),
                FrontendRequest::GET_QUEUE_NUM => self.queue_num = Some(value),
                FrontendRequest::GET_MAX_MEM_SLOTS => self.slots = Some(value),
                _ => {}
            },
            (Kind::FRONTEND_REQUEST, payload) => self.request(code, payload),
            _ => {}
        }
    }

    fn request(&mut self, code: FrontendRequest, payload: Payload<'_>) {
        match payload {
            Payload::U64(bits) if code == FrontendRequest::SET_FEATURES => {
                self.features_set |= bits;
            }
            Payload::U64(bits) if code == FrontendRequest::SET_PROTOCOL_FEATURES => {
                self.protocol_set |= bits;
            }
            Payload::State(state) => {
                self.ring(state.index);
                if code == FrontendRequest::SET_VRING_NUM {
                    self.queue_size = self.queue_size.max(state.num);
                }
            }
            Payload::Addr(addr) => self.ring(addr.index),
            Payload::VringFd(vring) => self.ring(vring.index().into()),
            Payload::Config(config) => {
                let end = config.offset.saturating_add(config.size);
                self.config_len = self.config_len.max(end);
                self.config_is_written |= code == FrontendRequest::SET_CONFIG;
            }
            _ => {}
        }
    }

    fn ring(&mut self, index: u32) {
        self.rings = self.rings.max(index.saturating_add(1));
    }

    fn offer(&self) -> ScriptOffer {
        let default = ScriptOffer::default();
        let protocol_features = self.protocol.unwrap_or(self.protocol_set);
        let is_net = protocol_features & (protocol::MTU | protocol::RARP) != 0;
        let queues = u64::from(self.rings).max(self.queue_num.unwrap_or(1));
        let narrow = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        let offer = ScriptOffer {
            device: if is_net { NET } else { 0 },
            features: self.features.unwrap_or(self.features_set),
            protocol_features,
            queues: narrow(queues),
            queue_num: self.queue_num.unwrap_or(queues),
            max_queue_size: narrow(self.queue_size.into()).max(default.max_queue_size),
            max_mem_slots: self.slots.map_or(default.max_mem_slots, narrow),
            config_len: self.config_len,
            config_writable: self
                .config_is_written
                .then_some((0, self.config_len))
                .into_iter()
                .collect(),
            shmem: Vec::new(),
            ..default
        };
        // What no device could offer becomes what one could.
        ScriptOffer::decode(&offer.encode())
    }
}

/// How the effects of a connection's requests ended, by the piece that begins the request: each
/// running ring stops where the recorded one did. A ring that stands has nothing to be stopped.
pub(super) fn results(messages: &[Recorded]) -> HashMap<usize, Vec<Record<'static>>> {
    let mut bases: HashMap<u32, VecDeque<u32>> = HashMap::new();
    for (_, message) in decoded(messages) {
        if let (Kind::BACKEND_REPLY, Payload::State(state)) = (message.kind, message.payload) {
            bases.entry(message.code).or_default().push_back(state.num);
        }
    }
    let mut results: HashMap<usize, Vec<_>> = HashMap::new();
    let mut running = BTreeSet::new();
    for (recorded, message) in decoded(messages) {
        if message.kind != Kind::FRONTEND_REQUEST {
            continue;
        }
        match (FrontendRequest(message.code), message.payload) {
            (FrontendRequest::SET_VRING_KICK, Payload::VringFd(vring)) => {
                running.insert(u32::from(vring.index()));
            }
            (FrontendRequest::VRING_KICK, Payload::State(state)) => {
                running.insert(state.index);
            }
            (FrontendRequest::RESET_DEVICE, _) => running.clear(),
            (
                FrontendRequest::GET_VRING_BASE | FrontendRequest::GET_VRING_BASE_SKIP_DRAIN,
                Payload::State(state),
            ) => {
                // The n-th reply answers the n-th request (VU-010).
                let base = bases.get_mut(&message.code).and_then(VecDeque::pop_front);
                if let (true, Some(base)) = (running.remove(&state.index), base) {
                    let result = Record::EffectResult { is_ok: true, value: base.into() };
                    results.entry(recorded.piece).or_default().push(result);
                }
            }
            _ => {}
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::*;

    /// Two rings that run; one is asked for its position twice, the other once, with flags 0xd.
    fn log() -> Log {
        Log::default()
            .send(3, &[3, 1, 0])
            .send(3, &[1, 1, 0])
            .receive(3, &[1, 5, 8, 0x4000_0000, 1])
            .send(3, &[15, 1, 0])
            .receive(3, &[15, 5, 8, 0xb, 0])
            .send(3, &[17, 9, 0])
            .receive(3, &[17, 0xd, 8, 2, 0])
            .send(3, &[24, 1, 20, 52, 8, 0, 0, 0])
            .send(3, &[8, 1, 8, 4, 0x2000])
            .send(3, &[12, 1, 8, 0x100, 0])
            .send(3, &[12, 1, 8, 0x101, 0])
            .send(3, &[11, 1, 8, 0, 0])
            .receive(3, &[11, 5, 8, 0, 7])
            .send(3, &[11, 1, 8, 0, 0])
            .receive(3, &[11, 5, 8, 0, 7])
            .send(3, &[11, 9, 8, 1, 0])
            .receive(3, &[11, 0xd, 8, 1, 9])
    }

    #[test]
    fn the_offer_is_what_the_replies_show() {
        let log = log();
        let offer = offer(&session::sessions(&log.calls)[0]);
        assert_eq!((offer.features, offer.protocol_features), (0x1_4000_0000, 0xb));
        // The rings that are used count more than the number in the reply.
        assert_eq!((offer.queues, offer.queue_num), (5, 2));
        assert_eq!((offer.config_len, offer.max_queue_size), (60, 0x2000));
        assert_eq!(offer.config_writable, []);
        assert_eq!((offer.device, offer.max_mem_slots), (0, 509));
    }

    #[test]
    fn what_nobody_asked_for_is_what_was_set() {
        let log = Log::default()
            .send(3, &[3, 1, 0])
            .send(3, &[2, 1, 8, 0x4000_0000, 1])
            .send(3, &[16, 1, 8, 4, 0]);
        let offer = offer(&session::sessions(&log.calls)[0]);
        assert_eq!((offer.features, offer.protocol_features), (0x1_4000_0000, 4));
        assert_eq!((offer.device, offer.queues), (NET, 1));
    }

    #[test]
    fn running_rings_stop_where_they_were_recorded() {
        let log = log();
        let sessions = session::sessions(&log.calls);
        let results = results(&session::messages(&sessions[0][0]));
        let stops = |value| vec![Record::EffectResult { is_ok: true, value }];
        // The second question about ring 0 finds it standing.
        assert_eq!(results, HashMap::from([(11, stops(7)), (15, stops(9))]));
    }
}
