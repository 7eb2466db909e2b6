//! What follows an effect.

use super::postcopy::Postcopy;
use super::reply::{crypto, two};
use super::request::config_reply;
use super::{Backend, Effect, Notifier, Outcome, Request, Ring, Step, Waiting, bit, index_of};
use crate::Id;

/// An effect that failed breaks the promise to carry the request out.
const FAILED: Id = Id::Vu(33);

impl Backend {
    /// The effect that the last [`Step::Need`] asked for has ended. Without one nothing happens.
    pub fn done(&mut self, outcome: Outcome) -> Step {
        let Some((request, waiting)) = self.pending.take() else {
            return Step::Silent;
        };
        match outcome {
            Outcome::Failed => self.failed(request, &waiting),
            Outcome::Done { number, bytes, fd } => {
                self.succeeded(request, waiting, number, &bytes, fd)
            }
        }
    }

    fn failed(&mut self, request: Request, waiting: &Waiting) -> Step {
        match waiting {
            // The ring stays stopped, and its new kick goes.
            Waiting::Start(index) => self.rings[*index].kick = Notifier::None,
            Waiting::CheckTransfer => self.has_transfer = false,
            // Nobody knows in which state the rings or the memory are now.
            Waiting::QuiesceTable(_)
            | Waiting::QuiesceAgain(_)
            | Waiting::QuiesceRemove(_)
            | Waiting::QuiesceInvalidate
            | Waiting::QuiesceLog(_)
            | Waiting::Stop { .. }
            | Waiting::OpenUserfault
            | Waiting::RegisterUserfault => return Step::Close(FAILED),
            _ => {}
        }
        self.refuse(request, FAILED)
    }

    fn succeeded(
        &mut self,
        request: Request,
        waiting: Waiting,
        number: u64,
        bytes: &[u8],
        fd: bool,
    ) -> Step {
        match waiting {
            Waiting::Ack => request.success(),
            Waiting::Features(features) => self.take_features(request, features),
            Waiting::Status(status) => {
                self.status = status;
                request.success()
            }
            Waiting::Reset => self.reset(request),
            Waiting::Channel => {
                self.has_channel = true;
                request.success()
            }
            Waiting::MapTable(table) => self.table_mapped(request, table, number),
            Waiting::QuiesceTable(table) => self.use_table(request, table),
            Waiting::MapAdded(region) => self.region_ready(request, region, false),
            Waiting::QuiesceAgain(again) => self.region_renewed(request, &again),
            Waiting::QuiesceRemove(index) => self.region_removed(request, index),
            Waiting::QuiesceInvalidate => request.reply_number(0),
            Waiting::MapLog(log) => self.log_mapped(request, log),
            Waiting::QuiesceLog(log) => self.take_log(request, log),
            Waiting::Start(index) => {
                self.rings[index].started = true;
                request.success()
            }
            Waiting::Stop { index, .. } => self.stopped(request, index, number % (1 << 32)),
            Waiting::ReadConfig { head, asked } => {
                let data = &bytes[..bytes.len().min(index_of(asked))];
                config_reply(request, head, data)
            }
            Waiting::Crypto => request.reply(&crypto(number)),
            Waiting::OpenUserfault => {
                self.postcopy = Postcopy::Advised;
                request.reply_with(&[], true)
            }
            Waiting::RegisterUserfault => {
                self.postcopy = Postcopy::Active;
                // VU-133: the acknowledgement itself gets no answer.
                Step::Silent
            }
            Waiting::CloseUserfault => {
                self.postcopy = Postcopy::Off;
                request.reply_number(0)
            }
            Waiting::AllocateInflight(shape) => self.inflight_made(request, shape, number),
            Waiting::MapInflight => {
                self.has_inflight = true;
                request.success()
            }
            Waiting::SharedObject => request.reply_with(&[], fd),
            Waiting::Transfer => self.transfer_begun(request, fd),
            Waiting::CheckTransfer => {
                self.has_transfer = false;
                request.reply_number(0)
            }
        }
    }

    fn take_features(&mut self, request: Request, features: u64) -> Step {
        self.virtio = Some(features);
        // VU-042, VU-043.
        if !bit(features, 30) {
            for ring in &mut self.rings {
                ring.enabled = true;
            }
        }
        request.success()
    }

    /// DC-019.
    fn reset(&mut self, request: Request) -> Step {
        self.rings.iter_mut().for_each(Ring::reset);
        self.virtio = None;
        self.status = 0;
        self.has_inflight = false;
        self.has_transfer = false;
        request.success()
    }

    /// A log that is in use gives way only when nobody writes to it.
    fn log_mapped(&mut self, request: Request, log: [u64; 2]) -> Step {
        if self.any_started() && self.has_log {
            return self.need(request, Waiting::QuiesceLog(log), Effect::Quiesce);
        }
        self.take_log(request, log)
    }

    fn take_log(&mut self, request: Request, [size, offset]: [u64; 2]) -> Step {
        self.has_log = true;
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&size.to_ne_bytes());
        payload[8..].copy_from_slice(&offset.to_ne_bytes());
        request.reply(&payload)
    }

    /// VU-179.
    fn inflight_made(&self, request: Request, [queues, size]: [u64; 2], bytes: u64) -> Step {
        if bytes == 0 {
            return self.refuse(request, FAILED);
        }
        let mut payload = [0; 24];
        payload[..8].copy_from_slice(&bytes.to_ne_bytes());
        payload[16..18].copy_from_slice(&two(queues));
        payload[18..20].copy_from_slice(&two(size));
        request.reply_with(&payload, true)
    }
}
