//! What a receiver knows about a message before it comes, and how an input of `msg_decode`
//! says it.
//!
//! Such an input is the wire bytes of one message. Alone they are judged as a peer would send
//! them: on the main channel, request or reply by their reply bit, with the descriptors that
//! such a message has. Exactly [`TAIL_LEN`] bytes after the announced payload give another
//! context:
//!
//! | Byte | Bits | Meaning |
//! |---|---|---|
//! | 0 | 0-3 | number of descriptors |
//! | 0 | 4-7 | unused |
//! | 1 | 0 | the back-end channel |
//! | 1 | 1 | the receiver expects the other direction than the reply bit says |
//! | 1 | 2 | `XEN_MMAP` negotiated |
//! | 1 | 3 | `LOG_SHMFD` negotiated |
//! | 1 | 4 | a postcopy acknowledgement is due |
//! | 1 | 5 | bits 0-3 of byte 0 count; otherwise the natural number of descriptors |
//!
//! Any other surplus belongs to the message, whose length is then wrong.

use vhost_fuzz_core::vhost_user::{Channel, Direction, Flags, HEADER_LEN, Kind, Layout};
use vhost_fuzz_model::vhost_user as model;

/// Bytes of the context after a message.
pub const TAIL_LEN: usize = 2;

/// Everything that [`Message::decode`](vhost_fuzz_core::vhost_user::Message::decode) takes
/// besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// What the receiver expects.
    pub kind: Kind,
    /// What was negotiated.
    pub layout: Layout,
    /// Descriptors that came along.
    pub fds: usize,
}

impl Context {
    /// A context without options.
    #[must_use]
    pub fn plain(kind: Kind, fds: usize) -> Self {
        Self { kind, layout: Layout::default(), fds }
    }

    /// Splits an input into its message and the context that it is judged in.
    #[must_use]
    pub fn split(input: &[u8]) -> (&[u8], Self) {
        let Some(&[_, _, _, _, f0, f1, f2, f3, s0, s1, s2, s3]) = input.first_chunk() else {
            return (input, Self::plain(Kind::FRONTEND_REQUEST, 0));
        };
        let is_reply = u32::from_ne_bytes([f0, f1, f2, f3]) & Flags::REPLY_BIT != 0;
        let announced = u32::from_ne_bytes([s0, s1, s2, s3]) as usize;
        match input.split_at_checked(announced.saturating_add(HEADER_LEN)) {
            Some((message, &[fds, options])) => {
                (message, Self::from_tail(message, is_reply, fds, options))
            }
            _ => (input, Self::from_tail(input, is_reply, 0, 0)),
        }
    }

    fn from_tail(message: &[u8], is_reply: bool, fds: u8, options: u8) -> Self {
        let option = |bit: u8| options & (1 << bit) != 0;
        let mut context = Self {
            kind: Kind {
                channel: if option(0) { Channel::Backend } else { Channel::Main },
                direction: if is_reply != option(1) {
                    Direction::Reply
                } else {
                    Direction::Request
                },
            },
            layout: Layout { xen_mmap: option(2), log_shmfd: option(3), postcopy_ack: option(4) },
            fds: usize::from(fds & 0xf),
        };
        if !option(5) {
            context.fds = model::message::natural_fds(context.model(), message);
        }
        context
    }

    /// The input that [`split`](Self::split)s into `message` and this context. It is the message
    /// alone where that says the same.
    #[must_use]
    pub fn join(&self, message: &[u8]) -> Vec<u8> {
        let mut input = message.to_vec();
        if Self::split(message) == (message, *self) {
            return input;
        }
        let is_reply = Self::split(message).1.kind.direction == Direction::Reply;
        let wants_reply = self.kind.direction == Direction::Reply;
        let options = [
            self.kind.channel == Channel::Backend,
            is_reply != wants_reply,
            self.layout.xen_mmap,
            self.layout.log_shmfd,
            self.layout.postcopy_ack,
            true,
        ];
        let bits = (0..).zip(options).map(|(bit, on)| u8::from(on) << bit).sum();
        input.push(u8::try_from(self.fds.min(15)).unwrap_or(15));
        input.push(bits);
        input
    }

    /// The same context in the words of the model.
    #[must_use]
    pub fn model(&self) -> model::Context {
        model::Context {
            backend_channel: self.kind.channel == Channel::Backend,
            reply: self.kind.direction == Direction::Reply,
            xen_mmap: self.layout.xen_mmap,
            log_shmfd: self.layout.log_shmfd,
            postcopy_ack: self.layout.postcopy_ack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(code: u32, flags: u32, size: u32) -> Vec<u8> {
        [code, flags, size].into_iter().flat_map(u32::to_ne_bytes).collect()
    }

    #[test]
    fn bare_bytes_are_judged_as_a_peer_sends_them() {
        let request = header(21, 1, 0);
        assert_eq!(
            Context::split(&request),
            (&request[..], Context::plain(Kind::FRONTEND_REQUEST, 1))
        );
        let reply = header(1, 5, 0);
        assert_eq!(Context::split(&reply).1.kind, Kind::BACKEND_REPLY);
    }

    #[test]
    fn a_context_survives_join_and_split() {
        let message = header(1, 1, 0);
        for kind in Kind::ALL {
            for bits in 0..8 {
                let layout = Layout {
                    xen_mmap: bits & 1 != 0,
                    log_shmfd: bits & 2 != 0,
                    postcopy_ack: bits & 4 != 0,
                };
                for fds in 0..=9 {
                    let context = Context { kind, layout, fds };
                    assert_eq!(Context::split(&context.join(&message)), (&message[..], context));
                }
            }
        }
    }

    #[test]
    fn other_surplus_belongs_to_the_message() {
        for surplus in [1, 3, 40] {
            let mut input = header(1, 1, 0);
            input.resize(12 + surplus, 0);
            assert_eq!(Context::split(&input).0, input);
        }
    }
}
