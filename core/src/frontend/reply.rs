//! Replies on the main channel: which one may come now, and what a front-end learns from it.

use super::Frontend;
use super::main_state::{InflightArea, Main, Note, Postcopy, Undo};
use super::reply_error::ReplyError;
use crate::vhost_user::payload::{MemTable, Region};
use crate::vhost_user::{Frame, FrontendRequest as R, Kind, Layout, Message, Payload};

/// The answer to the oldest request.
#[derive(Debug, PartialEq)]
pub struct Answer<'a, F> {
    /// The request.
    pub request: R,
    /// Whether the back-end did what it was asked for. It has refused it otherwise, in the form
    /// that the request has for that, and what the request would have changed does not count
    /// (DC-065).
    pub is_success: bool,
    /// What the reply carries.
    pub payload: Payload<'a>,
    /// The descriptor that came with it; that of `SET_DEVICE_STATE_FD` is kept by the front-end.
    pub fd: Option<F>,
}

impl<F, M> Frontend<F, M> {
    /// Judges a reply on the main channel, and learns from it. Its descriptors are dropped with
    /// any error.
    ///
    /// # Errors
    /// The first rule that the reply breaks. The connection has to be closed then (VU-022).
    pub fn on_reply<'a>(&mut self, mut frame: Frame<'a, F>) -> Result<Answer<'a, F>, ReplyError> {
        let fd_count = frame.fds.len();
        match self.judge_reply(frame.bytes, fd_count) {
            Ok(Judged { request, is_success, payload }) => {
                let mut fd = frame.fds.pop();
                if request == R::SET_DEVICE_STATE_FD {
                    self.transfer.answered(is_success, fd.take()); // VU-163
                }
                Ok(Answer { request, is_success, payload, fd })
            }
            Err(error) => {
                self.close(); // VU-022
                Err(error)
            }
        }
    }

    fn judge_reply<'a>(&mut self, bytes: &'a [u8], fds: usize) -> Result<Judged<'a>, ReplyError> {
        if self.is_closed {
            return Err(ReplyError::Closed);
        }
        let layout = Layout { postcopy_ack: false, ..self.main.layout() };
        let reply =
            Message::decode(Kind::BACKEND_REPLY, layout, bytes, fds).map_err(ReplyError::Decode)?;
        let note = self.awaited.answer(reply.code).map_err(ReplyError::Order)?;
        let (request, payload) = (R(reply.code), reply.payload);
        let is_success = if note.is_data {
            self.learn(request, note, &payload, fds)?
        } else {
            match payload {
                Payload::U64(value) => value == 0, // VU-033
                _ => return Err(ReplyError::NotU64 { code: reply.code }),
            }
        };
        if !is_success {
            if matches!(note.undo, Undo::Channel) {
                self.channel.close();
            }
            self.main.undo(note.undo);
        }
        Ok(Judged { request, is_success, payload })
    }

    /// Takes in a reply of its own kind; tells whether it is a success.
    fn learn(
        &mut self,
        request: R,
        note: Note,
        payload: &Payload<'_>,
        fds: usize,
    ) -> Result<bool, ReplyError> {
        let main = &mut self.main;
        match (request, *payload) {
            (R::GET_FEATURES, Payload::U64(bits)) => main.learn_features(bits).map(|()| true),
            (R::GET_PROTOCOL_FEATURES, Payload::U64(bits)) => {
                main.negotiated.offered_protocol = bits;
                Ok(true)
            }
            (R::GET_QUEUE_NUM, Payload::U64(count)) => {
                main.queue_num = Some(count);
                Ok(true)
            }
            (R::GET_MAX_MEM_SLOTS, Payload::U64(count)) => {
                main.slots = Some(count);
                Ok(true)
            }
            (R::GET_SHMEM_CONFIG, Payload::ShmemConfig(config)) => {
                let page = self.setup.page_size;
                let learned = self.channel.shmem.learn(&config, page);
                learned.map(|()| true).map_err(ReplyError::Shmem)
            }
            (R::GET_VRING_BASE | R::GET_VRING_BASE_SKIP_DRAIN, Payload::State(state)) => {
                let asked = note.argument;
                if state.index != asked {
                    return Err(ReplyError::BaseIndex { asked, index: state.index }); // VU-091
                }
                if !main.is_packed() && state.num > u16::MAX.into() {
                    return Err(ReplyError::SplitBase { base: state.num }); // VU-089
                }
                Ok(true)
            }
            (R::GET_CONFIG, Payload::None) => Ok(false), // VU-191
            (R::GET_CONFIG, Payload::Config(config)) => {
                let (asked, size) = (note.argument, config.size);
                match size {
                    _ if size == asked => Ok(true), // VU-190
                    0 => Ok(false),                 // The other error form (DC-007).
                    _ => Err(ReplyError::ConfigSize { asked, size }),
                }
            }
            (R::SET_MEM_TABLE, Payload::MemTable(table)) => main.learn_table(&table),
            (R::SET_MEM_TABLE, _) => Err(ReplyError::NotATable), // VU-130
            (R::IOTLB_MSG | R::POSTCOPY_END | R::CHECK_DEVICE_STATE, Payload::U64(value)) => {
                Ok(value == 0)
            }
            (R::SET_DEVICE_STATE_FD, Payload::U64(value)) => Ok(value & 0xff == 0), // VU-160
            (R::GET_INFLIGHT_FD, _) => {
                if fds > 0 {
                    main.inflight = InflightArea::Fetched;
                }
                Ok(fds > 0)
            }
            (R::GET_SHARED_OBJECT, _) => Ok(fds > 0),
            (R::CREATE_CRYPTO_SESSION, Payload::Crypto(session)) => {
                Ok(session.session_id() >= 0) // VU-248
            }
            _ => Ok(true),
        }
    }
}

/// A reply that was found right.
struct Judged<'a> {
    request: R,
    is_success: bool,
    payload: Payload<'a>,
}

impl Main {
    /// VU-039: the offer is the same each time.
    fn learn_features(&mut self, bits: u64) -> Result<(), ReplyError> {
        let changed = self.negotiated.offered_virtio ^ bits;
        if self.knows_features && changed != 0 {
            return Err(ReplyError::FeaturesChanged { bits: changed });
        }
        self.knows_features = true;
        self.negotiated.offered_virtio = bits;
        Ok(())
    }

    /// The regions come back in their order, with other user addresses (VU-130).
    fn learn_table(&mut self, table: &MemTable<'_>) -> Result<bool, ReplyError> {
        let sent = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        if table.count() != sent {
            return Err(ReplyError::RegionCount { sent, came: table.count() });
        }
        for ((at, mine), theirs) in (0..).zip(self.regions.iter()).zip(table.regions()) {
            if (Region { user_address: mine.user_address, ..theirs }) != *mine {
                return Err(ReplyError::RegionChanged { at });
            }
        }
        self.postcopy = Postcopy::AckDue;
        Ok(true)
    }
}
